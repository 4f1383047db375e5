"""Runs on several devices, with one process per device."""

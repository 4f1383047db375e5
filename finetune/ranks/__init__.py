"""Runs on several devices, with a process for each."""

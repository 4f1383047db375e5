"""Runs: the files in their folders, and what their models predict."""

"""Runs: their folders, finished ones, and what their models predict."""

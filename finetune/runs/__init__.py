"""Runs: the files in their folders, and the predictions of their models."""

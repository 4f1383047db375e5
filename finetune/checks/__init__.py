"""Checks before an experiment: machine and data, shapes, run time."""

"""Checks before an experiment: machine, data, shapes, run time."""

"""What can be checked before an experiment: machine and data, shapes, run time."""

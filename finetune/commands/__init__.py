"""The commands of the program, a file for each: its help, ``add_arguments(parser)``, ``run``."""

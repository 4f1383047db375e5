"""The commands of the program: each file has HELP, ``add_arguments(parser)``, ``run(options)``."""

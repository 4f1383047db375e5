"""Settings of an experiment: their names, their values, and where their files are."""

"""Data sets: annotation files, drawn and converted data sets, part crops, examples."""

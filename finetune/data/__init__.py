"""Data sets: annotation files, drawn data sets, and images as the network's input."""

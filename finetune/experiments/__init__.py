"""Experiments: one run from its settings to its results, and many of them."""

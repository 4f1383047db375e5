"""Experiments: single runs from settings to results, and suites of runs."""

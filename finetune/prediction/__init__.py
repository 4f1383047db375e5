"""Predictions of trained classifiers for unlabelled pictures."""

"""The classifier and the CNNs in it."""

"""Weights from elsewhere, in the formats in which people have them."""

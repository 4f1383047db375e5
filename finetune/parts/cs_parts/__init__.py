"""Finds parts that tell classes apart: classification-specific parts (CS-Parts)."""

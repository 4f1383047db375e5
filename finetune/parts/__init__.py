"""Kinds of parts: which parts an image has, and where their boxes are."""

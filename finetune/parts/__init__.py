"""Kinds of parts: which parts an image has, and how their boxes are computed."""

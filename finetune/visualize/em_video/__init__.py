"""The supplement's experiments: a mixture that learns points in the plane (Sect. S3)."""

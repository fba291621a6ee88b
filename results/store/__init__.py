"""Saved files: finding, reading, checking and writing them; their rows as one table."""

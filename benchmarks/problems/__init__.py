"""The problems: catalogue, synthetic data, CSV tables, tutorials and their published numbers."""

"""One descent by several ranks, on one host or on several."""

"""Check one implementation, time it, and judge whether the conditions were equal."""

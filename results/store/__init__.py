"""Find, read, check and write saved files, and combine their rows in one table."""

"""The reference solution, its tolerance, and the diagnosis of wrong weights."""

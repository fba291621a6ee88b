"""The commands of `python -m results`, one file each."""

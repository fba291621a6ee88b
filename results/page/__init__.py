"""The report: its page, text, charts and files."""

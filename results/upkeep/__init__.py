"""For maintainers: acceptance of the verdicts, many files, tables and pictures of the docs."""

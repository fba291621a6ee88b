"""For maintainers: acceptance of the verdicts, growth with the number of files, tables and pictures of the docs."""

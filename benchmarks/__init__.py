"""On what the implementations are compared, and how: problems, truth, workers, and what pytest runs."""

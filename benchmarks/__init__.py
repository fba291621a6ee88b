"""The benchmark suite: problems, reference solutions, workers, timing, and the function that pytest runs."""

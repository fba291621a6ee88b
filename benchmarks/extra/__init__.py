"""Further measurements beside `pytest benchmarks`: cold start, closed form, harness overhead, scaling over ranks."""

"""`numpy_manual` with 5 % more steps."""

from benchmarks.extra.loops.five_per_cent import slowed

prepare = slowed("numpy_manual")

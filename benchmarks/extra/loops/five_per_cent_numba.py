"""`numba_fused` with 5 % more steps."""

from benchmarks.extra.loops.five_per_cent import slowed

prepare = slowed("numba_fused")

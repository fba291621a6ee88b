"""The columns of a saved run: one row per case and block. Each name with its meaning and its unit."""

CASE = ["impl", "device", "dtype", "problem"]


ORIGIN = {
    "run": "which file: machine/NNNN_name",
    "machine": "slug of the machine",
    "datetime": "when it was saved, ISO 8601, UTC",
    "commit": "commit that it was made from",
    "name": "pytest-benchmark's name of the row",
}


WORDS = {
    "impl": "implementation",
    "framework": "its framework",
    "version": "the framework's version",
    "work": "what its steps go over: X, or what it has made of it (Gram matrix)",
    "device": "cpu or gpu",
    "dtype": "float32 or float64",
    "problem": "name of the problem; @b marks mini-batches of b rows",
    "problem_hash": "hash of the problem's data",
    "twin": "implementation that this one repeats under a second label (A/A pair), or empty",
    "precision": "highest or tf32, as asked",
    "denormals": "kept or flushed",
    "blas": "the framework's linear algebra, in words",
    "iterates": "updates after which the weights were checked, from the problem's own start; blanks between them",
    "distances": "for each of `iterates`, the distance to the reference over what is allowed there",
    "losses": "for each of `iterates`, the mean squared error over all rows of the weights that came back",
    "published": "JSON: [update, loss that a text prints, lowest and highest that a found loss may be], or empty",
    "throttled": "what held the GPU's clocks back before or after the timed rounds, in NVIDIA's words; or empty",
    "digest": "seal over the row's rounds and facts",
    "limited_by": "what a step would wait for at the machine's limit: dispatch, cache, memory or compute",
    "reason": "why the row does not count; empty for a valid row",
}


NUMBERS = {
    "n": "rows of X",
    "d": "columns of X",
    "k": "targets",
    "batch": "rows in a step; n for full batch",
    "steps": "updates in one run",
    "lr": "learning rate",
    "seed": "seed of the problem",
    "threads": "threads allowed, of all ranks together",
    "ranks": "processes that are one descent",
    "wire_bytes": "bytes that a rank sends per step by a ring's all-reduce, computed",
    "block": "number of the block: one fresh process each",
    "error": "worst distance to the reference iterate",
    "allowed": "distance allowed there",
    "import_s": "seconds to import the framework",
    "prepare_s": "seconds to move the data and build the run",
    "first_s": "seconds of the first run, with tracing and compiling",
    "steady_s": "seconds of a later run (median)",
    "fixed_s": "seconds of a run of no steps",
    "per_step_s": "median over rounds of (run - run of no steps) / steps, seconds",
    "cpu_over_wall": "CPU seconds per second of a run",
    "rss_bytes": "memory of the process, bytes",
    "matmul_bits": "mantissa bits that a matrix-matrix product keeps: 23 float32, 52 float64, 10 TF32",
    "matvec_bits": "mantissa bits that a matrix-vector product keeps",
    "framework_threads": "the framework's own count of its threads",
    "growth": "(run - run of half the steps) / (run - run of no steps); 0.5 where time grows with steps",
    "compiles": "compilations in timed runs",
    "gc_runs": "garbage collections in timed runs",
    "pace_s": "seconds of a calibration loop of fixed work around the timed runs: how fast the machine was",
    "blocked_s": "seconds of a run spent waiting for the device",
    "transfer_s": "seconds of prepare_s in which data moved to the device",
    "event_s": "seconds of a run by the GPU's own clock, from its start's arrival to its last work, outside the rounds",
    "memory_limit_bytes": "what the worker was allowed (--memory), all ranks together, bytes",
    "device_bytes": "most memory held on the GPU, bytes (JAX: since its process began)",
    "sm_mhz_before": "clock of the GPU's processors before the timed rounds, MHz",
    "sm_mhz_after": "after them",
    "memory_mhz_before": "clock of the GPU's memory before the timed rounds, MHz",
    "memory_mhz_after": "after them",
    "gpu_celsius_before": "temperature of the GPU before the timed rounds, degrees Celsius",
    "gpu_celsius_after": "after them",
    "gpu_watts_before": "power that the GPU drew before the timed rounds, W",
    "gpu_watts_after": "after them",
    "max_sm_mhz": "fastest clock of the GPU's processors, MHz",
    "limit_s": "seconds that a step would take at the machine's limit",
    "two_pass_s": "the same for a step that reads X twice, as two products do",
    "fraction_of_limit": "limit_s over per_step_s: 1 is at the limit",
}


STATS = {
    "rounds": "timed rounds in the row",
    "min_s": "shortest round, seconds",
    "median_s": "median round, seconds",
    "iqr_s": "interquartile range of the rounds, seconds",
}


COLUMNS = {**ORIGIN, **WORDS, "valid": "checked against the reference, within `allowed`, and timed", **NUMBERS, **STATS}

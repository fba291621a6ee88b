"""Define every column of a saved run. A run has one row per case and block.

To add a column, add a `Column` below: the loader, its range checks and docs/columns.md follow.
"""

from dataclasses import dataclass
from typing import Literal

CASE = ["impl", "device", "dtype", "problem"]


@dataclass(frozen=True)
class Column:
    """One column of a saved run.

    unit: empty for text and for numbers without a unit.
    least: smallest possible value of a number; None for a number without limits.
    since: first version of saved files that has the column.
    formerly: its name in files before version 6, if that was another.
    """

    name: str
    kind: Literal["text", "number", "flag"]
    meaning: str
    unit: str = ""
    least: float | None = 0
    since: int = 1
    formerly: str = ""


ORIGIN_COLUMNS = (
    Column("run", "text", "label of the file: machine/NNNN_name"),
    Column("machine", "text", "slug of the machine"),
    Column("datetime", "text", "date and time of saving, ISO 8601, UTC"),
    Column("commit", "text", "commit that was measured"),
    Column("name", "text", "name of the row in pytest-benchmark"),
    Column("hardware", "text", "hash of the machine's processor, cores, memory and GPU"),
    Column("code", "text", "hash of the implementation's code; of the saved text alone before version 6", since=3),
)
TEXT_COLUMNS = (
    Column("impl", "text", "implementation"),
    Column("framework", "text", "framework of the implementation"),
    Column("version", "text", "version of the framework"),
    Column(
        "step_reads",
        "text",
        "data that each step reads: X, or Gram matrix (X'X, computed once)",
        since=4,
        formerly="work",
    ),
    Column("gradient", "text", "gradient of the loss: by hand or autograd", since=6),
    Column("style", "text", "what one call runs: eager (operation), compiled (step), one launch (many steps)", since=6),
    Column("tuned", "text", "as users write it or expert-tuned", since=6),
    Column("device", "text", "cpu or gpu"),
    Column("dtype", "text", "float32 or float64"),
    Column("problem", "text", "name of the problem; @b marks mini-batches of b rows"),
    Column("problem_hash", "text", "hash of the problem's data"),
    Column(
        "duplicate_of",
        "text",
        "implementation that this row repeats under a second label (A/A pair), or empty",
        since=2,
        formerly="twin",
    ),
    Column("precision", "text", "requested precision: highest or tf32", since=2),
    Column("denormals", "text", "handling of subnormal numbers: kept or flushed", since=2),
    Column("blas", "text", "linear algebra library of the framework", since=2),
    Column("iterates", "text", "numbers of updates after which weights were checked, separated by blanks", since=3),
    Column("distances", "text", "for each of `iterates`: distance to the reference / tolerance", since=3),
    Column("losses", "text", "for each of `iterates`: mean squared error of the weights over all rows", since=3),
    Column("published", "text", "JSON: [update, published loss, lowest and highest accepted loss], or empty", since=3),
    Column(
        "throttle_reasons",
        "text",
        "NVIDIA's reasons for reduced GPU clocks around the timed rounds, or empty",
        since=4,
        formerly="throttled",
    ),
    Column("digest", "text", "seal over the rounds and facts of the row", since=2),
    Column("limited_by", "text", "limit of a step on this machine: dispatch, cache, memory or compute", since=4),
    Column("reason", "text", "reason why the row does not count; empty for a valid row"),
)
VALID_COLUMN = Column("valid", "flag", "checked against the reference, within `tolerance`, and timed")
NUMBER_COLUMNS = (
    Column("n", "number", "rows of X", least=1),
    Column("d", "number", "columns of X", least=1),
    Column("k", "number", "targets", least=1),
    Column("batch", "number", "rows in a step; n for full batch", least=1),
    Column("steps", "number", "updates in one run", least=1),
    Column("lr", "number", "learning rate", least=None),
    Column("seed", "number", "seed of the problem", least=None),
    Column("threads", "number", "allowed threads, all ranks together", least=1),
    Column("ranks", "number", "processes that share one descent", least=1, since=4),
    Column(
        "network_bytes",
        "number",
        "data that a rank sends per step in a ring all-reduce, computed",
        "bytes",
        since=4,
        formerly="wire_bytes",
    ),
    Column("block", "number", "number of the block; each block is a fresh process"),
    Column("error", "number", "largest distance to the reference iterate"),
    Column("tolerance", "number", "largest accepted distance", formerly="allowed"),
    Column("import_s", "number", "import of the framework", "seconds"),
    Column(
        "context_s",
        "number",
        "first use of the GPU by the process, by a problem of two rows: its context and libraries",
        "seconds",
        since=6,
    ),
    Column("prepare_s", "number", "moving the data and building the run", "seconds"),
    Column("first_s", "number", "first run, with tracing and compiling", "seconds"),
    Column("steady_s", "number", "later runs, median", "seconds"),
    Column("fixed_s", "number", "run without steps", "seconds"),
    Column("per_step_s", "number", "median over rounds of (run - run without steps) / steps", "seconds"),
    Column("cpu_over_wall", "number", "CPU time of the process and its children divided by wall time"),
    Column("rss_bytes", "number", "memory of the process", "bytes"),
    Column(
        "matmul_bits", "number", "mantissa bits of a matrix-matrix product: 23 float32, 52 float64, 10 TF32", since=2
    ),
    Column("matvec_bits", "number", "mantissa bits of a matrix-vector product", since=2),
    Column("framework_threads", "number", "threads that the framework reports", since=2),
    Column(
        "half_steps_ratio",
        "number",
        "(run - run of half the steps) / (run - run without steps); 0.5 if time grows with steps",
        least=None,
        since=2,
        formerly="growth",
    ),
    Column("compiles", "number", "compilations in timed runs", since=2),
    Column("gc_runs", "number", "garbage collections in timed runs", since=2),
    Column("calibration_s", "number", "calibration loop around the timed runs", "seconds", since=2, formerly="pace_s"),
    Column("blocked_s", "number", "part of a run spent waiting for the device", "seconds", since=2),
    Column("transfer_s", "number", "part of prepare_s that moves data to the device", "seconds", since=4),
    Column(
        "event_s",
        "number",
        "run by the GPU's clock, from its start to its last work, outside the rounds",
        "seconds",
        since=4,
    ),
    Column("memory_limit_bytes", "number", "memory allowed by --memory, all ranks together", "bytes", since=5),
    Column("device_bytes", "number", "peak memory on the GPU (JAX: since its process began)", "bytes", since=4),
    Column("sm_mhz_before", "number", "clock of the GPU's processors before the timed rounds", "MHz", since=4),
    Column("sm_mhz_after", "number", "clock of the GPU's processors after the timed rounds", "MHz", since=4),
    Column("memory_mhz_before", "number", "clock of the GPU's memory before the timed rounds", "MHz", since=4),
    Column("memory_mhz_after", "number", "clock of the GPU's memory after the timed rounds", "MHz", since=4),
    Column("gpu_celsius_before", "number", "temperature of the GPU before the timed rounds", "°C", None, since=4),
    Column("gpu_celsius_after", "number", "temperature of the GPU after the timed rounds", "°C", None, since=4),
    Column("gpu_watts_before", "number", "power of the GPU before the timed rounds", "W", since=4),
    Column("gpu_watts_after", "number", "power of the GPU after the timed rounds", "W", since=4),
    Column("max_sm_mhz", "number", "maximum clock of the GPU's processors", "MHz", since=4),
    Column("limit_s", "number", "shortest possible step at the machine's limit", "seconds", since=4),
    Column("two_pass_s", "number", "shortest possible step that reads X twice, as two products do", "seconds", since=4),
    Column("fraction_of_limit", "number", "limit_s / per_step_s; 1 is at the limit", since=4),
    Column(
        "x_bytes_per_s",
        "number",
        "data of X and y that a step covers, each row once, / per_step_s: twice that is read in two passes",
        "bytes/s",
        since=6,
    ),
    Column("gpu_processes", "number", "other processes that computed on the GPU when the block began", since=6),
    Column(
        "energy_j",
        "number",
        "energy of the GPU per step, with what it uses idle, over a second of runs after the rounds (--energy)",
        "J",
        since=6,
    ),
    Column("sm_mhz_during", "number", "clock of the GPU's processors, median over that second", "MHz", since=6),
)
STATISTICS_COLUMNS = (
    Column("rounds", "number", "timed rounds in the row"),
    Column("min_s", "number", "shortest round", "seconds"),
    Column("median_s", "number", "median round", "seconds"),
    Column("iqr_s", "number", "interquartile range of the rounds", "seconds"),
)
DEFINITIONS = {
    column.name: column
    for column in (*ORIGIN_COLUMNS, *TEXT_COLUMNS, VALID_COLUMN, *NUMBER_COLUMNS, *STATISTICS_COLUMNS)
}
FORMER_NAMES = {column.formerly: column.name for column in DEFINITIONS.values() if column.formerly}
COLUMNS = {
    column.name: f"{column.meaning} ({column.unit})" if column.unit else column.meaning
    for column in DEFINITIONS.values()
}
WORDS = [column.name for column in TEXT_COLUMNS]
NUMBERS = [column.name for column in NUMBER_COLUMNS]
STATS = [column.name for column in STATISTICS_COLUMNS]

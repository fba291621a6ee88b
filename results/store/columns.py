"""Define every column of a saved run. A run has one row per case and block.

To add a column, add a `Column` below: the loader, its range checks and docs/columns.md follow.
"""

from dataclasses import dataclass
from functools import partial
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
    meaning: str
    unit: str = ""
    least: float | None = 0
    since: int = 1
    formerly: str = ""
    kind: Literal["text", "number", "flag"] = "number"


text_column = partial(Column, kind="text")

ORIGIN_COLUMNS = (
    text_column("run", "label of the file: machine/NNNN_name"),
    text_column("machine", "slug of the machine"),
    text_column("datetime", "date and time of saving, ISO 8601, UTC"),
    text_column("commit", "commit that was measured"),
    text_column("name", "name of the row in pytest-benchmark"),
    text_column("hardware", "hash of the machine's processor, cores, memory and GPU"),
    text_column("file", "implementation's source file: its path in the repository, elsewhere its name", since=3),
    text_column("code", "hash of the implementation's code; of the saved text alone before version 6", since=3),
    text_column("kernels", "environment variables that chose the kernels of this framework, with their values"),
    Column("complete", "whether the block counts: it has every case of the run, or no block has", kind="flag"),
)
TEXT_COLUMNS = (
    text_column("impl", "implementation"),
    text_column("framework", "framework of the implementation"),
    text_column("version", "version of the framework"),
    text_column(
        "step_reads", "data that each step reads: X, or Gram matrix (X'X, computed once)", since=4, formerly="work"
    ),
    text_column("gradient", "gradient of the loss: by hand or autograd", since=6),
    text_column("style", "what one call runs: eager (operation), compiled (step), one launch (many steps)", since=6),
    text_column("tuned", "as users write it or expert-tuned", since=6),
    text_column("device", "cpu or gpu"),
    text_column("dtype", "float32 or float64; float16 or bfloat16: X is kept so, all else is float32"),
    text_column("problem", "name of the problem; @b marks mini-batches of b rows"),
    text_column("problem_hash", "hash of the problem's data"),
    text_column(
        "duplicate_of",
        "implementation that this row repeats under a second label (A/A control), or empty",
        since=2,
        formerly="twin",
    ),
    text_column("environment", "environment of --with or --python that ran it; empty for that of pytest", since=6),
    text_column("python", "version of Python in that environment", since=6),
    text_column("packages", "hash of the packages of that environment, listed in campaign.environments", since=6),
    text_column("precision", "requested precision: highest or tf32", since=2),
    text_column("denormals", "handling of subnormal numbers: kept or flushed", since=2),
    text_column("blas", "linear algebra library of the framework", since=2),
    text_column("iterates", "numbers of updates after which weights were checked, separated by blanks", since=3),
    text_column("distances", "for each of `iterates`: distance to the reference / tolerance", since=3),
    text_column("losses", "for each of `iterates`: mean squared error of the weights over all rows", since=3),
    text_column("published", "JSON: [update, published loss, lowest and highest accepted loss], or empty", since=3),
    text_column(
        "throttle_reasons",
        "NVIDIA's reasons for reduced GPU clocks around the timed rounds, or empty",
        since=4,
        formerly="throttled",
    ),
    text_column("unprofiled", "reason why --profile counted no launches, or empty", since=6),
    text_column("digest", "seal over the rounds and facts of the row", since=2),
    text_column("limited_by", "limit of a step on this machine: dispatch, cache, memory or compute", since=4),
    text_column("reason", "reason why the row does not count; empty for a valid row"),
)
VALID_COLUMN = Column("valid", "checked against the reference, within `tolerance`, and timed", kind="flag")
NUMBER_COLUMNS = (
    Column("n", "rows of X", least=1),
    Column("d", "columns of X", least=1),
    Column("k", "targets", least=1),
    Column("batch", "rows in a step; n for full batch", least=1),
    Column("steps", "updates in one run", least=1),
    Column("lr", "learning rate", least=None),
    Column("seed", "seed of the problem", least=None),
    Column("threads", "allowed threads, all ranks together", least=1),
    Column("ranks", "processes that share one descent", least=1, since=4),
    Column(
        "network_bytes",
        "data that a rank sends per step in a ring all-reduce, computed",
        "bytes",
        since=4,
        formerly="wire_bytes",
    ),
    Column("block", "number of the block; each block is a fresh process"),
    Column("error", "largest distance to the reference iterate"),
    Column("tolerance", "largest accepted distance", formerly="allowed"),
    Column("import_s", "import of the framework", "seconds"),
    Column(
        "context_s",
        "first use of the GPU by the process, by a problem of two rows: its context and libraries",
        "seconds",
        since=6,
    ),
    Column("prepare_s", "moving the data and building the run", "seconds"),
    Column("first_s", "first run, with tracing and compiling", "seconds"),
    Column("steady_s", "later runs, median", "seconds"),
    Column("fixed_s", "run without steps", "seconds"),
    Column("per_step_s", "median over rounds of (run - run without steps) / steps", "seconds"),
    Column("cpu_over_wall", "CPU time of the process and its children divided by wall time"),
    Column("rss_bytes", "memory of the process", "bytes"),
    Column("matmul_bits", "mantissa bits of a matrix-matrix product: 23 float32, 52 float64, 10 TF32", since=2),
    Column("matvec_bits", "mantissa bits of a matrix-vector product", since=2),
    Column("framework_threads", "threads that the framework reports", since=2),
    Column(
        "half_steps_ratio",
        "(run - run of half the steps) / (run - run without steps); 0.5 if time grows with steps",
        least=None,
        since=2,
        formerly="growth",
    ),
    Column("compiles", "compilations in timed runs", since=2),
    Column("gc_runs", "garbage collections in timed runs", since=2),
    Column("calibration_s", "calibration loop around the timed runs", "seconds", since=2, formerly="pace_s"),
    Column("blocked_s", "part of a run spent waiting for the device", "seconds", since=2),
    Column("transfer_s", "part of prepare_s that moves data to the device", "seconds", since=4),
    Column(
        "event_s", "run by the GPU's clock, from its start to its last work, outside the rounds", "seconds", since=4
    ),
    Column("memory_limit_bytes", "memory allowed by --memory, all ranks together", "bytes", since=5),
    Column("device_bytes", "peak memory on the GPU (JAX: since its process began)", "bytes", since=4),
    Column("sm_mhz_before", "clock of the GPU's processors before the timed rounds", "MHz", since=4),
    Column("sm_mhz_after", "clock of the GPU's processors after the timed rounds", "MHz", since=4),
    Column("memory_mhz_before", "clock of the GPU's memory before the timed rounds", "MHz", since=4),
    Column("memory_mhz_after", "clock of the GPU's memory after the timed rounds", "MHz", since=4),
    Column("gpu_celsius_before", "temperature of the GPU before the timed rounds", "°C", None, since=4),
    Column("gpu_celsius_after", "temperature of the GPU after the timed rounds", "°C", None, since=4),
    Column("gpu_watts_before", "power of the GPU before the timed rounds", "W", since=4),
    Column("gpu_watts_after", "power of the GPU after the timed rounds", "W", since=4),
    Column("max_sm_mhz", "maximum clock of the GPU's processors", "MHz", since=4),
    Column("limit_s", "shortest possible step at the machine's limit", "seconds", since=4),
    Column("two_pass_s", "shortest possible step that reads X twice, as two products do", "seconds", since=4),
    Column("fraction_of_limit", "limit_s / per_step_s; 1 is at the limit", since=4),
    Column(
        "x_bytes_per_s",
        "data of X and y that a step covers, each row once, / per_step_s: twice that is read in two passes",
        "bytes/s",
        since=6,
    ),
    Column(
        "read_bytes_per_s",
        "bytes a second of a pass over as many bytes as the steps share, median of the readings beside the rounds",
        "bytes/s",
        since=6,
    ),
    Column("read_again_ratio", "median of every second of these readings / median of the others", since=6),
    Column("gpu_processes", "other processes that computed on the GPU when the block began", since=6),
    Column(
        "energy_j",
        "energy of the GPU per step, with what it uses idle, over a second of runs after the rounds (--energy)",
        "J",
        since=6,
    ),
    Column("sm_mhz_during", "clock of the GPU's processors, median over that second", "MHz", since=6),
    Column("launches", "launches from the host per step, a CUDA graph is one (--profile)", since=6),
    Column("gpu_operations", "kernels and copies that the GPU carries out per step (--profile)", since=6),
    Column("busy_s", "part of a run in which the GPU carries out kernels or copies (--profile)", "seconds", since=6),
)
STATISTICS_COLUMNS = (
    Column("rounds", "timed rounds in the row"),
    Column("min_s", "shortest round", "seconds"),
    Column("median_s", "median round", "seconds"),
    Column("iqr_s", "interquartile range of the rounds", "seconds"),
)
ALL_COLUMNS = (*ORIGIN_COLUMNS, *TEXT_COLUMNS, VALID_COLUMN, *NUMBER_COLUMNS, *STATISTICS_COLUMNS)
DEFINITIONS = {column.name: column for column in ALL_COLUMNS}
FORMER_NAMES = {column.formerly: column.name for column in ALL_COLUMNS if column.formerly}
COLUMNS = {col.name: f"{col.meaning} ({col.unit})" if col.unit else col.meaning for col in ALL_COLUMNS}
TEXT_NAMES = [column.name for column in TEXT_COLUMNS]
NUMBER_NAMES = [column.name for column in NUMBER_COLUMNS]
STATISTIC_NAMES = [column.name for column in STATISTICS_COLUMNS]

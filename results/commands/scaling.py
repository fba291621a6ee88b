"""Show how a descent scales over ranks: as measured, in relation to reading X, and as predicted by a model.

Strong scaling: the same rows on more ranks. Weak scaling: the same rows per rank. Speed-ups are ratios within a block.
The reading gain is the speed-up of a plain read of X with as many threads. A descent over X gains more only if one rank
was slow for another reason.

The model of the seconds of a step on r ranks is a sum of costs, fitted to measured rows:

    per step = call + reading * R + exchange * E(r) + byte * B(r)

R: seconds in which as many threads read these rows of X once at the machine's limit. They read from the nearest memory
level that is large enough. Beyond the most measured ranks, ranks share memories in the same proportion.
E: consecutive exchanges between ranks: r - 1 in a ring, log2 r in a tree. If at most two ranks were measured, both fit
equally well, and only predictions differ.
B: bytes that a rank sends: 2 (r - 1) / r of the gradient.
All parameters are zero or more.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from results import options
from results.output import Page, Section, records, seconds, speedup, times, words
from results.stats.prediction import fit_prices
from results.stats.quiet_or_busy import machine_lines
from results.stats.signed_rank import Array
from results.store.outcomes import Row
from results.store.reading import Run, RunError, mapping, number, require_own, sequence
from results.store.runs import find

Limits = dict[int, list[tuple[float, float]]]  # by threads: bytes and bytes/s of each memory, the nearest first
PARAMETERS = ("call", "reading", "exchange", "byte")  # s per step, a factor, s per exchange, s per byte
LAWS: dict[str, Callable[[float], float]] = {"tree": lambda r: math.ceil(math.log2(r)), "ring": lambda r: r - 1}
DRAWS, SEED = 400, 1
SMALLEST_SINGULAR = 1e-6  # relative to the largest; a smaller one is rounding
RANKS_FACTOR = 2  # predicted ranks / most measured ranks: few ranks are no evidence beyond it
SIZE = ["n", "d", "k"]
GROUP = ["impl", "dtype"]
NUMBER_BYTES = {"float32": 4, "float64": 8}  # the column `size`
INTERVAL = [0.025, 0.975]
MEASURED_NOTE = (
    "Ranks have one thread, each on its own core. Strong: the same rows on more ranks. Weak: the same rows per rank;"
    " efficiency is the time of one rank over that of several. Medians over blocks, extremes in brackets. Reading"
    " gain: the speed-up of a plain read of X with as many threads. Above 100 % of it: one rank reads X more slowly"
    " than a plain read, so it gains more from a second one."
)
MODEL_NOTE = (
    "per step = call + reading x (X read once at the limit) + exchange x E + byte x (bytes that a rank sends), fitted"
    " to all rows by relative error. In brackets: 95 % of bootstrap draws of the blocks. If they contain 0, the rows"
    " do not show whether this cost exists."
)
PREDICTED_NOTE = (
    "Predicted by the model, never measured. It assumes that each {most} ranks share a machine like this one, and that"
    " messages between machines take as long as over this machine's loopback; over a network they take longer."
    " Speed-ups over one rank, from E = log2 r (a tree of exchanges) to E = r - 1 (a ring): two ranks cannot show"
    " which. Weak: rows per rank."
)


@dataclass(frozen=True, eq=False)
class Model:
    """Fitted parameters of one implementation under one law, and of DRAWS bootstrap draws of its blocks."""

    law: str
    limits: Limits
    parameters: Array  # (4,)
    draws: Array  # (DRAWS, 4)
    residuals: Array  # (rows,): fitted / measured - 1

    def per_step(self, cases: pd.DataFrame) -> Array:
        """Return seconds (1 + DRAWS, cases): first by the parameters, then by each draw."""
        return np.vstack([self.parameters, self.draws]) @ design(cases, self.limits, self.law).T


def scaling(run: Run) -> Page:
    """Return measured speed-ups, the model's parameters and its predictions. Raises RunError if data is missing."""
    require_own(run)
    rows = run.rows[run.rows["valid"] & run.rows["network_bytes"].notna() & run.rows["dtype"].isin(NUMBER_BYTES)]
    if rows.empty:
        raise RunError(f"{run.label} has no valid row of ranks; make one with: make scaling")
    rows, limits = rows.assign(size=rows["dtype"].map(NUMBER_BYTES)), _read_limits(run)
    groups = [group for _, group in rows.groupby(GROUP)]
    models = [[model(group, limits, law) for law in LAWS] for group in groups]
    measured = pd.DataFrame([row for group in groups for row in _measured(group, limits)])
    parameters, predicted, notes = list[Row](), list[Row](), [MODEL_NOTE]
    for group, (first, *alternatives) in zip(groups, models, strict=True):
        parameters += _parameters(group, first)
        predicted += [row for fitted in (first, *alternatives) for row in _predicted(group, fitted)]
        error = np.abs(first.residuals)
        fit = f"the error of the fit to {len(group)} rows is {np.median(error):.0%} in the median"
        notes.append(f"{group['impl'].iloc[0]}: {fit}, at most {error.max():.0%}.")
    tables = {"measured": measured, "parameter": pd.DataFrame(parameters), "predicted": pd.DataFrame(predicted)}
    most_ranks = int(rows["ranks"].max())
    sections = [
        Section(f"Scaling of {run.label}", machine=machine_lines(run)),
        Section("Measured", table=[_measured_cells(row) for row in records(measured)], notes=[MEASURED_NOTE], level=3),
        Section("The model", table=_parameter_table(tables["parameter"]), notes=notes, level=3),
        Section(
            f"Predicted, not measured: from {most_ranks} ranks over one machine's loopback",
            table=_predicted_table(tables["predicted"]),
            notes=[PREDICTED_NOTE.format(most=most_ranks)],
            level=3,
        ),
    ]
    data = pd.concat([table.assign(kind=kind) for kind, table in tables.items()], ignore_index=True)
    return Page(data, sections)


def _read_limits(run: Run) -> Limits:
    """Return the bandwidths of the run's machine by number of threads."""
    levels: Limits = {}
    for name, limit in mapping(run.campaign.get("limits")).items():
        if match := re.fullmatch(r"cpu, (\d{1,4}) threads?", name):
            levels[int(match[1])] = [
                (number(level.get("holds")) if level.get("holds") else np.inf, number(level.get("bytes_per_s")))
                for level in sequence(mapping(limit).get("levels"))
            ]
    if not any(levels.values()) or 1 not in levels:
        raise RunError(f"{run.label} has no bandwidths by number of threads; measure them with: make scaling")
    return levels


def _measured(group: pd.DataFrame, limits: Limits) -> Iterator[Row]:
    """Yield a row for each size that was measured with one rank and with several: strong and weak scaling."""
    per_step = group.set_index([*SIZE, "ranks", "block"])["per_step_s"].sort_index()
    size = int(group["size"].iloc[0])
    for n, d, k, ranks in sorted({index[:4] for index in per_step.index if index[3] > 1}):
        for mode, base_n in (("strong", n), ("weak", n / ranks)):
            if (base_n, d, k, 1) not in per_step.index:
                continue
            base, several, scale = per_step[base_n, d, k, 1], per_step[n, d, k, ranks], n / base_n
            gain = (scale * base / several).dropna()
            base_s = reading_seconds(limits, base_n, d, k, size, 1)
            limit = scale * base_s / reading_seconds(limits, n, d, k, size, ranks)
            case = {**group[GROUP].iloc[0], "mode": mode, "n": n, "d": d, "k": k, "ranks": ranks, "blocks": len(gain)}
            yield case | {
                "per_step_s": several.median(),
                "speedup": gain.median(),
                "low": gain.min(),
                "high": gain.max(),
                "efficiency": gain.median() / ranks,
                "ceiling": limit,
                "of_ceiling": gain.median() / limit,
            }


def _parameters(group: pd.DataFrame, fit: Model) -> Iterator[Row]:
    """Yield a row per parameter under the first law. With at most two ranks, the other law gives the same values."""
    low, high = np.quantile(fit.draws, INTERVAL, axis=0)
    for i, name in enumerate(PARAMETERS):
        values = {"parameter": name, "law": fit.law, "value": fit.parameters[i], "low": low[i], "high": high[i]}
        yield {**group[GROUP].iloc[0], **values}


def _predicted(group: pd.DataFrame, fit: Model) -> Iterator[Row]:
    """Yield a row for each size on RANKS_FACTOR times the most measured ranks. Weak: `n` is the rows per rank."""
    cases = group[[*SIZE, "size"]].drop_duplicates().sort_values(SIZE).assign(ranks=1)
    ranks = RANKS_FACTOR * int(group["ranks"].max())
    for mode, scale in (("strong", 1), ("weak", ranks)):
        per_step = fit.per_step(cases.assign(ranks=ranks, n=cases["n"] * scale))
        gain = scale * fit.per_step(cases) / per_step
        low, high = np.quantile(gain[1:], INTERVAL, axis=0)
        for i, case in enumerate(records(cases[SIZE])):
            yield {**group[GROUP].iloc[0], "mode": mode, **case, "ranks": ranks, "law": fit.law} | {
                "per_step_s": per_step[0, i],
                "speedup": gain[0, i],
                "low": low[i],
                "high": high[i],
                "efficiency": gain[0, i] / ranks,
            }


def _measured_cells(row: Row) -> dict[str, str]:
    return {
        "implementation": words(row["impl"]),
        "rows x features": _shape(row),
        "mode": row["mode"],
        "ranks": words(row["ranks"]),
        "per step": seconds(row["per_step_s"]),
        "speed-up": f"{speedup(row['speedup'])} ({speedup(row['low'])} to {speedup(row['high'])})",
        "efficiency": f"{row['efficiency']:.0%}",
        "reading gain": times(row["ceiling"]),
        "of the gain": f"{row['of_ceiling']:.0%}",
    }


def _parameter_table(parameters: pd.DataFrame) -> list[dict[str, str]]:
    table = []
    for (impl, _), group in parameters.groupby(GROUP):
        cells = {"implementation": words(impl)}
        for row in records(group):
            form = times if row["parameter"] == "reading" else seconds
            cells[row["parameter"]] = f"{form(row['value'])} ({form(row['low'])} to {form(row['high'])})"
        table.append(cells)
    return table


def _predicted_table(predicted: pd.DataFrame) -> list[dict[str, str]]:
    """Return a row for each size and mode, with the speed-ups under both laws."""
    groups = [records(group) for _, group in predicted.groupby([*GROUP, "d", "k", "n", "mode"])]
    return [
        {"implementation": words(first["impl"]), "rows x features": _shape(first), "mode": first["mode"]}
        | {f"{first['ranks']} ranks": " to ".join(speedup(row["speedup"]) for row in (first, *alternatives))}
        for first, *alternatives in groups
    ]


def _shape(row: Row) -> str:
    return f"{row['n']:,.0f} x {row['d']:,.0f}"


def add_commands(commands: options.Commands) -> None:
    summary = "show measured scaling over ranks, and predict more ranks"
    command = options.add(commands, "scaling", lambda args: scaling(find(args.run, args.runs)), summary)
    command.add_argument("run", metavar="RUN", help="the run to show")


def reading_seconds(limits: Limits, n: float, d: float, k: float, size: float, ranks: float) -> float:
    """Return the seconds in which single-threaded ranks read X (n, d) and y (n, k) once. size: bytes of a number."""
    threads = max(count for count in limits if count <= ranks)
    read = n * (d + k) * size * threads / ranks
    return read / next(speed for capacity, speed in limits[threads] if read <= capacity)


def design(cases: pd.DataFrame, limits: Limits, law: str) -> Array:
    """Return the design matrix (cases, 4). Cases have n, d, k, size (bytes of a number) and ranks."""
    n, d, k, size, r = (cases[name].to_numpy(float) for name in ("n", "d", "k", "size", "ranks"))
    reading = [reading_seconds(limits, *case) for case in zip(n, d, k, size, r, strict=True)]
    exchanges, sent_bytes = [LAWS[law](ranks) for ranks in r], 2 * (r - 1) / r * d * k * size
    return np.column_stack([np.ones(len(r)), reading, exchanges, sent_bytes])


def model(rows: pd.DataFrame, limits: Limits, law: str) -> Model:
    """Fit the rows of one implementation. Columns: those of `design`, block, per_step_s.

    The draws are a bootstrap over blocks, because the rows of a block share their interference. Raises RunError if the
    rows do not determine the parameters.
    """
    for name, plural in {"ranks": "numbers of ranks", "block": "blocks"}.items():
        if rows[name].nunique() < 2:
            raise RunError(f"a model takes at least two {plural}, here is {rows[name].nunique()}")
    costs, seconds = design(rows, limits, law), rows["per_step_s"].to_numpy(float)
    relative = costs / seconds[:, None]
    singular = np.linalg.svd(relative / np.linalg.norm(relative, axis=0), compute_uv=False)
    if len(rows) < len(PARAMETERS) or singular[-1] < SMALLEST_SINGULAR * singular[0]:
        raise RunError(f"these sizes cannot tell apart {', '.join(PARAMETERS)}; measure more values of n and d")
    rng, blocks = np.random.default_rng(SEED), rows["block"].to_numpy()
    rows_by_block = [np.flatnonzero(blocks == block) for block in np.unique(blocks)]
    resamples = [rng.integers(len(rows_by_block), size=len(rows_by_block)) for _ in range(DRAWS)]
    draws = [fit_prices(relative[np.concatenate([rows_by_block[i] for i in draw])]) for draw in resamples]
    parameters = fit_prices(relative)
    return Model(law, limits, parameters, np.array(draws), costs @ parameters / seconds - 1)

"""How a descent scales over ranks: as `make scaling` measured it, against what reading gains, and as a model has it.

Strong: the same rows by more ranks. Weak: as many rows for each. Speed-ups are ratios within a block. The ceiling is
what reading X once gains by as many threads: no descent over X gains more, unless it was slow for another reason.
"""

import re
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from results.commands import options
from results.output import Page, Section, digits, records, seconds, speedup, times, words
from results.stats.scaling_model import LAWS, PARAMETERS, Limits, Model, model
from results.store.reading import Run, RunError, mapping, number, sequence
from results.store.runs import find

FURTHER = 2  # times the measured ranks are predicted: beyond that a model of few ranks is no evidence
SIZE = ["n", "d", "k"]
OF = ["impl", "dtype"]
BYTES = {"float32": 4, "float64": 8}


def scaling(run: Run) -> Page:
    """Measured rows, the model's parameters and its predictions. Raises RunError where the run cannot tell."""
    rows, limits = _rows(run), _limits(run)
    measured = pd.DataFrame([row for of in _groups(rows) for row in _measured(of, limits)])
    models = [(of, [model(of, limits, law) for law in LAWS]) for of in _groups(rows)]
    parameters = pd.DataFrame([row for of, found in models for row in _parameters(of, found[0])])
    predicted = pd.DataFrame([row for of, found in models for law in found for row in _predicted(of, law)])
    most = int(rows["ranks"].max())
    sections = [
        Section("Measured", table=[_measured_cells(row) for row in records(measured)], notes=[MEASURED], level=3),
        Section("The model", table=_parameter_cells(parameters), notes=[MODEL, *_residuals(models)], level=3),
        Section(
            f"Predicted, not measured: from {most} ranks over one machine's loopback",
            table=_predicted_cells(predicted),
            notes=[PREDICTED.format(most=most)],
            level=3,
        ),
    ]
    kinds = {"measured": measured, "parameter": parameters, "predicted": predicted}
    frame = pd.concat([table.assign(kind=kind) for kind, table in kinds.items()], ignore_index=True)
    return Page(frame, sections)


MEASURED = (
    "Ranks of one thread, each on a core of its own. Strong: the same rows by more ranks; weak: as many rows for each"
    " (efficiency: one rank's time over theirs). Medians over blocks, in brackets their range. Ceiling: what reading X"
    " once gains by as many threads."
)
MODEL = (
    "per step = call + reading x (X read once at the limit) + exchange x E + byte x (bytes that a rank sends), fitted"
    " to all rows by their relative errors; in brackets 95 % of other draws of the blocks. Where 0 is in them, the rows"
    " cannot tell whether there is such a cost."
)
PREDICTED = (
    "Never run: what the model says of more ranks, if each {most} of them share a machine like this one, and messages"
    " between machines take what they take here, over one machine's loopback; over a network they take longer."
    " Speed-ups over one rank, from E = log2 r (a tree of exchanges) to E = r - 1 (a ring): two ranks cannot tell"
    " which. Weak: rows are those of each rank."
)


def _rows(run: Run) -> pd.DataFrame:
    """The rows that count; `size`: bytes of a number."""
    rows = run.rows[run.rows["valid"] & run.rows["network_bytes"].notna() & run.rows["dtype"].isin(BYTES)]
    if rows.empty:
        raise RunError(f"{run.label} has no valid row of ranks: make scaling")
    return rows.assign(size=rows["dtype"].map(BYTES))


def _limits(run: Run) -> Limits:
    """What the run says of its machine's limits, by threads."""
    levels = {}
    for name, held in mapping(run.campaign.get("limits")).items():
        if found := re.fullmatch(r"cpu, (\d{1,4}) threads?", name):
            known = sequence(mapping(held).get("levels"))
            levels[int(found[1])] = [
                (number(level.get("holds")) if level.get("holds") else np.inf, number(level.get("bytes_per_s")))
                for level in known
            ]
    if not any(levels.values()) or 1 not in levels:
        raise RunError(f"{run.label} does not say what its machine's threads read in a second: make scaling")
    return Limits(levels)


def _groups(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    yield from (of for _, of in rows.groupby(OF))


def _measured(of: pd.DataFrame, limits: Limits) -> Iterator[dict[str, Any]]:
    """A row for each size by one rank and by several, strong and weak."""
    took = of.set_index([*SIZE, "ranks", "block"])["per_step_s"].sort_index()
    size = int(of["size"].iloc[0])
    for n, d, k, ranks in sorted({place[:4] for place in took.index if place[3] > 1}):
        for mode, one in (("strong", n), ("weak", n / ranks)):
            if (one, d, k, 1) not in took.index:
                continue
            alone, together, scale = took[one, d, k, 1], took[n, d, k, ranks], n / one
            gain = (scale * alone / together).dropna()
            ceiling = scale * limits.reading(one, d, k, size, 1) / limits.reading(n, d, k, size, ranks)
            yield {**of[OF].iloc[0], "mode": mode, "n": n, "d": d, "k": k, "ranks": ranks, "blocks": len(gain)} | {
                "per_step_s": together.median(),
                "speedup": gain.median(),
                "low": gain.min(),
                "high": gain.max(),
                "efficiency": gain.median() / ranks,
                "ceiling": ceiling,
                "of_ceiling": gain.median() / ceiling,
            }


def _parameters(of: pd.DataFrame, found: Model) -> Iterator[dict[str, Any]]:
    """Under the first law: as long as two ranks are the most, the other gives the same."""
    low, high = np.quantile(found.draws, [0.025, 0.975], axis=0)
    for at, name in enumerate(PARAMETERS):
        told = {"parameter": name, "law": found.law, "value": found.parameters[at], "low": low[at], "high": high[at]}
        yield {**of[OF].iloc[0], **told}


def _predicted(of: pd.DataFrame, found: Model) -> Iterator[dict[str, Any]]:
    """For each measured size by FURTHER times the most measured ranks; weak: each rank has the rows that one had."""
    alone = of[[*SIZE, "size"]].drop_duplicates().sort_values(SIZE).assign(ranks=1)
    base = found.per_step(alone)
    ranks = FURTHER * int(of["ranks"].max())
    for mode, scale in (("strong", 1), ("weak", ranks)):
        took = found.per_step(alone.assign(ranks=ranks, n=alone["n"] * scale))
        gain = scale * base / took
        for at, case in enumerate(records(alone[SIZE])):
            low, high = np.quantile(gain[1:, at], [0.025, 0.975])
            yield {**of[OF].iloc[0], "mode": mode, **case, "ranks": ranks, "law": found.law} | {
                "per_step_s": took[0, at],
                "speedup": gain[0, at],
                "low": low,
                "high": high,
                "efficiency": gain[0, at] / ranks,
            }


def _measured_cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "implementation": words(row["impl"]),
        "rows x features": _case(row),
        "mode": row["mode"],
        "ranks": words(row["ranks"]),
        "per step": seconds(row["per_step_s"]),
        "speed-up": f"{speedup(row['speedup'])} ({digits(row['low'])} to {digits(row['high'])})",
        "efficiency": f"{row['efficiency']:.0%}",
        "ceiling": times(row["ceiling"]),
        "of the ceiling": f"{row['of_ceiling']:.0%}",
    }


def _parameter_cells(parameters: pd.DataFrame) -> list[dict[str, str]]:
    """A row for each implementation."""
    return [
        {"implementation": words(impl)} | {row["parameter"]: _parameter(row) for row in records(of)}
        for (impl, _), of in parameters.groupby(OF)
    ]


def _parameter(row: dict[str, Any]) -> str:
    show = times if row["parameter"] == "reading" else seconds
    return f"{show(row['value'])} ({show(row['low'])} to {show(row['high'])})"


def _residuals(models: list[tuple[pd.DataFrame, list[Model]]]) -> list[str]:
    """How far the model is from the rows that it was fitted to."""
    return [
        f"{of['impl'].iloc[0]}: off by {np.median(np.abs(found.residuals)):.0%} in the median of {len(of)} rows,"
        f" by {np.abs(found.residuals).max():.0%} in the worst."
        for of, (found, *_) in models
    ]


def _predicted_cells(predicted: pd.DataFrame) -> list[dict[str, str]]:
    """A row for each size and mode; speed-ups under both laws."""
    return [
        {"implementation": words(row["impl"]), "rows x features": _case(row), "mode": row["mode"]}
        | {f"{ranks} ranks": " to ".join(speedup(gain) for gain in by["speedup"]) for ranks, by in of.groupby("ranks")}
        for _, of in predicted.groupby([*OF, "d", "k", "n", "mode"])
        for row in records(of.head(1))
    ]


def _case(row: dict[str, Any]) -> str:
    """Rows and columns of X."""
    return f"{row['n']:,.0f} x {row['d']:,.0f}"


def add_commands(commands: options.Commands) -> None:
    """Add `scaling` to the command line."""
    command = options.add(commands, "scaling", _scaling, "show measured scaling over ranks, and predict more ranks")
    command.add_argument("run", metavar="RUN", help="which run")


def _scaling(given: Namespace) -> Page:
    return scaling(find(given.run, given.runs))

"""Show how a descent scales over ranks: as measured, in relation to reading X, and as predicted by a model.

Strong scaling: the same rows on more ranks. Weak scaling: the same rows per rank. Speed-ups are ratios within a block.
The reading limit is the speed-up of reading X once with as many threads. A descent over X gains more only if one rank
was slow for another reason.
"""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from results.commands import options
from results.output import Page, Section, records, seconds, speedup, times, words
from results.stats.scaling_model import LAWS, PARAMETERS, Limits, Model, model, reading_seconds
from results.store.outcomes import Row
from results.store.reading import Run, RunError, mapping, number, sequence
from results.store.runs import find

FACTOR = 2  # predicted ranks / most measured ranks: a model of few ranks is no evidence beyond
SIZE = ["n", "d", "k"]
GROUP = ["impl", "dtype"]
BYTES = {"float32": 4, "float64": 8}
INTERVAL = [0.025, 0.975]
MEASURED = (
    "Ranks have one thread, each on its own core. Strong: the same rows on more ranks. Weak: the same rows per rank;"
    " efficiency is the time of one rank over that of several. Medians over blocks, extremes in brackets. Reading"
    " limit: the speed-up of reading X once with as many threads."
)
MODEL = (
    "per step = call + reading x (X read once at the limit) + exchange x E + byte x (bytes that a rank sends), fitted"
    " to all rows by relative error. In brackets: 95 % of bootstrap draws of the blocks. If they contain 0, the rows"
    " do not show whether this cost exists."
)
PREDICTED = (
    "Predicted by the model, never measured. It assumes that each {most} ranks share a machine like this one, and that"
    " messages between machines take as long as over this machine's loopback; over a network they take longer."
    " Speed-ups over one rank, from E = log2 r (a tree of exchanges) to E = r - 1 (a ring): two ranks cannot show"
    " which. Weak: rows per rank."
)


def scaling(run: Run) -> Page:
    """Return measured speed-ups, the model's parameters and its predictions. Raises RunError if data is missing."""
    rows, limits = _rank_rows(run), _read_limits(run)
    groups = [group for _, group in rows.groupby(GROUP)]
    models = [[model(group, limits, law) for law in LAWS] for group in groups]
    measured = pd.DataFrame([row for group in groups for row in _measured(group, limits)])
    parameters, predicted, notes = list[Row](), list[Row](), [MODEL]
    for group, (first, *others) in zip(groups, models, strict=True):
        parameters += _parameters(group, first)
        predicted += [row for one in (first, *others) for row in _predicted(group, one)]
        error = np.abs(first.residuals)
        fit = f"the error of the fit to {len(group)} rows is {np.median(error):.0%} in the median"
        notes.append(f"{group['impl'].iloc[0]}: {fit}, at most {error.max():.0%}.")
    tables = {"measured": measured, "parameter": pd.DataFrame(parameters), "predicted": pd.DataFrame(predicted)}
    most = int(rows["ranks"].max())
    sections = [
        Section("Measured", table=[_measured_cells(row) for row in records(measured)], notes=[MEASURED], level=3),
        Section("The model", table=_parameter_table(tables["parameter"]), notes=notes, level=3),
        Section(
            f"Predicted, not measured: from {most} ranks over one machine's loopback",
            table=_predicted_table(tables["predicted"]),
            notes=[PREDICTED.format(most=most)],
            level=3,
        ),
    ]
    data = pd.concat([table.assign(kind=kind) for kind, table in tables.items()], ignore_index=True)
    return Page(data, sections)


def _rank_rows(run: Run) -> pd.DataFrame:
    """Return the valid rows of `make scaling`, with `size`: bytes of a number."""
    rows = run.rows[run.rows["valid"] & run.rows["network_bytes"].notna() & run.rows["dtype"].isin(BYTES)]
    if rows.empty:
        raise RunError(f"{run.label} has no valid row of ranks; make one with: make scaling")
    return rows.assign(size=rows["dtype"].map(BYTES))


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
    """Yield a row for each size with one rank and several, strong and weak."""
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
    """Yield a row for each size on FACTOR times the most measured ranks. Weak: `n` is the number of rows per rank."""
    cases = group[[*SIZE, "size"]].drop_duplicates().sort_values(SIZE).assign(ranks=1)
    ranks = FACTOR * int(group["ranks"].max())
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
        "reading limit": times(row["ceiling"]),
        "of the limit": f"{row['of_ceiling']:.0%}",
    }


def _parameter_table(parameters: pd.DataFrame) -> list[dict[str, str]]:
    """Return a row for each implementation."""
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
        | {f"{first['ranks']} ranks": " to ".join(speedup(row["speedup"]) for row in (first, *others))}
        for first, *others in groups
    ]


def _shape(row: Row) -> str:
    """Return rows and columns of X."""
    return f"{row['n']:,.0f} x {row['d']:,.0f}"


def add_commands(commands: options.Commands) -> None:
    command = options.add(
        commands,
        "scaling",
        lambda args: scaling(find(args.run, args.runs)),
        "show measured scaling over ranks, and predict more ranks",
    )
    command.add_argument("run", metavar="RUN", help="the run to show")

"""Show the measured limits of a machine, how near each case comes to them, and the cost of software layers.

The cost of a layer is the difference of two steps, with and without it, on a problem with almost no arithmetic.
"""

from statistics import median
from typing import Any

import pandas as pd

from results import options
from results.output import Page, Section, digits, records, seconds, with_rows, words
from results.page.sections import limit_text, table_by_problem
from results.stats.pairing import without_duplicates
from results.stats.quiet_or_busy import machine_lines
from results.store.outcomes import DISPATCH, Row, by_size, drop_duplicates, groups, outcomes
from results.store.reading import Run, RunError, mapping, number, require_own, sequence

LAYERS = [
    ("NumPy: six calls", "numpy_manual", ""),
    ("torch's dispatch, over NumPy's", "torch_manual", "numpy_manual"),
    ("autograd, over the gradient by hand", "torch_autograd", "torch_manual"),
    ("nn.Linear and optim.SGD, over autograd alone", "torch_nn", "torch_autograd"),
    ("torch.compile, over calling its operations", "torch_compile", "torch_manual"),
    ("JAX without jit", "jax_grad", ""),
    ("a call of a jitted step", "jax_jit", "jax_scan"),
    ("the whole descent compiled: JAX", "jax_scan", ""),
    ("the whole descent compiled: Numba", "numba_fused", ""),
]  # layer, implementation with it, implementation without it or ""
TWICE_NOTE = "Code that reads X twice, as two products do, reaches at most about 50 % where reading is the limit."
LIMIT_NOISE = 1.03  # share of the limit, up to which a row is not above it
READ_LIMITS = ("cache", "memory")  # limits by reading
SMALL_ELEMENTS = 200  # up to this n * d, a step has almost no arithmetic


def limits(run: Run) -> Page:
    """Show the measured limits of a run, its cases and its layers. Raises RunError if the run has no limits."""
    require_own(run)
    measured = mapping(run.campaign.get("limits"))
    if not any(measured.values()):
        raise RunError(f"{run.label} has no measured limits: it predates them, or was made with --no-limits")
    table = outcomes(run)
    machine = [_machine_section(str(device), mapping(limit)) for device, limit in measured.items() if limit]
    cases = _case_sections(run, records(drop_duplicates(run, table)))
    return Page(
        table,
        [Section(f"Limits of {run.label}", machine=machine_lines(run)), *machine, *cases, *costs(run), *layers(run)],
    )


def _machine_section(device: str, limit: Row) -> Section:
    """Show the bandwidths and arithmetic rates of a device."""
    table = [
        {
            "level": words(level.get("level")),
            "capacity": f"{number(level.get('holds')) / 1024:,.0f} KiB" if level.get("holds") else "-",
            "bandwidth": f"{digits(number(level.get('bytes_per_s')) / 1e9)} GB/s",
            "kernel": words(level.get("kernel")),
        }
        for level in sequence(limit.get("levels"))
    ]
    notes = ["Medians over the blocks; in each block, the best of several kernels and tries."]
    titles = {"flops_per_s": "matrix products", "matvec_flops_per_s": "matrix-vector products in a cache"}
    for name, title in titles.items():
        if rates := mapping(limit.get(name)):
            texts = [f"{digits(number(rate) / 1e9)} GFLOP/s in {dtype}" for dtype, rate in rates.items()]
            notes.append(f"{title}: {' and '.join(texts)}.")
    notes.append(f"The cheapest call of a kernel takes {seconds(number(limit.get('call_s')))}.")
    failures = mapping(limit.get("failed")).items()
    notes += [f"{words(impl)} could not measure: {words(reason)}." for impl, reason in failures]
    return Section(f"The machine: {device}", table=table, notes=notes, level=3)


def _case_sections(run: Run, cases: list[Row]) -> list[Section]:
    """Return a table per device and dtype: each problem's limits with one and two passes, and its shortest steps."""
    rows_of_run = without_duplicates(run.rows)
    two_pass = rows_of_run.groupby(["device", "dtype", "problem"])["two_pass_s"].median()
    shares = rows_of_run.groupby(["device", "dtype", "problem", "impl"])["fraction_of_limit"]
    sections = []
    for (device, dtype), group in groups([row for row in cases if row["step_reads"] == "X"], "device", "dtype"):
        table = []
        for (problem,), rows in sorted(groups(group, "problem"), key=lambda item: by_size(item[1][0])):
            timed = sorted((row for row in rows if row["per_step_s"] > 0), key=lambda row: float(row["per_step_s"]))
            if not timed or timed[0]["limit_s"] != timed[0]["limit_s"]:
                continue
            shortest = [f"{seconds(row['per_step_s'])}, {words(row['impl'])}" for row in timed[:2]]
            table.append(
                {
                    "problem": words(problem),
                    "shortest step": shortest[0],
                    "of the limit": _share(timed[0], shares.get_group((device, dtype, problem, timed[0]["impl"]))),
                    "one pass": f"{seconds(timed[0]['limit_s'])} ({words(timed[0]['limited_by'])})",
                    "two passes": seconds(float(two_pass[device, dtype, problem])),
                    "second shortest": shortest[1] if shortest[1:] else "-",
                }
            )
        notes = [
            "One pass, two passes: the time of a step at the machine's limit if it reads X once or twice.",
            "of the limit: the share of the measured read bandwidth, or of the arithmetic rate; median and extremes."
            " From 1 MiB on, the limit of memory and caches is what a kernel read beside the rounds of the row,"
            " as many bytes with as many threads.",
            *_read_twice(rows_of_run, device, dtype),
            *_above(group, shares),
        ]
        sections.append(Section(f"Steps at the limit: {device}, {dtype}", table=table, notes=notes, level=3))
        shares_by_impl = table_by_problem(group, lambda row: limit_text(row).partition(" ")[0], options.BASELINE)
        title = f"Share of the limit: {device}, {dtype}"
        sections.append(Section(title, table=shares_by_impl if table else [], notes=[TWICE_NOTE], level=3))
    return with_rows(*sections)


def _share(row: Row, blocks: "pd.Series[float]") -> str:
    """Return the share of the limit with its extremes over the blocks: `84.0% (79.1 to 88.3)`."""
    extremes = f" ({digits(100 * blocks.min())} to {digits(100 * blocks.max())})" if blocks.count() > 1 else ""
    return f"{limit_text(row).partition(' ')[0]}{extremes}"


def _read_twice(rows: pd.DataFrame, device: object, dtype: object) -> list[str]:
    """Return a line on the agreement of repeated readings beside the rounds."""
    ratios = rows.loc[(rows["device"] == device) & (rows["dtype"] == dtype), "read_again_ratio"].dropna()
    if ratios.empty:
        return []
    middle, low, high = (digits(100 * value) for value in (ratios.median(), ratios.min(), ratios.max()))
    return [f"The reading measured twice, every second one against the others: {middle}% ({low} to {high} by row)."]


def _above(rows: list[Row], shares: Any) -> list[str]:
    """Return a line for each case that is above the limit in every block: there the limit is too low."""
    names = [tuple(row[name] for name in ("device", "dtype", "problem", "impl")) for row in rows]
    above = [name for name in names if name in shares.groups and shares.get_group(name).min() > LIMIT_NOISE]
    return [f"{words(impl)} on {words(problem)} is above the limit in every block: the limit is too low there."
            for _, _, problem, impl in above]  # fmt: skip


def costs(run: Run) -> list[Section]:
    """Show the cost of a step, in passes over its rows of X or in calls, on one problem per kind of limit.

    This is the problem with the most implementations, and of several such problems the largest.
    """
    call_s = number(mapping(mapping(run.campaign.get("limits")).get("cpu")).get("call_s"))
    rows = [row for row in records(drop_duplicates(run, outcomes(run))) if row["device"] == "cpu"]
    rows = [row for row in rows if row["step_reads"] == "X" and row["per_step_s"] > 0 and row["limit_s"] > 0]
    chosen: dict[str, tuple[tuple[object, ...], list[Row]]] = {}
    for (_, problem), group in groups(rows, "dtype", "problem"):
        kind = str(pd.Series([row["limited_by"] for row in group]).mode()[0])
        worth = (len(group), group[0]["n"] * group[0]["d"], words(problem))
        if kind in READ_LIMITS or (kind == DISPATCH and call_s > 0):
            chosen[kind] = max(chosen.get(kind, (worth, group)), (worth, group), key=lambda entry: entry[0])
    cells: dict[str, dict[str, str]] = {}
    for kind in (DISPATCH, *READ_LIMITS):
        for row in chosen.get(kind, ((), []))[1]:
            unit, least = ("calls", call_s) if kind == DISPATCH else ("passes", row["limit_s"])
            batch = words(row["problem"]).partition("@")[2]
            size = f"{row['n']:,.0f} x {row['d']:,.0f}{f' @{batch}' if batch else ''}, {words(row['dtype'])} ({kind})"
            cells.setdefault(words(row["impl"]), {})[size] = f"{digits(row['per_step_s'] / least)} {unit}"
    sizes = [*dict.fromkeys(size for row in cells.values() for size in row)]
    table = [{"implementation": impl} | {size: cells[impl].get(size, "-") for size in sizes} for impl in sorted(cells)]
    notes = [
        "passes: the time of a step over that of reading its rows of X once, as fast as was read beside it. calls: over"
        f" the cheapest call, {seconds(call_s)}."
    ]
    return with_rows(Section("What a step costs", table=table, notes=notes, level=3))


def layers(run: Run) -> list[Section]:
    """Show the cost of each layer per step on the smallest problem: the median of the differences within blocks."""
    rows = without_duplicates(run.rows[run.rows["valid"] & (run.rows["batch"] == run.rows["n"])])
    small = rows[(rows["n"] * rows["d"] <= SMALL_ELEMENTS) & (rows["device"] == "cpu")]
    if small.empty:
        return []
    first = small.sort_values(["n", "problem", "dtype"], ascending=[False, False, True]).iloc[0]
    same = small[(small["problem"] == first["problem"]) & (small["dtype"] == first["dtype"])]
    times = {str(impl): group.groupby("block")["per_step_s"].median() for impl, group in same.groupby("impl")}
    table = []
    for layer, impl, base in LAYERS:
        if impl in times and (not base or base in times):
            costs = (times[impl] - (times[base] if base else 0.0)).dropna().tolist()
            difference = f"{impl} - {base}" if base else impl
            cost = f"{seconds(median(costs))} ({seconds(min(costs))} to {seconds(max(costs))})" if costs else "-"
            table.append({"layer": layer, "measured as": difference, "per step": cost})
    title = f"The cost of each layer per step: {words(first['problem'])}, {words(first['dtype'])}"
    notes = ["Medians over the blocks, extremes in brackets. A difference is taken within a block."]
    return with_rows(Section(title, table=table, notes=notes, level=3))


def add_commands(commands: options.Commands) -> None:
    summary = "show the machine's measured limits, how near a run comes, and the cost of layers"
    options.add_for_run(commands, "limits", limits, summary)

"""What the machine could do: its bandwidths and rates as a run has measured them, and how near each case comes.

And the price of each layer: what a step costs more with it than without, on a problem with next to nothing to do.
"""

from argparse import Namespace
from statistics import median
from typing import Any

import pandas as pd

from results.commands import options
from results.output import Page, Section, digits, records, seconds, with_rows, words
from results.page.sections import limit_text
from results.stats.pairing import without_duplicates
from results.store.outcomes import Row, by_size, drop_duplicates, groups, outcomes
from results.store.reading import Run, RunError, mapping, number, sequence
from results.store.runs import find

LAYERS = [
    ("NumPy: six calls", "numpy_manual", ""),
    ("torch's dispatch, over NumPy's", "torch_manual", "numpy_manual"),
    ("autograd, over the gradient by hand", "torch_autograd", "torch_manual"),
    ("nn.Linear and optim.SGD, over autograd alone", "torch_nn", "torch_autograd"),
    ("torch.compile, over calling its operations", "torch_compile", "torch_manual"),
    ("JAX without jit", "jax_grad", ""),
    ("a call of a jitted step", "jax_jit", "jax_scan"),
    ("the descent compiled whole: JAX", "jax_scan", ""),
    ("the descent compiled whole: Numba", "numba_fused", ""),
]  # what is paid for, by whom, and who does not pay it
ROWS = 200  # numbers of X, up to which a step has next to nothing to do


def limits(run: Run) -> Page:
    """The run's measured limits, its cases beside them, its layers. Raises RunError where it has measured none."""
    measured = mapping(run.campaign.get("limits"))
    if not any(measured.values()):
        raise RunError(f"{run.label} has no measured limits: it is older than they are, or made with --no-limits")
    found = outcomes(run)
    parts = [Section(f"Limits of {run.label}")]
    parts += [_machine(str(device), mapping(held)) for device, held in measured.items() if held]
    return Page(found, [*parts, *_cases(run, records(drop_duplicates(run, found))), *layers(run)])


def _machine(device: str, held: Row) -> Section:
    """What a device reads and multiplies in a second."""
    table = [
        {
            "level": words(level.get("level")),
            "holds": f"{number(level.get('holds')) / 1024:,.0f} KiB" if level.get("holds") else "-",
            "reads": f"{digits(number(level.get('bytes_per_s')) / 1e9)} GB/s",
            "by": words(level.get("kernel")),
        }
        for level in sequence(held.get("levels"))
    ]
    kinds = {"flops_per_s": "matrix products", "matvec_flops_per_s": "matrix-vector products in a cache"}
    rates = [
        f"{text}: {' and '.join(f'{digits(number(rate) / 1e9)} GFLOP/s in {dtype}' for dtype, rate in of.items())}."
        for name, text in kinds.items()
        if (of := mapping(held.get(name)))
    ]
    call = f"The cheapest call of a kernel takes {seconds(number(held.get('call_s')))}."
    told = "Medians over the blocks; in each the best of several kernels and tries."
    failed = [f"{words(impl)} could not measure: {words(why)}." for impl, why in mapping(held.get("failed")).items()]
    return Section(f"The machine: {device}", table=table, notes=[told, *rates, call, *failed], level=3)


def _cases(run: Run, found: list[Row]) -> list[Section]:
    """Per device and dtype: each problem's shortest step by one pass, by two, and who comes nearest to the former."""
    rows = without_duplicates(run.rows)
    twice = rows.groupby(["device", "dtype", "problem"])["two_pass_s"].median()
    sections = []
    for (device, dtype), group in groups([row for row in found if row["step_reads"] == "X"], "device", "dtype"):
        table = []
        for (problem,), of in sorted(groups(group, "problem"), key=lambda held: by_size(held[1][0])):
            timed = sorted((row for row in of if row["per_step_s"] > 0), key=lambda row: float(row["per_step_s"]))
            if not timed or timed[0]["limit_s"] != timed[0]["limit_s"]:
                continue
            first = timed[0]
            table.append(
                {
                    "problem": words(problem),
                    "one pass": f"{seconds(first['limit_s'])} ({words(first['limited_by'])})",
                    "two passes": seconds(float(twice[device, dtype, problem])),
                    "shortest step": f"{seconds(first['per_step_s'])}, {words(first['impl'])}",
                    "of the limit": limit_text(first).partition(" ")[0],
                    "the next": f"{seconds(timed[1]['per_step_s'])}, {words(timed[1]['impl'])}" if timed[1:] else "-",
                }
            )
        notes = ["One pass, two passes: what a step takes at the machine's limit if it reads X once or twice."]
        sections.append(Section(f"Steps at the limit: {device}, {dtype}", table=table, notes=notes, level=3))
    return with_rows(*sections)


def layers(run: Run) -> list[Section]:
    """What each layer adds to a step, on the smallest problem of a run: medians of the differences, block by block."""
    rows = without_duplicates(run.rows[run.rows["valid"] & (run.rows["batch"] == run.rows["n"])])
    small = rows[(rows["n"] * rows["d"] <= ROWS) & (rows["device"] == "cpu")]
    if small.empty:
        return []
    first = small.sort_values(["n", "problem", "dtype"], ascending=[False, False, True]).iloc[0]
    here = small[(small["problem"] == first["problem"]) & (small["dtype"] == first["dtype"])]
    by = {str(impl): of.groupby("block")["per_step_s"].median() for impl, of in here.groupby("impl")}
    table = [_layer(text, by[impl], by[less] if less else 0.0, impl, less)
             for text, impl, less in LAYERS if impl in by and (not less or less in by)]  # fmt: skip
    title = f"The price of each layer: {words(first['problem'])}, {words(first['dtype'])}, a step"
    notes = ["Medians over the blocks, in brackets the extremes; a difference is of the same block."]
    return with_rows(Section(title, table=table, notes=notes, level=3))


def _layer(text: str, times: "pd.Series[Any]", less: "pd.Series[Any] | float", impl: str, other: str) -> dict[str, str]:
    costs = (times - less).dropna().tolist()
    between = f"{seconds(min(costs))} to {seconds(max(costs))}" if costs else "-"
    how = f"{impl} - {other}" if other else impl
    return {"what": text, "measured as": how, "per step": f"{seconds(median(costs))} ({between})" if costs else "-"}


def add_commands(commands: options.Commands) -> None:
    """Add `limits` to the command line."""
    command = options.add(
        commands, "limits", _limits, "show the machine's measured limits, how near a run comes, and the cost of layers"
    )
    command.add_argument("run", metavar="RUN", nargs="?", default="latest", help="which run (default: latest)")


def _limits(given: Namespace) -> Page:
    return limits(find(given.run, given.runs))

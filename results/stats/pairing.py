"""Pair two tables of rows case by case: the ratio over their common blocks, or the facts that make it invalid."""

import functools
import math
import re
import shlex
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from results.output import words
from results.stats.signed_rank import Array, batches_by_size, hodges_lehmann
from results.stats.verdicts import INVALID
from results.store.columns import CASE
from results.store.reading import Run, RunError
from results.store.runs import name_of, nearest

NEWER_FACTS = ["precision", "matmul_bits", "matvec_bits"]  # older files have none of them
WORK_FACTS = ["n", "d", "k", "batch", "steps", "lr", "seed", "problem_hash", "step_reads", *NEWER_FACTS]
EQUAL_FACTS = [*WORK_FACTS, "threads", "ranks"]
AXES = {
    "device": (),
    "dtype": ("problem_hash", *NEWER_FACTS[1:]),
    "threads": ("threads",),
    "ranks": ("ranks",),
    "precision": (*NEWER_FACTS,),
}
# along which two sides may differ, with the facts that then differ
DTYPES = ("float32", "float64", "float16", "bfloat16")
AXIS_VALUES = {"cpu": "device", "gpu": "device", **dict.fromkeys(DTYPES, "dtype")}  # of axes within a run
DECLARED_AXIS = re.compile(r"@(threads|precision)=\w+(-again)?$")  # ends a label: the axis along which it may differ
KERNELS = "kernels"  # must be the same in two runs; within one run it differs by framework
TRAITS = ["framework", "gradient", "style", "tuned"]  # a ratio is the joint effect of those that differ
OPTIONAL_FACTS = ["seed", KERNELS, *NEWER_FACTS]  # may be missing in both samples; problem_hash covers the seed

Labels = tuple[str, str]
Case = tuple[Any, ...]
Samples = dict[Case, "Sample"]
Facts = dict[str, list[str]]


class Sample(NamedTuple):
    """The rows of one case in one table.

    invalid: reason of the first invalid row, or "". facts: the values of EQUAL_FACTS and KERNELS as sorted texts.
    clocks: seconds per step by complete block, in order.
    """

    invalid: str
    facts: Facts
    clocks: dict[float, float]


class Selection(NamedTuple):
    """A side of a comparison within a run: an implementation, and its value of an axis."""

    impl: str
    axis: str
    value: str

    def __str__(self) -> str:
        return f"{self.impl}@{self.value}" if self.axis else self.impl

    @classmethod
    def parse(cls, word: str) -> "Selection":
        """Return the side that `jax_scan@gpu` names; without a known value after @, the axis is ""."""
        impl, _, value = word.rpartition("@")
        axis = AXIS_VALUES.get(value, "")
        return cls(impl, axis, value) if impl and axis else cls(word, "", "")

    def is_in(self, run: Run) -> bool:
        """Return whether the run has rows of the side."""
        rows = run.rows[run.rows["impl"] == self.impl]
        return len(rows) > 0 and (not self.axis or self.value in set(rows[self.axis]))

    def rows(self, run: Run) -> pd.DataFrame:
        """Return the side's rows. Raises RunError if there are none."""
        run_rows = without_duplicates(run.rows)
        names = sorted(set(run_rows["impl"].dropna()))
        if self.impl not in names:
            raise RunError(f"{run.label} has no implementation {self.impl!r}; {nearest(self.impl, names)}")
        rows = run_rows[(run_rows["impl"] == self.impl) & (run_rows[self.axis] == self.value)]
        if rows.empty:
            values = ", ".join(sorted(set(run_rows.loc[run_rows["impl"] == self.impl, self.axis].dropna())))
            raise RunError(
                f"{run.label} has {self.impl} with {self.axis} {values}, not {self.value}; measure both:"
                f" pytest benchmarks --impl {self.impl} --{self.axis} {values.split(', ')[0]},{self.value}"
            )
        return rows


def sides_along(a: str, b: str, over: str = "") -> tuple[Selection, Selection]:
    """Return the sides that `jax_scan@cpu` and `jax_scan@gpu` name; over "device", A is on the cpu and B on the gpu.

    The axis of both is "" for plain names. Raises RunError if they differ along two axes, as device and threads.
    """
    if over:
        if "@" in a + b:
            raise RunError(f"compare along one axis at a time: leave --over {over} out, or the @ of {a} and {b}")
        values = [value for value, axis in AXIS_VALUES.items() if axis == over]
        a, b = f"{a}@{values[0]}", f"{b}@{values[1]}"
    sides = Selection.parse(a), Selection.parse(b)
    if sides[0].axis != sides[1].axis:
        kinds = [f"{side} names {f'a {side.axis}' if side.axis else 'none'}" for side in sides]
        raise RunError(
            f"compare along one axis: {' and '.join(kinds)}; write both sides with @, such as {sides[0].impl}@cpu"
            f" {sides[1].impl}@gpu"
        )
    settings = [side.impl.partition("@")[2] for side in sides]  # of an environment: threads=2
    if sides[0].axis and settings[0] != settings[1]:
        differ = " and ".join(word or "none" for word in settings)
        raise RunError(f"compare along one axis at a time: {a} and {b} also differ in their settings, {differ}")
    return sides


TIME_COLUMNS = ["a_s", "b_s", "ratio"]
RATIO_COLUMNS = [*TIME_COLUMNS, "low", "high", "blocks", "refused", "unknown", "verdict", "logs", "pair"]
NO_RATIO: dict[str, Any] = {"blocks": 0, "refused": "", "unknown": "", "verdict": None, "logs": (), "common_blocks": ()}
NO_RATIO |= dict.fromkeys([*TIME_COLUMNS, "low", "high"], math.nan)
Pair = tuple[dict[str, Any], Sample | None, Sample | None]  # a row without estimates, and its two samples


def ratios(
    a: pd.DataFrame, b: pd.DataFrame, key: list[str], labels: Labels = ("A", "B"), over: str = ""
) -> pd.DataFrame:
    """Return one row per case of `key`: medians a_s and b_s (seconds per step), and `ratio` b/a.

    All values cover the common blocks. `logs` has one log ratio per block. `ratio` is the Hodges-Lehmann estimate of
    `logs`; low and high are the extremes. `pair` has the names of both implementations.
    If a case cannot be compared, its numbers are NaN and `refused` gives the reason, with `labels` for the tables.
    `unknown` names facts that neither table has. `verdict` is INVALID for unequal work or a failed check.
    over: the axis of AXES along which the sides may differ; "" for none.
    """
    samples = samples_by_case(a, key), samples_by_case(b, key)
    two_runs = set(a["run"].dropna()).isdisjoint(b["run"].dropna())
    first, second = (", ".join(sorted(set(rows["impl"].dropna()))) for rows in (a, b))
    same = [name for name in [*_same(first, second), *[KERNELS] * two_runs] if name not in AXES.get(over, ())]
    table = _ratio_table(_pairs(*samples, key, labels, {}, same), [*key, *RATIO_COLUMNS])
    impls = zip(table["impl"], table["impl"], strict=True) if "impl" in key else [(first, second)] * len(table)
    return table.assign(pair=pd.Series(list(impls), table.index, dtype=object))


def ratios_to(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return the `ratios` of every implementation of one run to the baseline. Duplicates are left out."""
    pairs = _baseline_pairs(samples_by_impl(without_duplicates(rows)), baseline, {})
    return _ratio_table(pairs, [*CASE[1:], *RATIO_COLUMNS, "impl"])


def ratios_to_each(rows: pd.DataFrame) -> pd.DataFrame:
    """Return `ratios_to` with each implementation of one run as the `baseline`. Duplicates are left out."""
    samples = samples_by_impl(without_duplicates(rows))
    pairs = (pair for name in sorted(samples) for pair in _baseline_pairs(samples, name, {"baseline": name}))
    return _ratio_table(pairs, [*CASE[1:], *RATIO_COLUMNS, "impl", "baseline"])


def _baseline_pairs(samples: dict[str, Samples], baseline: str, names: dict[str, Any]) -> Iterable[Pair]:
    for impl, cases in sorted(samples.items()):
        columns, same = {"impl": impl, "pair": (baseline, impl)}, _same(baseline, impl)
        yield from _pairs(samples.get(baseline, {}), cases, CASE[1:], (baseline, impl), columns | names, same)


def _same(*labels: str) -> Sequence[str]:
    """Return the facts that must agree between implementations: a label declares the axis along which they differ."""
    declared = [name for match in map(DECLARED_AXIS.search, labels) if match for name in AXES[match[1]]]
    return [name for name in EQUAL_FACTS if name not in declared] if declared else EQUAL_FACTS


def duplicate_ratios(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the `ratios` of the A/A pairs of one run, the duplicate to its original: labels `again` and `impl`."""
    samples, pairs = samples_by_impl(without_duplicates(rows)), list[Pair]()
    for original, of_original in rows.groupby("duplicate_of"):
        for duplicate, cases in sorted(samples_by_impl(of_original).items()):
            names = {"impl": original, "again": duplicate, "pair": (original, duplicate)}
            pairs += _pairs(samples.get(str(original), {}), cases, CASE[1:], ("A", "B"), names, EQUAL_FACTS)
    return _ratio_table(pairs, [*CASE[1:], *RATIO_COLUMNS, "impl", "again"])


def _pairs(
    a: Samples, b: Samples, key: list[str], labels: Labels, names: dict[str, Any], same: Sequence[str]
) -> Iterable[Pair]:
    """Yield a pair for each case of either table. names: further columns. same: facts that must be equal."""
    disjoint = _disjoint_values(a, b, key, labels)
    for case in sorted(a | b, key=str):
        left, right = a.get(case), b.get(case)
        if left and right:
            refusal = _refusal(left, right, labels, same)
        else:
            refusal = {"refused": disjoint or f"only in {labels[left is None]}"}
        yield dict(zip(key, case, strict=True)) | names | NO_RATIO | refusal, left, right


def _ratio_table(pairs: Iterable[Pair], columns: list[str]) -> pd.DataFrame:
    """Return the rows of the pairs, with estimates where the samples can be compared."""
    rows, compared, clocks = [], [], []
    for row, a, b in pairs:
        rows.append(row)
        if a and b and not row["refused"]:
            blocks = tuple(block for block in a.clocks if block in b.clocks)
            row |= {"common_blocks": blocks, "blocks": len(blocks)}
            compared.append(row)
            clocks.append([(a.clocks[block], b.clocks[block]) for block in blocks])
    for indices, batch in batches_by_size(clocks):
        for index, estimates in zip(indices, _estimates(batch[..., 0], batch[..., 1]), strict=True):
            compared[index] |= estimates
    logs = [pd.Series(row["logs"], pd.Index(row["common_blocks"], name="block"), float) for row in rows]
    return pd.DataFrame(rows, columns=columns).assign(logs=pd.Series(logs, dtype=object))


def _refusal(a: Sample, b: Sample, labels: Labels, same: Sequence[str]) -> dict[str, str]:
    """Return why the samples cannot be compared, or else the facts that are unknown in both."""
    invalid = [f"invalid in {label}: {x.invalid}" for label, x in zip(labels, (a, b), strict=True) if x.invalid]
    if reasons := [*invalid, *differences(a, b, labels, same)]:
        return {"refused": "; ".join(reasons), "verdict": INVALID}
    if not a.clocks.keys() & b.clocks.keys():
        return {"refused": "no complete block in common", "verdict": INVALID}
    return {"unknown": ", ".join(name for name in NEWER_FACTS if not a.facts[name] and not b.facts[name])}


def _estimates(a: Array, b: Array) -> Iterable[dict[str, Any]]:
    """Yield the estimates of P pairs with K blocks each. Both arrays are (P, K), in seconds."""
    quotients = b / a
    logs = np.log(quotients)
    columns = {
        "a_s": np.median(a, axis=-1),
        "b_s": np.median(b, axis=-1),
        "ratio": [math.exp(estimate) for estimate in hodges_lehmann(logs)],
        "low": quotients.min(axis=-1),
        "high": quotients.max(axis=-1),
        "logs": logs,
    }
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _disjoint_values(a: Iterable[Case], b: Iterable[Case], key: list[str], labels: Labels) -> str:
    """Return the names in `key` whose values differ completely between the tables, with the values; or ""."""
    left, right = ([sorted(set(values)) for values in zip(*cases, strict=True)] for cases in (a, b))
    return "; ".join(
        f"{name} {', '.join(left[i])} in {labels[0]}, {', '.join(right[i])} in {labels[1]}"
        for i, name in enumerate(key)
        if left and right and not set(left[i]) & set(right[i])
    )


def add_forced_ratios(table: pd.DataFrame, a: pd.DataFrame, b: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return `table` with the ratio of the medians for refused cases with times in both tables, checked or not."""
    key = [name for name in key if name not in ("device", "dtype") or set(a[name]) & set(b[name])]
    timed = [rows[rows["per_step_s"].between(0, math.inf, inclusive="neither")] for rows in (a, b)]
    sides = [rows.groupby(key)["per_step_s"].median() for rows in timed]
    medians = pd.concat(sides, axis=1, join="inner", keys=["a_s", "b_s"]).assign(ratio=lambda x: x["b_s"] / x["a_s"])
    if medians.empty:
        return table
    table, refused = table.copy(), table["refused"] != ""
    forced = table.loc[refused, key].merge(medians, how="left", left_on=key, right_index=True)
    table.loc[refused, TIME_COLUMNS] = forced[TIME_COLUMNS].to_numpy()
    table.loc[refused & table["ratio"].notna(), "verdict"] = INVALID
    return table


def without_duplicates(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without duplicates (second labels of A/A pairs)."""
    return rows[rows["duplicate_of"].isna()]


def samples_by_case(rows: pd.DataFrame, key: list[str]) -> Samples:
    """Return the sample of each case, by its values of `key`. Rows without one of these values are left out."""
    measured = [rows[name].tolist() for name in ("valid", "reason", "complete", "block", "per_step_s")]
    by_case: dict[Case, list[Any]] = {}
    for case, *row in zip(_values(rows, key), _values(rows, [*EQUAL_FACTS, KERNELS]), *measured, strict=True):
        by_case.setdefault(case, []).append(row)
    return {case: _sample(values) for case, values in by_case.items() if None not in case}


def samples_by_impl(rows: pd.DataFrame) -> dict[str, Samples]:
    """Return the samples of rows of one run by implementation, then by case."""
    samples: dict[str, Samples] = {}
    for (impl, *case), sample in samples_by_case(rows, CASE).items():
        samples.setdefault(impl, {})[tuple(case)] = sample
    return samples


def _values(rows: pd.DataFrame, names: list[str]) -> Iterable[tuple[Any, ...]]:
    """Yield the values of the columns `names` row by row, None for missing values."""
    columns = [[value if value == value else None for value in rows[name].tolist()] for name in names]
    return zip(*columns, strict=True)


def _sample(rows: list[Any]) -> Sample:
    facts, valid, reasons, complete, numbers, seconds = zip(*rows, strict=True)
    blocks = [number if number == number else 0 for number in numbers]  # a row without a number is block 0
    table = sorted(compress(zip(blocks, seconds, strict=True), complete))
    if len({block for block, _ in table}) < len(table):
        medians = pd.DataFrame(table).groupby(0)[1].median()
        table = list(zip(medians.index.tolist(), medians.tolist(), strict=True))
    invalid = "" if all(valid) else reasons[valid.index(False)]
    return Sample(invalid, _fact_texts(tuple(dict.fromkeys(facts))), dict(table))


@functools.lru_cache(maxsize=4096)
def _fact_texts(rows: tuple[tuple[Any, ...], ...]) -> Facts:
    """Return the values of EQUAL_FACTS and KERNELS among the rows as sorted texts. Equal rows share one object."""
    columns = zip([*EQUAL_FACTS, KERNELS], zip(*rows, strict=True), strict=True)
    values = {name: dict.fromkeys(value for value in column if value is not None) for name, column in columns}
    return {name: sorted(map(words, unique)) for name, unique in values.items()}


def differences(a: Sample, b: Sample, labels: Labels, names: Sequence[str] = EQUAL_FACTS) -> list[str]:
    """Return a message for each fact among `names` that differs between two samples, or that is missing."""
    messages = []
    for name in names:
        left, right = a.facts[name], b.facts[name]
        if left != right:
            absent, width = ("not set", 80) if name == KERNELS else ("unknown", 24)
            texts = [(", ".join(values) or absent)[:width] for values in (left, right)]
            messages.append(f"{name} {texts[0]} in {labels[0]}, {texts[1]} in {labels[1]}")
        elif not left and name not in OPTIONAL_FACTS:
            messages.append(f"{name} not recorded")
    return messages


def trait_notes(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """Return a line on the traits that differ between two implementations, by their rows; [] if none is known."""
    if not (traits := differing_traits(a, b)):
        return []
    texts = [f"{name}: {of_a} in A, {of_b} in B" for name, (of_a, of_b) in traits.items()]
    together = " The ratio is their joint effect; compare implementations that differ in one." if texts[1:] else ""
    return [f"A and B differ in {len(traits)} way{'s' * (len(traits) > 1)}: {'; '.join(texts)}.{together}"]


def partner_notes(run: Run, a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """Return a command that compares A with an implementation of the run that differs from A in one trait, as B does.

    [] if there is none with a case of A, or if A and B differ in fewer than two traits.
    """
    traits, valid = differing_traits(a, b), run.rows[run.rows["valid"] & run.rows["duplicate_of"].isna()]
    for impl, rows in valid.groupby("impl") if len(traits) > 1 else []:
        trait = differing_traits(a, rows)
        if len(trait) == 1 and trait.items() <= traits.items() and len(a[CASE[1:]].merge(rows[CASE[1:]])):
            names = shlex.join([str(a["impl"].iloc[0]), str(impl)])
            return [f"The effect of the {''.join(trait)} alone: python -m results compare {names} --run {name_of(run)}"]
    return []


def differing_traits(a: pd.DataFrame, b: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return the traits that differ between two implementations, by name, with the values of A and B."""
    values = {name: [", ".join(sorted(set(rows[name].dropna()))) for rows in (a, b)] for name in TRAITS}
    return {name: (of_a, of_b) for name, (of_a, of_b) in values.items() if of_a and of_b and of_a != of_b}

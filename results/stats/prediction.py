"""Predict the time per step at a size that was not measured, from the full-batch sizes of a run.

The model of an implementation has two parts. A non-negative combination of 1, n, d and n d is fitted to relative
errors: the prices of a call, a row, a column and an element. A smooth surface in log n and log d fits the remaining
errors.
The interval comes from leave-one-out errors: each size is predicted by a model that was fitted without it. Sizes
outside the measured ones are not predicted.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from results.stats.pools import FEW_BLOCKS
from results.stats.signed_rank import Array
from results.store.columns import CASE

MIN_SIZES = 6  # of an implementation
INTERVAL_LEVEL = 0.9
SMOOTHING = 0.05
EDGE_SHARE = 1e-9  # tolerance of `_turn`: within it, a size lies on the edge of the measured sizes


@dataclass(frozen=True)
class Prediction:
    """Seconds per step of an implementation at a size, with an interval.

    sizes: number of measured sizes in the model; 0 if this size was measured, with the interval of its blocks.
    level: of the interval; below INTERVAL_LEVEL if few sizes could be left out.
    """

    impl: str
    per_step_s: float
    low_s: float
    high_s: float
    sizes: int
    level: float = INTERVAL_LEVEL


def measured_sizes(rows: pd.DataFrame, batch: int | None = None) -> pd.DataFrame:
    """Return one row per implementation and size of valid cases with one target: medians over the blocks.

    low_s and high_s are the extremes of the blocks, and `blocks` is their number.
    batch: rows of a mini-batch; None for the full batch.
    """
    planned = rows["batch"] == (rows["n"] if batch is None else batch)
    valid = rows.groupby(CASE, dropna=False)["valid"].transform("all").astype(bool)
    one_target = rows["k"].isna() | (rows["k"] == 1)
    chosen = rows[valid & rows["complete"] & planned & one_target & (rows["step_reads"] == "X")]
    by_size = chosen.groupby(["impl", "n", "d"])
    table = by_size[["per_step_s", "fixed_s"]].median()
    table["low_s"], table["high_s"] = by_size["per_step_s"].min(), by_size["per_step_s"].max()
    table["blocks"] = by_size["block"].nunique(dropna=False)
    return table.reset_index()


def widen_few_blocks(sizes: pd.DataFrame, spreads: dict[str, float]) -> pd.DataFrame:
    """Return the sizes; those with few blocks have the interval of earlier runs, NaN if that is unknown.

    spreads: the log ratio between two processes, by implementation.
    """
    few, factor = sizes["blocks"] <= FEW_BLOCKS, np.exp(sizes["impl"].map(spreads).to_numpy(float))
    low = np.minimum(sizes["low_s"], sizes["per_step_s"] / factor)  # both NaN where the factor is
    high = np.maximum(sizes["high_s"], sizes["per_step_s"] * factor)
    return sizes.assign(low_s=sizes["low_s"].mask(few, low), high_s=sizes["high_s"].mask(few, high))


def has_size(sizes: pd.DataFrame, n: int, d: int) -> bool:
    """Return whether `predict` returns a prediction at a size. sizes: `measured_sizes`."""
    return any(
        bool(((rows["n"] == n) & (rows["d"] == d)).any())
        or (len(rows) >= MIN_SIZES and _is_inside(_sizes_of(rows), n, d))
        for _, rows in sizes.groupby("impl")
    )


def start_seconds(rows: pd.DataFrame) -> "pd.Series[float]":
    """Return the start-up seconds of a fresh process by implementation: medians over the blocks.

    Start-up is the import, the first use of the device, and the preparation and compilation of the first case of the
    process. That case includes what a framework builds once. rows: all rows of a device, in measured order and without
    filters, because a filter may omit the first cases.
    """
    timed = rows[rows["valid"].astype(bool)]
    clocks = ["import_s", "context_s", "prepare_s", "first_s", "steady_s"]
    first = timed.groupby(["impl", "block"], sort=False)[clocks].first()
    start = first["import_s"] + first["context_s"].fillna(0) + first["prepare_s"]
    start += (first["first_s"] - first["steady_s"]).clip(lower=0)
    return start.groupby("impl").median()


def job_seconds(rows: pd.DataFrame, steps: int) -> "pd.Series[float]":
    """Return for each row the seconds of a job of `steps` steps in a fresh process, from its start to the weights.

    A job is the import, the first use of the device, the preparation with the transfer of the data, the compilation,
    and the steps. It includes what a framework built once, in the first case of the process. rows: of all cases, in
    measured order.
    """
    compile_s = (rows["first_s"] - rows["steady_s"]).clip(lower=0)
    process = [rows[name] for name in ("run", "impl", "device", "block")]
    once = [clock.groupby(process, dropna=False).transform("first") for clock in (rows["prepare_s"], compile_s)]
    start = rows["import_s"] + rows["context_s"].fillna(0)
    start += rows["prepare_s"].clip(lower=once[0]) + compile_s.clip(lower=once[1])
    return start + rows["fixed_s"] + steps * rows["per_step_s"]


def as_jobs(rows: pd.DataFrame, steps: int, all_rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the time of a job of that many steps in place of the time per step.

    all_rows: of their run, without filters.
    """
    return rows.assign(per_step_s=job_seconds(all_rows, steps).loc[rows.index])


def predict(sizes: pd.DataFrame, n: int, d: int) -> list[Prediction]:
    """Return the predictions of all implementations at a size, the fastest first.

    sizes: `measured_sizes`. Implementations with fewer than MIN_SIZES, or without sizes around this one, are left out.
    """
    predictions = []
    for impl, rows in sizes.groupby("impl"):
        exact = rows[(rows["n"] == n) & (rows["d"] == d)]
        if len(exact):
            row = exact.iloc[0]
            predictions.append(Prediction(str(impl), row["per_step_s"], row["low_s"], row["high_s"], 0))
        elif len(rows) >= MIN_SIZES and _is_inside(points := _sizes_of(rows), n, d):
            log, errors = Model(points).log_seconds(n, d), held_out_errors(points)
            bounds = math.exp(log - quantile(errors)), math.exp(log + quantile(errors))
            predictions.append(Prediction(str(impl), math.exp(log), *bounds, len(rows), _level(errors)))
    return sorted(predictions, key=lambda prediction: prediction.per_step_s)


def _sizes_of(rows: pd.DataFrame) -> Array:
    """Return n, d and seconds per step (3, m) of one implementation in a table of `measured_sizes`."""
    return np.stack([rows[name].to_numpy(float) for name in ("n", "d", "per_step_s")])


def _places(sizes: Array) -> Array:
    """Return n and d in logarithms (m, 2)."""
    return np.asarray(np.log(sizes[:2].T))


def _terms(sizes: Array) -> Array:
    """Return the number of calls, rows, columns and elements of a step (m, 4)."""
    n, d = sizes[:2]
    return np.stack([np.ones_like(n), n, d, n * d], axis=1)


class Model:
    """The model of one implementation, fitted to its sizes (3, m): n, d and seconds per step.

    prices (4,): seconds of a call, a row, a column, an element. places (m, 2): the sizes in logarithms. weights (m,)
    and constant: of the surface, a radial basis function: constant - sum of weights times distances.
    """

    def __init__(self, sizes: Array) -> None:
        terms, seconds, count = _terms(sizes), sizes[2], sizes.shape[1]
        self.prices = fit_prices(terms / seconds[:, None])
        self.places, missed = _places(sizes), np.log(seconds) - np.log(terms @ self.prices)
        ones, distances = np.ones((count, 1)), _distances(self.places, self.places)
        system = np.block([[SMOOTHING * np.eye(count) - distances, ones], [ones.T, np.zeros((1, 1))]])
        *self.weights, self.constant = np.linalg.solve(system, [*missed, 0.0]).tolist()

    def log_seconds(self, n: float, d: float) -> float:
        """Return the logarithm of the seconds per step."""
        size = np.array([[n], [d], [math.nan]], float)
        surface = self.constant - _distances(_places(size), self.places)[0] @ self.weights
        return float(np.log(_terms(size) @ self.prices)[0] + surface)


def model_facts(rows: pd.DataFrame, start: "pd.Series[float]") -> list[dict[str, Any]]:
    """Return the model of each implementation with enough sizes, for a page that predicts without Python.

    start: `start_seconds` of its device. hull: the corners around its sizes, in logarithms. margin, level: of the
    interval, in logarithms. start_s, fixed_s: of a fresh process, and of a run without steps.
    """
    models = []
    for impl, group in measured_sizes(rows).groupby("impl"):
        points = _sizes_of(group)
        errors = held_out_errors(points)
        if len(group) >= MIN_SIZES and (hull := _hull(points)) and len(errors):
            model = Model(points)
            models.append(
                {"impl": impl, "prices": model.prices.tolist(), "places": model.places.tolist()}
                | {"weights": model.weights, "constant": model.constant, "hull": [*map(list, hull)]}
                | {"margin": quantile(errors), "level": _level(errors)}
                | {"start_s": float(start[impl]), "fixed_s": float(group["fixed_s"].median())}
            )
    return models


def fit_prices(terms: Array) -> Array:
    """Return the non-negative prices (p,) for which terms (m, p) @ prices are nearest to 1, by least squares.

    It tries every set of positive prices. scipy.optimize.nnls returns the same, but its import takes half a second.
    """
    best, least, count = np.zeros(terms.shape[1]), math.inf, terms.shape[1]
    scale = np.linalg.norm(terms, axis=0)
    scale[scale == 0] = 1.0
    for columns in [[*chosen] for size in range(1, count + 1) for chosen in itertools.combinations(range(count), size)]:
        prices = np.zeros(count)
        prices[columns] = np.linalg.lstsq((terms / scale)[:, columns], np.ones(len(terms)))[0] / scale[columns]
        missed = float(np.sum((terms @ prices - 1) ** 2))
        if missed < least and (prices >= 0).all():
            best, least = prices, missed
    return best


def _distances(a: Array, b: Array) -> Array:
    return np.asarray(np.linalg.norm(a[:, None] - b, axis=-1))


def _hull(sizes: Array) -> list[tuple[float, float]]:
    """Return the corners around the sizes in logarithms, counterclockwise; [] if the sizes lie on a line."""
    places, corners = sorted(map(tuple, _places(sizes).tolist())), list[tuple[float, float]]()
    for ordered in (places, places[::-1]):  # below, then above (Andrew's monotone chain)
        chain: list[tuple[float, float]] = []
        for place in ordered:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], place) <= EDGE_SHARE:
                chain.pop()
            chain.append(place)
        corners += chain[:-1]
    return corners if len(corners) > 2 else []


def _turn(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> float:
    """Return a positive number if the path from a over b to c turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def held_out_errors(sizes: Array) -> Array:
    """Return |log predicted - log measured| of each size between the others, predicted without it."""
    errors = []
    for index, (n, d, seconds) in enumerate(sizes.T):
        kept = np.delete(sizes, index, axis=1)
        if _is_inside(kept, n, d):
            errors.append(abs(Model(kept).log_seconds(n, d) - math.log(seconds)))
    return np.array(errors)


def held_out(sizes: pd.DataFrame) -> pd.DataFrame:
    """Return one row per implementation and predicted size. A third of the sizes is left out at a time.

    Columns: impl, n, d; error, predicted / measured - 1; inside, whether the interval contains the measured time.
    """
    rows = []
    grid = sizes[["n", "d"]].drop_duplicates().sort_values(["d", "n"], ignore_index=True)
    for third in range(3):
        left_out = grid[grid.index % 3 == third]
        marked = sizes.merge(left_out, how="left", on=["n", "d"], indicator="side")
        kept = marked[marked["side"] == "left_only"]
        for n, d in left_out.itertuples(index=False):
            truth = sizes[(sizes["n"] == n) & (sizes["d"] == d)].set_index("impl")["per_step_s"]
            for prediction in predict(kept, n, d):
                if measured_s := truth.get(prediction.impl):
                    inside = prediction.low_s <= measured_s <= prediction.high_s
                    rows.append([prediction.impl, n, d, prediction.per_step_s / measured_s - 1, inside])
    return pd.DataFrame(rows, columns=["impl", "n", "d", "error", "inside"])


def quantile(errors: Array) -> float:
    """Return what a new error exceeds with a probability of 1 - INTERVAL_LEVEL at most; the largest of few errors."""
    rank = min(math.ceil(INTERVAL_LEVEL * (len(errors) + 1)), len(errors))
    return float(np.sort(errors)[rank - 1]) if len(errors) else math.inf


def _level(errors: Array) -> float:
    """Return the level of the interval that `errors` give."""
    return min(INTERVAL_LEVEL, len(errors) / (len(errors) + 1))


def _is_inside(sizes: Array, n: float, d: float) -> bool:
    """Return whether a size lies between the measured sizes, in logarithms."""
    corners, place = _hull(sizes), (math.log(n), math.log(d))
    if not corners:
        return False
    return all(_turn(a, b, place) >= -EDGE_SHARE for a, b in itertools.pairwise([*corners, corners[0]]))

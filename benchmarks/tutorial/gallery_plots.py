"""The gallery's plots, light and dark: the line, its losses, and its path over the loss.

Colour never carries meaning alone: markers and dashes differ too, and labels stand beside what matters.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rcParams, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullLocator

from benchmarks.tutorial.fit import Descent, Descents
from benchmarks.tutorial.fit_plots import CLOUD_COLOURS, animate, still
from impls.interface import Array

PAPERS = {"light": ("#ffffff", "#1f2328"), "dark": ("#0d1117", "#f0f6fc")}  # background, text: GitHub's
MARKERS = "osD^v<>PpXh*"
WEIGHT_LIMITS = (-1.5, 4.5), (0.5, 3.5)  # of the contours
LEVELS = {0.2: (3, 2.2), 0.5: (3, 1.9), 1: (3, 1.5), 2: (3, 1.1), 5: (-0.1, 1.2), 10: (-1.3, 0.6)}  # loss: its words
MILESTONES = 1, 5, 10, 20  # updates that are labelled on a path


def write(folder: Path, right: dict[str, Descents], lead: Descents) -> list[Path]:
    """Write all plots, return their files. `right`: descents whose losses are shown; `lead`: the one drawn."""
    files = []
    line = lead.get("line")
    compared: dict[str, list[Descent]] = {
        name: [descents[name] for descents in right.values()] for name in ("line", "crops") if name in lead
    }
    for paper, (background, ink) in PAPERS.items():
        with style.context(_settings(background, ink), after_reset=True):
            figures = {"losses": losses(compared)}
            if line:
                figures = {"line": still(line), **figures, "paths": paths([line, lead["line of the notes"]])}
            for name, figure in figures.items():
                files.append(folder / f"{name}-{paper}.svg")
                figure.savefig(files[-1], metadata={"Date": None})
            if line:
                files.append(folder / f"line-{paper}.gif")
                animate(files[-1], line)
    return files


def losses(right: dict[str, list[Descent]]) -> Figure:
    """Draw one curve for each problem, with the implementations' markers in turn."""
    figure = Figure(figsize=(10, 5), layout="constrained")
    for axes, (name, descents) in zip(figure.subplots(1, len(right), squeeze=False)[0], right.items(), strict=True):
        table = np.array([[descent.loss(t) for t in range(descent.problem.steps + 1)] for descent in descents])
        axes.plot(table[0], color=rcParams["text.color"], linewidth=1, zorder=1)
        for i, (descent, row) in enumerate(zip(descents, table, strict=True)):
            turns = np.arange(i, len(row), len(table))
            axes.plot(turns, row[turns], linestyle="none", label=descent.impl, **_marker(i))
        axes.set(xlabel="update", ylabel="loss (MSE)", yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_title(f"{name}: losses differ by at most {spread(table):.2g} of their value", fontsize=10)
    figure.suptitle(f"{len(table)} implementation{'s' * (len(table) > 1)} on one curve, taking turns to mark it")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


def spread(table: Array) -> float:
    """Return, from (implementations, updates) losses, the largest relative difference between two at one update."""
    return float(np.max(np.ptp(table, axis=0) / table.min(axis=0)))


def paths(descents: Sequence[Descent]) -> Figure:
    """Draw the loss over both weights as contours, and the iterates from each start."""
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    axes = figure.subplots()
    first, last = descents[0], descents[0].problem.steps
    for i, (descent, dash, offset) in enumerate(zip(descents, ("-", "--"), ((-9, 7), (10, -8)), strict=True)):
        path = np.array([descent.weights(t) for t in range(last + 1)])
        axes.plot(*path.T, linestyle=dash, linewidth=1, markersize=5, zorder=3, **_marker(i))
        _words(axes, f"start ({path[0, 0]:g}, {path[0, 1]:g})", path[0], (0, -14))
        for t in MILESTONES:
            _words(axes, str(t), path[t], offset)
    end = first.weights(last)
    axes.plot(*end, marker="*", markersize=14, color=rcParams["text.color"], zorder=4)
    _words(axes, f"({end[0]:.2f}, {end[1]:.2f}) after {last} updates", end, (0, 16))
    axes.set_aspect("equal")
    axes.set(xlim=WEIGHT_LIMITS[0], ylim=WEIGHT_LIMITS[1])
    axes.set(xlabel=f"weight of {first.columns[0]}", ylabel=first.columns[1])
    _contours(axes, first)
    figure.suptitle(first.title)
    title = "first across the valley, then along it; numbers at the paths: updates, at the contours: loss"
    axes.set_title(title, fontsize=10)
    return figure


def _contours(axes: Axes, descent: Descent) -> None:
    """Draw lines of equal loss."""
    slope, intercept = np.meshgrid(*(np.linspace(*ends, 100) for ends in WEIGHT_LIMITS))
    X, y = descent.problem.X.astype(np.float64), descent.problem.y.astype(np.float64)
    errors = X @ np.stack([slope.ravel(), intercept.ravel()]) - y[:, None]
    loss = np.mean(errors**2, axis=0).reshape(slope.shape)
    lines = axes.contour(slope, intercept, loss, [*LEVELS], colors=rcParams["text.color"], linewidths=0.8, alpha=0.5)
    axes.clabel(lines, fmt="%g", manual=[*LEVELS.values()])


def _marker(i: int) -> dict[str, Any]:
    """Return colour and shape of the i-th implementation; from the seventh on hollow, because colours repeat."""
    color = CLOUD_COLOURS[i % len(CLOUD_COLOURS)]
    face = color if i < len(CLOUD_COLOURS) else rcParams["axes.facecolor"]
    return {"color": color, "marker": MARKERS[i % len(MARKERS)], "markerfacecolor": face, "markeredgewidth": 1.5}


def _words(axes: Axes, words: str, point: Any, offset: tuple[float, float]) -> None:
    """Write a label beside a point, offset in points, legible over lines."""
    halo = [withStroke(linewidth=3, foreground=rcParams["axes.facecolor"])]
    place: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "center"}
    axes.annotate(words, point, offset, **place, fontsize=9, path_effects=halo, zorder=10)


def _settings(background: str, ink: str) -> dict[str, Any]:
    """Return matplotlib's settings for one theme. Files of the same plot have the same bytes."""
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    papers = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    return dict.fromkeys(inked, ink) | dict.fromkeys(papers, background) | {"svg.hashsalt": "descentbench"}

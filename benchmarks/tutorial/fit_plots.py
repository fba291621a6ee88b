"""Plots of a descent: the line through its points if there is one feature, else the loss and the predictions."""

import io
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.tutorial.fit import Descent, least_squares
from impls.interface import Array

BLUE, VERMILLION, SKY = "#0072B2", "#D55E00", "#56B4E9"  # Okabe and Ito; their black is the text's colour
CLOUD_COLOURS = BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", SKY
MAX_POINTS, MAX_FRAMES = 500, 60  # rows in a scatter, updates in an animation
FRAME_MS, PAUSE_MS = 70, 2000  # how long a frame stays, and the last one

Update = Callable[[int], object]


def still(descent: Descent) -> Figure:
    """Draw the fitted line if there is one feature, else the loss curve."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    draw = _line if one_feature(descent) else _loss
    draw(figure.subplots(), descent)(descent.problem.steps)
    figure.suptitle(descent.title)
    return figure


def animate(path: Path, descent: Descent) -> None:
    """Save a GIF: the line moves, or the loss falls while the predictions approach the targets."""
    single = one_feature(descent)
    figure = Figure(figsize=(6, 4) if single else (9, 4), layout="constrained")
    panels = [_line] if single else [_loss, _predictions]
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    updates = [draw(axes, descent) for draw, axes in zip(panels, row, strict=True)]
    frames, shown_updates = [], moments(descent)
    for t in shown_updates:
        for update in updates:
            update(t)
        figure.suptitle(f"{descent.title}\nt = {t}, loss = {descent.loss(t):.4g}")
        figure.savefig(page := io.BytesIO())
        figure.set_layout_engine("none")  # one layout for all frames: moving axes distract, and take time
        frames.append(Image.open(page).convert("RGB").quantize(64))
    durations = [FRAME_MS] * (len(shown_updates) - 1) + [PAUSE_MS]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=durations, loop=0)


def one_feature(descent: Descent) -> bool:
    """Return whether there is one target and one column of X, with or without a column of ones."""
    X = descent.problem.X
    return descent.problem.y[0].size == 1 and (X.shape[1] == 1 or (X.shape[1] == 2 and bool((X[:, 1] == 1).all())))


def moments(descent: Descent) -> list[int]:
    """Return evenly spaced updates, the first and the last among them."""
    return [int(t) for t in np.unique(np.linspace(0, descent.problem.steps, MAX_FRAMES + 1).round())]


def _line(axes: Axes, descent: Descent) -> Update:
    X = descent.problem.X
    ends = X[[np.argmin(X[:, 0]), np.argmax(X[:, 0])]]
    rows = _some(len(X))
    axes.scatter(X[rows, 0], descent.problem.y[rows], s=18, color=_blue(), alpha=0.7, zorder=3, label="data")
    axes.plot(ends[:, 0], descent.predict(ends, 0), color=rcParams["text.color"], linewidth=1, label="start")
    (line,) = axes.plot(ends[:, 0], descent.predict(ends, 0), color=VERMILLION, linewidth=3, label="fitted")
    axes.set(xlabel=descent.columns[0], ylabel="y" if descent.targets == ["target 1"] else descent.targets[0])
    _legend(axes)

    def update(t: int) -> None:
        line.set_ydata(descent.predict(ends, t))
        axes.relim()
        axes.autoscale_view()

    return update


def _loss(axes: Axes, descent: Descent) -> Update:
    updates = moments(descent)
    losses = [descent.loss(t) for t in updates]
    axes.plot(updates, losses, color=_blue(), linewidth=1)
    (line,) = axes.plot(updates, losses, color=VERMILLION, linewidth=3, label="loss")
    best = least_squares(descent.problem)
    if best > 1e-9 * losses[0]:  # a perfect fit has no place on a logarithmic axis
        axes.axhline(best, color=rcParams["text.color"], linestyle="--", linewidth=1, label="least squares")
    axes.set(xlabel="update", ylabel="loss (MSE, all rows)", yscale="log")
    axes.locator_params(axis="x", integer=True)
    _legend(axes)

    def update(t: int) -> None:
        line.set_ydata([loss if point <= t else np.nan for point, loss in zip(updates, losses, strict=True)])

    return update


def _predictions(axes: Axes, descent: Descent) -> Update:
    rows = _some(len(descent.problem.X))
    X, Y = descent.problem.X[rows], descent.problem.y[rows].reshape(len(rows), -1)
    columns = zip(Y.T, descent.targets, cycle(CLOUD_COLOURS), strict=False)
    clouds = [axes.scatter(y, y, s=30, alpha=0.7, color=colour, label=name) for y, name, colour in columns]
    start = descent.predict(X, 0)
    low, high = float(min(Y.min(), start.min())), float(max(Y.max(), start.max()))
    room = 0.05 * (high - low)
    axes.set(ylim=(low - room, high + room), xlabel="target", ylabel="predicted")
    centre = float(Y.mean()), float(Y.mean())
    axes.axline(centre, slope=1, color=rcParams["text.color"], linestyle="--", linewidth=1, label="right")
    _legend(axes)

    def update(t: int) -> None:
        for cloud, y, predicted in zip(clouds, Y.T, descent.predict(X, t).T, strict=True):
            cloud.set_offsets(np.column_stack([y, predicted]))

    return update


def _legend(axes: Axes) -> None:
    """Place the legend above the axes, where it hides nothing."""
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)


def _blue() -> str:
    """Return a blue that stands out from the paper, also when thin or transparent."""
    return BLUE if sum(to_rgb(rcParams["axes.facecolor"])) > 1.5 else SKY


def _some(n: int) -> Array:
    """Return all rows, or MAX_POINTS of them, evenly spaced."""
    return np.unique(np.linspace(0, n - 1, min(n, MAX_POINTS)).astype(int))

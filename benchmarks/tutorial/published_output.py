"""The numbers that the tutorials print, beside those of a descent."""

import numpy as np

from benchmarks.problems import published as texts
from benchmarks.problems import tutorials
from benchmarks.problems.published import Printed
from benchmarks.problems.tutorials import ScalarRun
from benchmarks.tutorial.fit import Descent, Section, table


def published(descent: Descent) -> Section:
    """Return the printed numbers beside the measured ones; nothing for other problems."""
    sections = {"line": published_line, "crops": published_crops, "scalar": published_scalar}
    if (name := descent.request.name) not in sections:
        return [], True
    printed = texts.printed(name, descent.problem)
    if not printed:
        return ["the text's numbers belong to its own start and lr"], True
    return sections[name](descent, printed)


def published_line(descent: Descent, printed: list[Printed]) -> Section:
    """Compare with the band of draws: the tutorial's data are unseeded. Report numbers outside it."""
    start = float(descent.problem.w0[0]), float(descent.problem.w0[1])
    share = tutorials.line_band(start)[1]
    runs = {"published": [row.loss for row in printed], "this run": [descent.loss(row.update) for row in printed]}
    losses = zip(printed, *runs.values(), strict=True)
    rows = [[str(row.update), *(f"{v:.4f}" for v in (*pair, row.lowest, row.highest))] for row, *pair in losses]
    words = []
    for name, run in runs.items():
        outside = [str(row.update) for row, v in zip(printed, run, strict=True) if not row.lowest <= v <= row.highest]
        words.append(f"{name}: {'OUTSIDE before update ' + ', '.join(outside) if outside else 'inside'}")
    return [
        f"published run from {start}; its data are unseeded, so beside the middle 95 % of 4000 draws:",
        *table(["update", *runs, "from", "to"], rows),
        f"{'; '.join(words)} ({share:.0%} of draws are inside at all ten)",
    ], True


def published_crops(descent: Descent, printed: list[Printed]) -> Section:
    """Compare with the tutorial's digits. Its start has four decimals, which moves each number within a range."""
    rows = [(f"loss after {row.update}", row.loss, descent.loss(row.update), row.highest - row.loss) for row in printed]
    X, y = (array.astype(np.float64) for array in (descent.problem.X, descent.problem.y))
    gradient, slack = 2 / y.size * (X.T @ (descent.predict(X, 0) - y)), tutorials.crops_rounding(0)[1]
    for (j, i), text in np.ndenumerate(tutorials.CROPS_GRADIENT):
        name = f"gradient {descent.targets[j]}, {descent.columns[i]}"
        rows.append((name, text, float(gradient[i, j]), float(slack[i])))
    agrees = all(abs(measured - text) <= allowed for _, text, measured, allowed in rows)
    cells = [
        [name, *(f"{v:.4f}" for v in (text, measured, abs(measured - text), allowed))]
        for name, text, measured, allowed in rows
    ]
    lines = table(["published run", "text", "found", "differs", "may differ"], cells)
    if not agrees:
        return [*lines, "does NOT agree with the published run"], False
    digits = int(-np.log10(max(abs(measured / text - 1) for _, text, measured, _ in rows)))
    return [
        *lines,
        f"agrees with the published run to {digits} digits: the text prints its start to four decimals, and another",
        "start that rounds to the same moves the numbers by up to `may differ`",
        f"(a mean over rows instead of all elements would give {descent.scaled(2).loss(1):.2f} after one update)",
    ], True


def published_scalar(descent: Descent, printed: list[Printed]) -> Section:
    """Compare the tutorial's two columns with this descent and with 4 times the gradient."""
    autograd, by_hand = tutorials.SCALAR_AUTOGRAD, tutorials.SCALAR_BY_HAND
    updates = sorted({t for t, *_ in (*autograd, *by_hand) if t <= descent.problem.steps})
    autograd_cells, autograd_agrees = scalar_column(descent, autograd, printed, updates)
    hand_cells, hand_agrees = scalar_column(descent.scaled(4), by_hand, texts.scalar(by_hand, 4), updates)
    headers = ["w text", "found", "loss text", "found"]
    agrees = autograd_agrees and hand_agrees
    rows = [[str(t), *a, *b] for t, a, b in zip(updates, autograd_cells, hand_cells, strict=True)]
    return [
        "published runs: w after an update and the loss before it",
        f"{'':6}  {'autograd: the gradient':^40}  {'by hand: 4 times the gradient':^40}".rstrip(),
        *table(["update", *headers, *headers], rows),
        f"{'agrees' if agrees else 'does NOT agree'} with both: w to 3 decimals, losses as far as float32 goes",
        "The text's hand-written gradient takes .mean() of np.dot(2 * x, y_pred - y), which is already a sum over",
        "the 4 rows: it is 4 times the gradient of the MSE that the text prints. So it needs 20 updates where autograd",
        "needs 100 with the same lr.",
    ], agrees


def scalar_column(
    descent: Descent, text: ScalarRun, printed: list[Printed], updates: list[int]
) -> tuple[list[list[str]], bool]:
    """Return the cells of each update, w and loss as printed and as measured, and whether they agree."""
    weights, losses = {t: w for t, w, _ in text}, {row.update: row for row in printed}
    cells, agrees = [], True
    for t in updates:
        w, loss = float(descent.weights(t)[0]), descent.loss(t - 1)
        text_w, text_loss = weights.get(t), losses.get(t - 1)
        agrees &= text_w is None or abs(text_w - w) <= tutorials.scalar_rounding(w)[0]
        agrees &= text_loss is None or text_loss.lowest <= loss <= text_loss.highest
        numbers = (text_w, 3), (w, 3), (text_loss and text_loss.loss, 8), (loss, 8)
        cells.append(["-" if number is None else f"{number:.{digits}f}" for number, digits in numbers])
    return cells, agrees

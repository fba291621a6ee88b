"""The numbers that the tutorials print, beside those of a descent."""

import numpy as np

from benchmarks import problems, tutorials
from benchmarks.fit import Descent, Section, table


def published(descent: Descent) -> Section:
    """The numbers that a text prints beside those found here; nothing for problems that no text has."""
    texts = {"line": published_line, "crops": published_crops, "scalar": published_scalar}
    if descent.name not in texts:
        return [], True
    usual = problems.build(descent.name)[0]
    starts = [*tutorials.LINE_RUNS] if descent.name == "line" else [usual.w0]
    w0 = descent.problem.w0
    if descent.problem.lr != usual.lr or not any(np.array_equal(w0, np.array(start, w0.dtype)) for start in starts):
        return ["the text's numbers belong to its own start and lr"], True
    return texts[descent.name](descent)


def published_line(descent: Descent) -> Section:
    """The text's run has other draws than ours: both should lie in the band, and it is said where they don't."""
    start = float(descent.problem.w0[0]), float(descent.problem.w0[1])
    at = [t for t in range(0, 100, 10) if t <= descent.problem.steps]
    band, share = tutorials.line_band(start)
    runs = {"published": tutorials.LINE_RUNS[start], "this run": [descent.loss(t) for t in at]}
    rows = [[str(t), *(f"{run[i]:.4f}" for run in (*runs.values(), *band.T))] for i, t in enumerate(at)]
    words = []
    for name, run in runs.items():
        outside = [str(t) for t, loss, (low, high) in zip(at, run, band, strict=False) if not low <= loss <= high]
        words.append(f"{name}: {'OUTSIDE before update ' + ', '.join(outside) if outside else 'inside'}")
    return [
        f"published run from {start}; its data are unseeded, so beside the middle 95 % of 4000 draws:",
        *table(["update", *runs, "from", "to"], rows),
        f"{'; '.join(words)} ({share:.0%} of draws are inside at all ten)",
    ], True


def published_crops(descent: Descent) -> Section:
    """The text's digits; its start is printed to four decimals, which moves each number by so much at most."""
    rows = [
        (f"loss after {t}", text, descent.loss(t), tutorials.crops_rounding(t)[0])
        for t, text in tutorials.CROPS_LOSSES.items()
        if t <= descent.problem.steps
    ]
    X, y = (array.astype(np.float64) for array in (descent.problem.X, descent.problem.y))
    gradient, slack = 2 / y.size * (X.T @ (descent.predict(X, 0) - y)), tutorials.crops_rounding(0)[1]
    for (j, i), text in np.ndenumerate(tutorials.CROPS_GRADIENT):
        what = f"gradient {descent.targets[j]}, {descent.columns[i]}"
        rows.append((what, text, float(gradient[i, j]), float(slack[i])))
    agrees = all(abs(found - text) <= allowed for _, text, found, allowed in rows)
    cells = [[what, *(f"{v:.4f}" for v in (text, found, abs(found - text), may))] for what, text, found, may in rows]
    lines = table(["published run", "text", "found", "differs", "may differ"], cells)
    if not agrees:
        return [*lines, "does NOT agree with the published run"], False
    digits = int(-np.log10(max(abs(found / text - 1) for _, text, found, _ in rows)))
    return [
        *lines,
        f"agrees with the published run to {digits} digits: the text prints its start to four decimals, and another",
        "start that rounds to the same moves the numbers by up to `may differ`",
        f"(a mean over rows instead of all elements would give {descent.scaled(2).loss(1):.2f} after one update)",
    ], True


def published_scalar(descent: Descent) -> Section:
    """The text's two columns beside this descent and the same with 4 times the gradient."""
    texts = tutorials.SCALAR_AUTOGRAD, tutorials.SCALAR_BY_HAND
    at = sorted({t for text in texts for t, *_ in text if t <= descent.problem.steps})
    one, one_agrees = scalar_column(descent, texts[0], at)
    four, four_agrees = scalar_column(descent.scaled(4), texts[1], at)
    headers = ["w text", "found", "loss text", "found"]
    agrees = one_agrees and four_agrees
    return [
        "published runs: w after an update and the loss before it",
        f"{'':6}  {'autograd: the gradient':^40}  {'by hand: 4 times the gradient':^40}".rstrip(),
        *table(["update", *headers, *headers], [[str(t), *a, *b] for t, a, b in zip(at, one, four, strict=True)]),
        f"{'agrees' if agrees else 'does NOT agree'} with both: w to 3 decimals, losses as far as float32 goes",
        "The text's hand-written gradient takes .mean() of np.dot(2 * x, y_pred - y), which is already a sum over",
        "the 4 rows: it is 4 times the gradient of the MSE that the text prints. So it needs 20 updates where autograd",
        "needs 100 with the same lr.",
    ], agrees


def scalar_column(descent: Descent, text: tutorials.ScalarRun, at: list[int]) -> tuple[list[list[str]], bool]:
    """Cells of each update: w in the text and found, loss in the text and found; and whether they agree."""
    printed = {t: (w, loss) for t, w, loss in text}
    cells, agrees = [], True
    for t in at:
        w, loss = float(descent.weights(t)[0]), descent.loss(t - 1)
        text_w, text_loss = printed.get(t, (None, None))
        may_w, may_loss = tutorials.scalar_rounding(float(descent.weights(t - 1)[0]))
        agrees &= text_w is None or abs(text_w - w) <= may_w
        agrees &= text_loss is None or abs(text_loss - loss) <= may_loss
        numbers = (text_w, 3), (w, 3), (text_loss, 8), (loss, 8)
        cells.append(["-" if number is None else f"{number:.{digits}f}" for number, digits in numbers])
    return cells, agrees

"""Files of pytest-benchmark that other projects have made: names and times, and nothing that was never checked."""

import pandas as pd

from results.output import Page, Section, records, seconds, words
from results.stats.verdicts import ratio_digits
from results.store.reading import Run, RunError

NOT_CHECKED = "These rows are no descents of this suite: nobody has checked what they compute."


def require_own(*runs: Run) -> None:
    """Raise RunError for a file of another project."""
    for run in runs:
        if run.is_foreign:
            raise RunError(f"{run.label} holds no descents of this suite; see: python -m results show {run.path}")


def show_foreign(run: Run) -> Page:
    """Return a table of the rows: name, shortest and median round, number of rounds."""
    table = run.rows[["name", "min_s", "median_s", "iqr_s", "rounds"]].reset_index(drop=True)
    cells = [
        {"name": words(row["name"]), "shortest round": seconds(row["min_s"]), "median round": seconds(row["median_s"])}
        | {"rounds": words(row["rounds"])}
        for row in records(table)
    ]
    return Page(table, [Section(run.label, NOT_CHECKED, cells)])


def compare_foreign(a: Run, b: Run) -> Page:
    """Return a table of the names that both files have, with their median rounds. There is no verdict."""
    medians = [run.rows.groupby("name", sort=False)["median_s"].median() for run in (a, b)]
    table = pd.DataFrame({"a_s": medians[0], "b_s": medians[1]}).dropna().rename_axis("name").reset_index()
    if table.empty:
        raise RunError(f"{a.label} and {b.label} have no name in common")
    table["ratio"] = table["b_s"] / table["a_s"]
    cells = [
        {"name": words(row["name"]), "A": seconds(row["a_s"]), "B": seconds(row["b_s"])}
        | {"B/A": ratio_digits(row["ratio"])}
        for row in records(table)
    ]
    text = f"{NOT_CHECKED} Medians of one process each, without a verdict. A = {a.label}; B = {b.label}."
    return Page(table, [Section(f"{b.label} against {a.label}", text, cells)])

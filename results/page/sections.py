"""Sections that several pages share: the facts of a run, its caveats, and the cases without a time."""

from collections.abc import Callable
from typing import Any

from results.output import Section, digits, seconds, with_rows, words
from results.store.columns import CASE
from results.store.outcomes import DISPATCH, Row, by_size
from results.store.reading import Run, facts, items, number, sequence, text

PLAN_FACTS = ("preset", "seed", "threads", "precision", "blocks")
UNTIMED_COLUMNS = {"invalid": CASE, "refused": [*CASE, "block"], "skipped": ["impl", "device"]}  # beside the reason


def run_card(run: Run) -> Section:
    """Return the machine, software and plan of a run, with caveats as notes."""
    campaign = run.campaign
    rows = {"machine": run.machine} | facts(run) | {"date": run.date, "commit": text(run.commit.get("id"))[:12]}
    rows |= {name: words(campaign[name]) for name in PLAN_FACTS if name in campaign}
    wall, inside = number(campaign.get("wall_s")), number(campaign.get("runs_s"))
    if wall > 0:
        rows["duration"] = seconds(wall)
        if inside >= 0:
            rows["share of prepare, first and timed runs"] = f"{inside / wall:.0%}"
    table = [{"fact": name, "value": words(value)} for name, value in rows.items()]
    return Section(f"Run {run.label}", table=table, notes=_run_caveats(run))


def _run_caveats(run: Run) -> list[str]:
    partial = items(run.campaign.get("partial_blocks"))
    blocks = run.rows.loc[run.rows["complete"], "block"].nunique(dropna=False)
    counted = bool(run.rows.loc[run.rows["block"].isin([number(block) for block in partial]), "complete"].any())
    invalid, resumed = int((~run.rows["valid"]).sum()), len(sequence(run.campaign.get("resumed")))
    caveats = {
        "The file has no rows.": run.rows.empty,
        "One block, that is one process per implementation: the noise between processes is unknown.": blocks == 1,
        _blocks_text(run, blocks): blocks > 1,
        f"Rows without a valid result, listed with a reason and without a time: {invalid}.": invalid > 0,
        f"Cut short, and not counted as blocks: block {', '.join(map(words, partial))}.": bool(partial) and not counted,
        "Cut short in every block: what ran is compared all the same.": bool(partial) and counted,
        "Interrupted: cases are missing or have fewer rounds and blocks.": bool(run.campaign.get("interrupted")),
        f"Resumed {'once' if resumed == 1 else f'{resumed} times'}: the machine may have changed in between.": resumed,
        "Measured with uncommitted changes in the working tree.": bool(run.commit.get("dirty")),
        "The file has no campaign record: refused and skipped cases are unknown.": not run.campaign,
        "The file has no digests: manual edits cannot be detected.": not run.sealed,
    }
    labels = run.rows[["impl", "duplicate_of"]].dropna(subset="duplicate_of").drop_duplicates().to_numpy()
    how = "shows the noise: python -m results noise"
    duplicates = [f"{label} is a second run of {impl} and {how}" for label, impl in labels]
    return [caveat for caveat, applies in caveats.items() if applies] + duplicates


def _blocks_text(run: Run, blocks: int) -> str:
    """Return how many blocks a run has, and why some cases may have fewer."""
    if "schedule" not in run.campaign:
        return f"{blocks} blocks, each in fresh processes. Each number is the median of the blocks."
    return (
        f"Up to {blocks} blocks, each in fresh processes: cases that are decided, or too long for the"
        " minutes left, are left out. Each number is the median of its own blocks. Ratios use paired blocks only, so"
        " they may differ from the quotient of two rows: python -m results compare A B"
    )


def limit_text(row: dict[str, Any]) -> str:
    """Return the share of the machine's limit that a case reaches, with the resource: `87.0% (memory)`.

    Where calls take longer than the work, there is no share: `- (dispatch)`.
    """
    fraction = row["fraction_of_limit"]
    if row["limited_by"] == DISPATCH:
        return f"- ({DISPATCH})"
    return f"{digits(100 * fraction)}% ({words(row['limited_by'])})" if fraction == fraction else "-"


def compile_text(row: dict[str, Any]) -> str:
    """Return first run minus later run, or `none` if that is within the spread of the rounds."""
    noise = max(0.0, row["iqr_s"]) if row["iqr_s"] == row["iqr_s"] else 0.0
    return "none" if row["compile_s"] <= noise else seconds(row["compile_s"])


def table_by_problem(rows: list[Row], cell: Callable[[Row], str], baseline: str) -> list[dict[str, str]]:
    """Return implementations x problems, the baseline and the smallest problem first. Equal cases: the first counts."""
    cells = {(row["impl"], row["problem"]): cell(row) for row in reversed(rows)}
    problems = dict.fromkeys(row["problem"] for row in sorted(rows, key=by_size))
    impls = sorted({row["impl"] for row in rows}, key=lambda impl: (impl != baseline, impl))
    return [{"implementation": impl} | {name: cells.get((impl, name), "-") for name in problems} for impl in impls]


def untimed_sections(rows: list[Row]) -> list[Section]:
    """Return one table each for invalid, refused and skipped cases, with their reasons."""
    sections = []
    for status, names in UNTIMED_COLUMNS.items():
        table = [{name: words(row.get(name)) for name in (*names, "reason")} for row in rows if row["status"] == status]
        sections.append(Section(status.capitalize(), table=table, level=3))
    return with_rows(*sections)

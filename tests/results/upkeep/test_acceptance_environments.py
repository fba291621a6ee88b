"""Planted version differences: the analysis of campaigns, and the environments that they compare."""

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers import ROOT, bench
from runs import rows, saved_cases

from benchmarks.extra.planted_versions import make
from results.store.reading import Run, RunError
from results.upkeep.acceptance_environments import PENDING_TEXT, accepted, check, section
from results.upkeep.docs import fill_tables

LABELS = ("old", "same", "new")


def campaign(tmp_path: Path, same: float = 1e-6, new: float = 1.05e-6, labels: tuple[str, ...] = LABELS) -> Run:
    """A run of one loop in three environments, with these seconds a step in the last two."""
    steps = zip(labels, (1e-6, same, new), strict=True)
    cases = [rows(f"planted_numpy@{label}", step, environment=label) for label, step in steps]
    facts = {"seed": 0, "wall_s": 120.0, "environments": {label: {"digest": label} for label in labels}}
    return saved_cases(tmp_path, "box", *cases, campaign=facts)


def test_a_slower_version_is_found_and_an_equal_one_is_not(tmp_path: Path) -> None:
    (row,) = check(campaign(tmp_path))
    assert row["new"] == "SLOWER" and row["new_ratio"] == pytest.approx(1.05, abs=0.01)
    assert row["same"] not in ("FASTER", "SLOWER") and row["minutes"] == 2
    assert accepted(pd.DataFrame([row] * 20))


def test_missed_differences_false_alarms_and_long_campaigns_are_not_accepted(tmp_path: Path) -> None:
    (good,) = check(campaign(tmp_path / "good"))
    (false,) = check(campaign(tmp_path / "false", same=1.05e-6))
    (missed,) = check(campaign(tmp_path / "missed", new=1e-6))
    assert false["same"] == "SLOWER" and missed["new"] != "SLOWER"
    assert accepted(pd.DataFrame([good] * 19 + [false])) and not accepted(pd.DataFrame([good] * 18 + [false] * 2))
    assert accepted(pd.DataFrame([good] * 18 + [missed] * 2)) and not accepted(pd.DataFrame([good] * 17 + [missed] * 3))
    assert not accepted(pd.DataFrame([good] * 19 + [good | {"minutes": 11.0}]))
    found = section(pd.DataFrame([good] * 18 + [missed] + [false]))
    assert found.table[0]["+5 % found"] == "19 of 20 campaigns"
    assert found.table[0]["the same version called different"] == "1 of 20 campaigns"


def test_other_environments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="its environments are not old, same and new"):
        check(campaign(tmp_path, labels=("old", "v2", "v3")))


def test_a_busy_machine_is_no_campaign_without_false_alarms(tmp_path: Path) -> None:
    run = campaign(tmp_path)
    run.campaign["system_load"] = [{"seconds": 100.0, "others": 0.0, "steal": 0.1, "throttled": 0.0}]
    with pytest.raises(RunError, match="10 % of the CPU stolen"):
        check(run)


def test_the_docs_say_that_nothing_is_measured_until_it_is(tmp_path: Path) -> None:
    marker = "<!-- acceptance_environments of results/file.json -->\n<!-- end -->"
    assert PENDING_TEXT in fill_tables(marker, tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "file.json").write_text(json.dumps(check(campaign(tmp_path))))
    assert "1 of 1 campaigns" in fill_tables(marker, tmp_path)


def test_the_versions_run_beside_each_other(tmp_path: Path) -> None:
    pythons = ",".join(make(tmp_path / "versions"))
    loop = str(ROOT / "benchmarks" / "extra" / "loops" / "planted_numpy.py")
    done = bench(tmp_path, "--impl", loop, "--python", pythons, "--problem", "small")
    assert done.code == 0, done.out + done.err
    versions = {row["environment"]: (row["framework"], row["version"]) for row in done.rows}
    assert versions == {"old": ("planted", "1.0"), "same": ("planted", "1.0"), "new": ("planted", "2.0")}
    digests = {row["environment"]: row["packages"] for row in done.rows}
    assert digests["old"] == digests["same"] != digests["new"]

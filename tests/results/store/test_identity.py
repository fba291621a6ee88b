"""Code and machines are told apart by what they are: a stranger's numpy_manual.py is not the project's."""

import json
from pathlib import Path
from typing import Any

import pytest
from runs import KNOWN, MACHINE, blocks, saved_run

from results.__main__ import main
from results.commands.history import history
from results.page.data import make_payload
from results.page.page import timed_sources
from results.store.columns import CASE
from results.store.reading import Run, machine_groups, other_machine

OURS = {"file": "impls/numpy_manual.py", "text": "ours", "helpers": {}, "digest": "0" * 16}
STRANGER = {"file": "numpy_manual.py", "text": "theirs", "helpers": {"pkg/a.py": "x"}, "digest": "1" * 16}
OTHER_TEXT = STRANGER | {"text": "else"}
OTHER_HELPER = STRANGER | {"helpers": {"pkg/a.py": "y"}}
LONG = STRANGER | {"text": "x\n# cut here: the first 1 of 3 bytes"}  # the digest says what it was


def run(root: Path, number: int, source: Any, **info: Any) -> Run:
    rows = [
        row
        for label, facts in {"numpy_manual": {}, "numpy_manual-again": {"duplicate_of": "numpy_manual"}}.items()
        for row in blocks(label, [1e-6 + number * 1e-9] * 8, **(KNOWN | facts))
    ]
    more = {"datetime": f"2025-03-{number:02}T10:00:00+00:00", "campaign": {"sources": {"numpy_manual": source}}}
    machine = MACHINE | {"node": "box", "slug": "box"} | info
    return saved_run(root, rows, f"{number:04}_run", machine_info=machine, **more)


def answer(root: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    main([*words, "--runs", str(root), "--format", "md"])
    return capsys.readouterr().out.replace("\\", "")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (OURS, OURS, True),
        (OURS, OURS | {"digest": "2" * 16}, True),  # it is over this suite's own modules too
        (OURS, STRANGER, False),
        (STRANGER, OTHER_TEXT, False),
        (STRANGER, OTHER_HELPER, False),
        (LONG, LONG | {"digest": "2" * 16}, False),
    ],
    ids=["same", "suite", "stranger", "text", "helper", "long"],
)
def test_only_equal_sources_are_the_same_code(
    one: Any, other: Any, same: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = run(tmp_path, 1, one), run(tmp_path, 2, other)
    for words in (["compare", "1", "2"], ["gate", "1", "2", "--slower", "5%"]):
        assert ("code that differs: numpy_manual (" in answer(tmp_path, capsys, *words)) is not same
    assert ("Drift unknown" in answer(tmp_path, capsys, "compare", "1", "2")) is not same
    sources = timed_sources([a, b], make_payload([a, b], "numpy_manual").cases)
    assert len(sources) == (1 if same else 2)
    assert all(", version " in source["file"] for source in sources) is not same
    page = history([a, b], dict.fromkeys(CASE), {})
    assert page.data["series"].nunique() == (1 if one["file"] == other["file"] else 2)
    assert page.data["code"].nunique() == len(sources)


BOOTED = {"boot_hash": "aaaaaa", "boot_time": "2025-02-01T00:00Z"}


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ({}, {}, ""),
        ({"ram_bytes": 2**33}, {"ram_bytes": 2**34}, "memory 8 GiB and 16 GiB"),
        ({"release": "6.1"}, {"release": "6.2"}, "kernel 6.1 and 6.2"),
        ({"cpu": {"flags": ["avx", "fma"]}}, {"cpu": {"flags": ["fma"]}}, "CPU flags in one of them: avx"),
        (
            {"cpu": {"brand_raw": "AMD EPYC", "family": 25, "model": 1}},
            {"cpu": {"brand_raw": "AMD EPYC", "family": 26, "model": 2}},
            "processor AMD EPYC (family 25, model 1) and AMD EPYC (family 26, model 2)",
        ),
        (BOOTED, BOOTED, ""),
        (BOOTED, BOOTED | {"boot_time": "2025-02-01T00:07Z"}, ""),  # the clock was set
        (BOOTED, {"boot_hash": "bbbbbb", "boot_time": "2025-03-01T12:00Z"}, ""),  # a reboot between the runs
        (
            BOOTED,
            {"boot_hash": "bbbbbb", "boot_time": "2025-02-28T12:00Z"},
            "boot 2025-02-01 00:00Z and 2025-02-28 12:00Z, both up at once",
        ),
        (BOOTED, {}, ""),
        (BOOTED, {"boot_hash": ["x"], "boot_time": [1e99], "cpu": {"flags": 7}, "release": {}}, ""),
    ],
)
def test_what_two_runs_of_one_machine_id_differ_by_is_named(
    one: dict[str, Any], other: dict[str, Any], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = run(tmp_path, 1, OURS, **one), run(tmp_path, 2, OURS, **other)
    line = f"both runs are of box, but only possibly of the same machine: {named}" if named else ""
    assert other_machine(a, b) == line
    page = history([a, b], dict.fromkeys(CASE), {})
    assert page.data["series"].nunique() == (2 if named else 1)
    assert ("possibly of the same machine" in " ".join(section.text for section in page.sections)) is bool(named)
    assert (named in answer(tmp_path, capsys, "gate", "1", "2", "--slower", "5%")) or not named


def test_a_third_run_joins_the_machine_that_it_fits(tmp_path: Path) -> None:
    runs = [run(tmp_path, number, OURS, release=kernel) for number, kernel in enumerate(["6.1", "6.2", "6.1"], 1)]
    groups = machine_groups(runs)
    assert [groups[run.label] for run in runs] == [0, 1, 0]


def test_a_run_says_when_its_system_began(tmp_path: Path) -> None:
    from benchmarks.machine import identity

    facts = json.loads(json.dumps(identity.facts("box")))
    boot = identity.BOOT_ID_FILE.read_text().strip() if identity.BOOT_ID_FILE.exists() else "-"
    assert boot not in json.dumps(facts) and facts["boot_time"].endswith("Z")
    a, b = (run(tmp_path, number, OURS, **{name: facts[name] for name in BOOTED}) for number in (1, 2))
    assert other_machine(a, b) == ""

"""Many saved files at once: every readable one, and every seal checked."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from runs import document, entry

import results
from results.__main__ import main
from results.page.report import report
from results.store.columns import COLUMNS
from results.store.reading import RunError
from results.store.runs import find, find_all
from results.store.seal import KEY, broken_seals, row_digest, seal
from results.upkeep.many_files import make_files, measure_files


def sealed(*entries: dict[str, Any], indent: int | None = 4, **top: Any) -> str:
    """The text of a sealed file, laid out as pytest-benchmark does, or in one line."""
    whole = json.loads(json.dumps(document(*entries, **top)))
    seal(whole)
    return json.dumps(whole, indent=indent)


def saved(root: Path, content: str, name: str = "0001_a", machine: str = "box-a") -> None:
    path = root / machine / "Linux-CPython-3.11-64bit" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four files of two machines, of which one is cut off; each of the others says something that no other says."""
    folder = tmp_path / "runs"
    saved(folder, sealed(entry(), entry("jax_scan", notes=["a"])))
    saved(folder, sealed(entry(n=None, threads="many"), refused_by="me"), "0002_b")
    saved(folder, sealed(entry(extra=1.5), machine="box-b"), machine="box-b")
    saved(folder, sealed(entry())[:-40], "0002_bad", machine="box-b")
    return folder


def test_all_is_every_readable_run_and_the_others_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = results.load("all", root=root)
    assert table["run"].tolist() == ["box-a/0001_a", "box-a/0001_a", "box-a/0002_b", "box-b/0001_a"]
    assert re.fullmatch(r"skipped: .*0002_bad\.json is empty or cut off: .*\n", capsys.readouterr().err)
    assert results.load("box-a/all", "box-a/latest", root=root)["run"].nunique() == 2
    with pytest.raises(RunError, match="no machine is called 'box-c'"):
        results.load("box-c/all", root=root)


def test_without_a_readable_run_all_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path, "{}")
    saved(tmp_path, "", "0002_b")
    with pytest.raises(RunError, match=r"0001_a\.json is not a benchmark file"):
        results.load("all", root=tmp_path)
    assert main(["report", "all", "--runs", str(tmp_path / "none"), "--format", "md"]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_all_are_reported(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "all", "--runs", str(root), "--format", "md", "--out", "-"]) == 0
    out, err = capsys.readouterr()
    assert re.findall(r"^## Run (\S+)$", out, re.MULTILINE) == ["box-a/0001_a", "box-a/0002_b", "box-b/0001_a"]
    assert "skipped" in err


def test_a_run_among_others_says_what_it_says_alone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its table, but for the columns that only others have, and its part of the report."""
    together = {run.label: run for run in find_all(["all"], root)}
    page = report(list(together.values()), "numpy_manual")
    text = [repr(section) for section in page.sections]
    assert len(together) == 3
    for label, run in together.items():
        alone = find(label, root)
        extra = [name for name in run.rows if name not in alone.rows]
        assert not set(extra) & set(COLUMNS) and run.rows[extra].isna().all(axis=None)
        pd.testing.assert_frame_equal(run.rows[list(alone.rows)], alone.rows, check_dtype=False)
        own = [repr(section) for section in report([alone], "numpy_manual").sections]
        assert [part for part in own if part not in text] == []


# Parsing


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("half a pair \ud800", "half a pair \\ud800"),
        ("a pair \ud83d\ude00", "a pair \N{GRINNING FACE}"),
        ("plain", "plain"),
        ('a "quoted" {brace}', 'a "quoted" {brace}'),
    ],
)
@pytest.mark.parametrize("number", [1.5, 10**30, float("nan"), float("inf"), 2**63])
def test_any_text_and_number_is_read(word: str, text: str, number: float, tmp_path: Path) -> None:
    saved(tmp_path, sealed(entry(word, n=number, note=word)))
    table = results.load("all", root=tmp_path)
    assert set(table["impl"]) == set(table["note"]) == {text}
    assert table["n"].dtype.kind in "if"


# Seals


def reasons(text: str) -> list[str]:
    """The reason of each row of a file, without its first words."""
    return [reason.partition(":")[2].strip() for reason in broken_seals(json.loads(text))]


@pytest.mark.parametrize("entries", [[entry(nested={"a": [1, {"b": 2}]})], [entry(word='a\\b "c" {d}')], [entry(a=[])]])
@pytest.mark.parametrize("indent", [4, None, 2])
def test_a_seal_does_not_depend_on_the_layout_of_the_file(entries: list[dict[str, Any]], indent: int | None) -> None:
    assert reasons(sealed(*entries, entry(), indent=indent)) == ["", ""]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"per_step_s": 2e-06', '"per_step_s": 1e-06'),
        ('"per_step_s": 2e-06,', '"per_step_s": 2e-06, "per_step_s": 1e-06,'),
        ('"problem": "small"', '"problem": "small "'),
        ('"valid": true', '"valid": 1'),
        ('"threads": 1,', ""),
        ('"rounds": 3', '"rounds": 4'),
        ('"stats": {', '"stats": {"more": 1, '),
        ('"stats": {', '"stats": {"min": 0}, "stats": {'),
        ('"extra_info": {', '"extra_info": {"more": true, '),
        (f'"{KEY}": "', f'"{KEY}": "0'),
        (f'"{KEY}"', '"other"'),
    ],
)
def test_an_edit_of_the_text_is_noticed(old: str, new: str) -> None:
    text = sealed(entry(problem="small"), entry("jax_scan", 1e-3, problem="line", threads=2))
    assert old in text
    said = reasons(text.replace(old, new, 1))
    if new.startswith('"stats": {"min"'):  # what comes later counts, and that is as it was
        assert said == ["", ""]
    else:
        assert said == ["its rounds or facts do not match their digest", ""]


def test_a_later_part_of_the_same_name_does_not_pass_for_the_sealed_one() -> None:
    text = sealed(entry(), entry("jax_scan"))
    for name in ('"stats" :', '"stats":', '"st\\u0061ts":'):
        end = text.index("}", text.index('"stats": {')) + 1
        forged = f'{text[:end]}, {name} {{"min": 0}}{text[end:]}'
        assert json.loads(forged)["benchmarks"][0]["stats"] == {"min": 0}
        assert [bool(reason) for reason in reasons(forged)] == [True, False]


def test_a_digest_moved_to_another_row_does_not_pass() -> None:
    whole = json.loads(sealed(entry(), entry("jax_scan")))
    first, second = (row["extra_info"] for row in whole["benchmarks"])
    first[KEY], second[KEY] = second[KEY], first[KEY]
    assert [bool(reason) for reason in reasons(json.dumps(whole, indent=4))] == [True, True]
    assert row_digest(whole["benchmarks"][0]) == second[KEY]


# Growth


def test_time_and_memory_are_measured_on_files_that_count(tmp_path: Path) -> None:
    page = measure_files((6,), ("md",))
    (row,) = page.data.to_dict("records")
    assert (row["files"], row["rows"]) == (6, 600)
    assert 0 < row["load_s"] < row["md_s"] and 2**25 < row["load_peak"]
    (cells,) = page.sections[0].table
    assert cells["rows"] == "600" and cells["loaded"].endswith("MiB")
    make_files(str(tmp_path), 6)
    table = results.load("all", root=tmp_path)
    assert table["valid"].all() and table.groupby("machine")["run"].nunique().tolist() == [2, 1, 1, 1, 1]
    assert table.groupby(["run", "impl", "problem"])["block"].nunique().unique().tolist() == [2]
    assert table["per_step_s"].nunique() == 600

"""What a saved file must hold: every version that was ever saved, the published schema, and how much is too much."""

import copy
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from helpers import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import document, entry

import results
from benchmarks.campaign import journal
from results.__main__ import main
from results.store import schema
from results.store.columns import FORMER_NAMES
from results.store.reading import RunError
from results.store.reading import read_document as read
from results.store.runs import find, read_all
from results.store.seal import has_seals, seal

SAMPLES = sorted((ROOT / "tests" / "support" / "data").glob("schema-*.json"))
WRITTEN = json.loads((ROOT / "results" / "schema.json").read_text())
JUDGE = jsonschema.Draft202012Validator(WRITTEN)


def named(path: Path) -> int:
    """The version that a sample is called by."""
    return int(path.stem.partition("-")[2])


def write(folder: Path, content: object, name: str = "0001_a.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# Versions


def test_there_is_a_sample_of_every_version() -> None:
    assert [*map(named, SAMPLES)] == [*schema.VERSIONS] == [*range(1, schema.VERSION + 1)]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_file_of_every_version_is_read_shown_compared_reported_and_verified(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = find(str(path), path.parent)
    whole = read(path)
    assert schema.version(whole) == named(path)
    assert run.rows["valid"].all() and len(run.rows) >= 4
    assert run.rows["step_reads"].notna().all() and run.rows["ranks"].eq(1).all()
    assert run.sealed == has_seals(whole) == (named(path) > 1)
    assert run.rows["iterates"].notna().any() == ("sources" in run.campaign) == (named(path) > 2)
    a, b = sorted(run.rows.loc[run.rows["duplicate_of"].isna(), "impl"].unique())[:2]
    for command in (["show"], ["verify"], ["export"], ["report", "--out", "-", "--format", "md", "--baseline", a]):
        assert main([command[0], str(path), *command[1:], "--runs", str(tmp_path)]) == 0
    assert main(["compare", a, b, "--run", str(path)]) == 0
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("path", SAMPLES[:-1], ids=lambda path: path.stem)
def test_a_migration_fills_in_and_changes_nothing_else(path: Path) -> None:
    whole = read(path)
    before, after = copy.deepcopy(whole), schema.migrate(whole)
    changed = {name for name in after if after[name] != before[name]}
    assert schema.check_limits(after) == "" and changed <= {"benchmarks", "campaign"}
    assert [*after["campaign"].values()] if "campaign" in after else True
    for old, new in zip(before["benchmarks"], after["benchmarks"], strict=True):
        renamed = {FORMER_NAMES.get(name, name): value for name, value in old["extra_info"].items()}
        assert new == old | {"extra_info": {"step_reads": "X", "ranks": 1} | renamed}


def test_a_newer_file_is_refused_and_a_strange_number_too(tmp_path: Path) -> None:
    for told, said in (
        (7, "made by a newer descentbench (schema 7; this one reads up to 6)"),
        ("4", "no whole number"),
    ):
        path = write(tmp_path, document(entry(), campaign={"schema": told}))
        with pytest.raises(RunError, match=r"^cannot read [^\n]+$") as caught:
            find(str(path), tmp_path)
        assert said in str(caught.value)


# The published schema


OTHERS = [ROOT / "results" / f"{name}.json" for name in ("closed", "cold", "loops", "overhead", "scaling")]


@pytest.mark.parametrize(
    "path", [*SAMPLES, *OTHERS, *sorted((ROOT / "results" / "runs").rglob("*.json"))], ids=lambda path: path.stem
)
def test_every_committed_run_is_as_the_schema_says(path: Path) -> None:
    content = json.loads(path.read_text())
    JUDGE.validate(content)
    assert not schema.validation_error(content) and not schema.check_limits(content)


PARTS = st.sampled_from(
    ["benchmarks", "machine_info", "commit_info", "campaign", "extra_info", "stats", "data", "schema"]
)
ODD = st.sampled_from([None, True, 0, -1, 3, 6, 1.5, "x", [], [1], [None], [{}], {}, {"schema": "5"}, {"schema": 9}])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(PARTS, ODD), min_size=1, max_size=3), st.booleans())
def test_the_checks_say_what_the_schema_says(edits: list[tuple[str, Any]], remove: bool) -> None:
    whole = document(entry(), entry("jax_scan"))
    for name, value in edits:
        rows = whole.get("benchmarks")
        row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
        stats = row.get("stats") if isinstance(row.get("stats"), dict) else {}
        campaign = dict(whole["campaign"]) if isinstance(whole.get("campaign"), dict) else {}
        inner = {"extra_info": row, "stats": row, "data": stats, "schema": campaign}
        holder = inner.get(name, whole)
        holder.pop(name, None) if remove else holder.update({name: copy.deepcopy(value)})
        if name == "schema" and campaign:
            whole["campaign"] = campaign
    said = schema.validation_error(whole)
    assert bool(said or schema.check_limits(whole)) == (not JUDGE.is_valid(whole)), said


# Too much


@pytest.mark.parametrize(
    ("name", "limit", "content", "said"),
    [
        ("MAX_BYTES", 100, document(entry()), "bytes; 100 are read at most"),
        ("MAX_JSON_VALUES", 30, document(*[entry(block=block) for block in range(9)]), "more than 30 values"),
        ("MAX_ROWS", 2, document(*[entry(block=block) for block in range(3)]), "3 rows; 2 are read at most"),
        ("MAX_ROUNDS", 2, document(entry()), "entry 0 of benchmarks has 3 rounds; 2 are read at most"),
        ("MAX_FACTS", 2, document(entry(a=1, b=2, c=3)), "3 facts that are unknown here; 2 at most"),
    ],
)
def test_too_much_is_refused_with_its_number(
    name: str, limit: int, content: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, content)
    for module in ("schema", "reading", "frame"):
        monkeypatch.setattr(f"results.store.{module}.{name}", limit, raising=False)
    with pytest.raises(RunError, match=r"^cannot read [^\n]+$") as caught:
        find(str(path), tmp_path)
    assert said in str(caught.value)


HOSTILE = {  # texts within the limit of bytes that take minutes and gigabytes to parse
    "lists": lambda at: "[" + "[]," * at + "1]",
    "nested": lambda at: "[" + f"{'[' * 900}{']' * 900}," * (at // 900) + "1]",
    "objects": lambda at: '{"a":' * 900 + "1" + "}" * 900 + ',{"a":{}}' * at,
    "numbers": lambda at: "[" + "1," * at + "1]",
    "keys": lambda at: "{" + "".join(f'"{key}":1,' for key in range(at)) + '"a":1}',
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_of_millions_of_values_is_refused_before_it_is_parsed(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, document(entry())).with_name("0002_b.json")
    path.write_text(f'{{"benchmarks": [], "x": {HOSTILE[kind](schema.MAX_JSON_VALUES)}}}')
    with pytest.raises(RunError, match=r"^cannot read [^\n]+: more than 3,000,000 values$"):
        find(str(path), tmp_path)
    with path.open("ab") as sparse:
        sparse.truncate(schema.MAX_BYTES + 1)
    with pytest.raises(RunError, match=r"^cannot read [^\n]+ 134,217,728 are read at most$"):
        find(str(path), tmp_path)


def test_the_limits_are_ten_times_the_largest_committed_run() -> None:
    contents = [path.read_bytes() for path in Path(results.__file__).parent.glob("runs/*/*/*.json")]
    values = max(sum(map(content.count, (b",", b"[", b"{"))) for content in contents)
    rows = max(len(json.loads(content)["benchmarks"]) for content in contents)
    largest = max(map(len, contents))
    assert 10 * largest <= schema.MAX_BYTES and 10 * values <= schema.MAX_JSON_VALUES and 10 * rows <= schema.MAX_ROWS
    assert (journal.MAX_BYTES, journal.MAX_JSON_VALUES) == (schema.MAX_BYTES, schema.MAX_JSON_VALUES)


@pytest.mark.parametrize("depth", [40, 900, 2_000, 500_000])
@pytest.mark.parametrize("place", ["campaign", "machine_info", "note", "stats", "unclosed"])
def test_no_depth_is_too_much(depth: int, place: str, tmp_path: Path) -> None:
    deep = '{"a":[' * (depth // 2) + "1" + "]}" * (depth // 2) * (place != "unclosed")
    whole = json.dumps(document(entry(note="HERE"), campaign={"a": "HERE"}, machine_info={"a": "HERE"}))
    at = {"campaign": '"campaign": {"a": "HERE"}', "machine_info": '"machine_info": {"a": "HERE"}'}.get(place, '"HERE"')
    path = write(tmp_path, whole.replace(at, at.replace('"HERE"', deep), 1))
    with pytest.raises(RunError, match=r"nested more than 32 deep|is not JSON|cut off"):
        find(str(path), tmp_path)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, document(entry()))
    os.mkfifo(tmp_path / "0002_pipe.json")
    (tmp_path / "0003_loop.json").symlink_to("0003_loop.json")
    (tmp_path / "0004_gone.json").symlink_to("nowhere.json")
    (tmp_path / "folder.json").mkdir()
    runs, faults = read_all([*sorted(tmp_path.iterdir())], tmp_path)
    assert [run.label for run in runs] == ["0001_a"]
    why = [fault.partition(".json: ")[2] for fault in faults.values()]
    assert why == [
        "no regular file",
        "Too many levels of symbolic links",
        "No such file or directory",
        f"it is a folder; its runs are read with --runs {tmp_path / 'folder.json'}",
    ]
    assert results.load("all", root=tmp_path)["run"].unique().tolist() == ["0001_a"]


def test_a_name_that_no_system_takes_is_a_line(tmp_path: Path) -> None:
    write(tmp_path, document(entry()))
    for name in ("x" * 5_000 + ".json", "a\0b.json", "../../../etc/passwd.json", "", "/", "..", "../latest", "x/../1"):
        with pytest.raises(RunError, match=r"^[^\n]+$"):
            find(name, tmp_path)


def test_a_file_named_in_no_encoding_is_named_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, document(entry()), os.fsdecode(b"0001_\xff.json"))
    assert main(["report", str(path), "--runs", str(tmp_path), "--format", "md", "--out", str(tmp_path / "x.md")]) == 0
    assert main(["export", str(path), "--runs", str(tmp_path), "--out", str(tmp_path / "x.csv")]) == 0
    assert r"0001\_\\udcff" in (tmp_path / "x.md").read_text()
    write(tmp_path, "{}", os.fsdecode(b"0002_\xff\n.json"))
    assert main(["list", "--runs", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert r"0001_\udcff" in listed and r"0002_\udcff" in listed


@pytest.mark.parametrize("date", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00"])
def test_no_date_is_too_far_away(date: str, tmp_path: Path) -> None:
    write(tmp_path, document(entry(), datetime=date))
    write(tmp_path, document(entry()), "0002_b.json")
    for command in (["list"], ["show", "1"], ["history", "--plot", str(tmp_path / "x.svg")], ["report", "all"]):
        assert (
            main([*command, "--runs", str(tmp_path), *(["--format", "md", "--out", "-"] * (command[0] == "report"))])
            == 0
        )


@pytest.mark.parametrize(
    "date", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "", "now", 20250101, None, []]
)
def test_what_is_no_date_is_refused(date: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="its datetime is not a date"):
        find(str(write(tmp_path, document(entry(), datetime=date))), tmp_path)


def test_of_a_key_told_twice_the_last_counts_and_the_seal_is_broken(tmp_path: Path) -> None:
    text = json.dumps(whole(entry()))
    path = write(tmp_path, text.replace('"per_step_s": 2e-06', '"per_step_s": 2e-06, "per_step_s": 1e-09'))
    row = find(str(path), tmp_path).rows.iloc[0]
    assert (row["per_step_s"], row["valid"]) == (1e-9, False) and row["reason"].startswith("edited by hand")


# The seal over the whole file


def whole(*entries: dict[str, Any]) -> dict[str, Any]:
    """A file as it is saved today."""
    made = document(*entries, campaign={"schema": schema.VERSION, "sources": {"a": {"file": "a.py", "text": "x"}}})
    seal(made)
    return json.loads(json.dumps(made))


EDITS = {
    "a row dropped": lambda file: file["benchmarks"].pop(),
    "a row added": lambda file: file["benchmarks"].append(file["benchmarks"][0]),
    "two rows swapped": lambda file: file["benchmarks"].reverse(),
    "a row renamed": lambda file: file["benchmarks"][0].update(name="other"),
    "a row sealed anew": lambda file: file["benchmarks"][0]["extra_info"].update(digest="0" * 16),
    "another commit": lambda file: file["commit_info"].update(id="f" * 40),
    "another date": lambda file: file.update(datetime="2020-01-01T00:00:00+00:00"),
    "something new": lambda file: file.update(more=1),
    "another machine": lambda file: file["machine_info"].update(slug="other"),
    "other code": lambda file: file["campaign"]["sources"]["a"].update(text="y"),
    "no number": lambda file: file["campaign"].pop("schema"),
    "an older number": lambda file: file["campaign"].update(schema=4),
    "no seal": lambda file: file["campaign"].pop("digest"),
    "no seals": lambda file: [held.pop("digest") for held in (file["campaign"], file["benchmarks"][0]["extra_info"])],
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=[*EDITS])
def test_no_part_of_a_file_is_edited_unnoticed(edit: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = whole(entry(), entry("jax_scan"))
    path = write(tmp_path, file)
    assert find(str(path), tmp_path).rows["valid"].all() and main(["verify", str(path)]) == 0
    edit(file)
    write(tmp_path, file)
    rows = find(str(path), tmp_path).rows
    assert not rows["valid"].any() and rows["reason"].str.startswith("edited by hand: ").all()
    assert main(["verify", str(path), "--format", "md"]) == 1
    assert "edited by hand" in capsys.readouterr().out
    assert main(["answer", str(path)]) == 0
    assert "- 0 of " in capsys.readouterr().out


def test_verify_names_the_rows_and_goes_on_with_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = whole(entry(), entry("jax_scan"), entry("torch_nn"))
    write(tmp_path, file, "0001_good.json")
    file["benchmarks"][1]["extra_info"]["per_step_s"] = 1e-9
    file["benchmarks"][2]["stats"]["data"][0] = 1e-9
    write(tmp_path, file, "0002_edited.json")
    write(tmp_path, document(entry()), "0003_old.json")
    write(tmp_path, "{", "0004_cut.json")
    assert main(["verify", "--runs", str(tmp_path), "--format", "json"]) == 1
    told = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
    seals = ["matches", "edited by hand", "no seal", "cannot be read"]
    assert [row["seal"] for row in told.values()] == seals
    assert told["0002_edited"]["why"] == "rows 1 (bench_descent[jax_scan]), 2 (bench_descent[torch_nn])"
    assert told["0003_old"]["why"] == "made before seals" and "cut off" in told["0004_cut"]["why"]
    assert {row["code"] for row in told.values()} == {"not in this repository: a", ""}
    assert main(["verify", "good", "old", "--runs", str(tmp_path)]) == 0
    assert main(["verify", "nothing", "--runs", str(tmp_path)]) == 2


LABELS: dict[str, Any] = {
    "group": "large float32 gpu",
    "param": "jax_scan-cpu-small-float32-0",
    "params": {"case": "jax_scan-cpu-small-float32-0"},
}


@pytest.mark.parametrize("field", LABELS)
@pytest.mark.parametrize("edit", ["changed", "removed"])
def test_verify_compares_the_labels_of_a_row_with_its_facts(
    field: str, edit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = whole(entry(), entry(problem="größe", block=3))
    path = write(tmp_path, file)
    assert main(["verify", str(path)]) == 0
    escaped = file["benchmarks"][1]["param"].encode("unicode_escape").decode()
    file["benchmarks"][1]["param"] = escaped  # as pytest does
    write(tmp_path, file)
    assert main(["verify", str(path)]) == 0
    if edit == "changed":
        file["benchmarks"][1][field] = LABELS[field]
    else:
        del file["benchmarks"][1][field]
    write(tmp_path, file)
    capsys.readouterr()
    assert main(["verify", str(path), "--format", "json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["seal"], row["why"]) == ("edited by hand", f"row 1 (bench_descent[numpy_manual]: {field})")


def test_rows_of_other_projects_have_other_labels(tmp_path: Path) -> None:
    other = {"name": "test_parse", "group": None, "params": None, "extra_info": {}, "stats": entry()["stats"]}
    assert main(["verify", str(write(tmp_path, whole(entry(), other)))]) == 0


def test_the_other_committed_files_are_not_edited() -> None:
    files = [ROOT / "results" / f"{name}.json" for name in ("closed", "cold", "loops", "overhead", "scaling")]
    assert main(["verify", *map(str, files)]) == 0


def test_verify_says_whose_code_has_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = (ROOT / "impls" / "numpy_manual.py").read_text()
    sources = {
        "numpy_manual": {"file": "impls/numpy_manual.py", "text": now},
        "jax_scan": {"file": "impls/jax_scan.py", "text": "x"},
        "mine": {"file": "../../etc/passwd", "text": "x"},
        "odd": 3,
    }
    path = write(tmp_path, document(entry(), campaign={"sources": sources}))
    assert main(["verify", str(path), "--format", "json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["code"] == "code has changed: jax_scan; not in this repository: mine, odd"

"""`python -m results`: every command in every format, errors of one line, and strangers' strings."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers import ROOT
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.text import Text

from results.__main__ import main
from results.commands.show import show
from results.output import FORMATS, Page, Section, escaped, fitting, markdown, words, write
from results.store.runs import find

MACHINE = {"node": "box", "cpu": {"brand_raw": "CPU"}, "cores": 2, "packages": {"numpy": "2.4.6"}}


def entry(impl: str, step: float = 1e-6, **extra: Any) -> dict[str, Any]:
    facts = {"impl": impl, "device": "cpu", "dtype": "float32", "problem": "small", "n": 9, "d": 2, "k": 1, "batch": 9}
    facts |= {"steps": 10, "block": 0, "seed": 0, "threads": 1, "valid": True, "reason": "", "error": 1e-9, "lr": 0.5}
    facts |= {
        "tolerance": 1e-8,
        "import_s": 0.1,
        "prepare_s": 0.1,
        "first_s": 0.1,
        "steady_s": 10 * step,
        "fixed_s": 0.0,
    }
    facts |= {"per_step_s": step, "cpu_over_wall": 1.0, "rss_bytes": 2**20, "problem_hash": "abc", "version": "1"}
    stats = {"rounds": 2, "min": step, "median": step, "iqr": 0.0, "data": [step, step]}
    return {"name": f"bench[{impl}]", "extra_info": facts | extra, "stats": stats}


def saved(root: Path, *entries: dict[str, Any], number: int = 1, **top: Any) -> Path:
    content = {"machine_info": MACHINE, "commit_info": {"id": "abc"}, "benchmarks": list(entries), "version": "5"}
    content |= {"datetime": f"2025-01-0{number}T00:00:00+00:00", "campaign": {"seed": 0, "blocks": 1}}
    path = root / "box" / "Linux-CPython-3.11-64bit" / f"000{number}_run{number}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | top))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "runs"
    saved(root, entry("numpy_manual"), entry("jax_scan", 2e-6), entry("torch_nn", valid=False, reason="wrong"))
    saved(root, entry("numpy_manual"), entry("jax_scan", 3e-6), number=2)
    return root


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(root: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command on the runs of the test: exit status, stdout, stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments, "--runs", str(root)])
        return status, *capsys.readouterr()

    return run


COMMANDS = [
    ["list"],
    ["show", "1"],
    ["compare", "1", "2"],
    ["compare", "numpy_manual", "jax_scan"],
    ["report", "1", "2", "--out", "-"],
    ["export", "1", "2"],
    ["export", "--rounds"],
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_writes_every_format(command: list[str], form: str, call: Call) -> None:
    status, out, err = call(*command, "--format", form)
    assert (status, err) == (0, "")
    if form == "json":
        assert all(isinstance(row, dict) for row in json.loads(out, parse_constant=pytest.fail))
    elif form == "csv":
        assert len({len(row) for row in csv.reader(io.StringIO(out))}) == 1
    else:
        assert "\x1b" not in out
        assert "…" not in out
        assert ("| --- |" in out) == (form == "md")


def test_the_defaults_are_a_table_a_csv_and_a_folder_beside_the_runs(call: Call, root: Path) -> None:
    assert "─" in call("list")[1]
    assert call("export")[1].startswith(
        '"run","machine","datetime","commit","name","hardware","file","code","kernels","complete","impl",'
    )
    status, out, err = call("report")
    page = root.parent / "report" / "report.html"
    assert (status, err) == (0, "")
    assert out.startswith(f"wrote {page} and, beside it, ")
    assert page.read_text().startswith("<!doctype html>")
    assert page.with_suffix(".md").read_text().startswith("# Report\n")


def test_a_terminal_sees_the_steps_of_a_report(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    err = call("report", "all", "--out", str(tmp_path / "page"))[2]
    assert "reading" in err and "2 runs" in err and f"charts, in {tmp_path / 'page'}" in err
    assert (tmp_path / "page" / "report.html").is_file()
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    assert "folder to write to" in " ".join(capsys.readouterr().out.split())


def test_a_report_without_the_usual_baseline_takes_another_and_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path, entry("torch_nn"), entry("jax_scan", 2e-6))
    assert main(["report", "--runs", str(tmp_path), "--format", "md"]) == 0
    assert "over jax_scan" in capsys.readouterr().out


def test_a_report_has_its_runs_in_the_order_in_which_they_are_named(call: Call) -> None:
    for runs in (["1", "2"], ["2", "1"]):
        out = call("report", *runs, "--format", "md")[1]
        assert [*dict.fromkeys(re.findall(r"box/000(\d)_run", out))] == runs, out


def test_out_writes_a_file(call: Call, tmp_path: Path) -> None:
    assert call("export", "--format", "json", "--out", str(tmp_path / "rows.json"))[:2] == (0, "")
    assert len(json.loads((tmp_path / "rows.json").read_text())) == 2


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["show", "nope"], "no run is called 'nope'; known: box/0001_run1, box/0002_run2"),
        (["show", "none.json"], "cannot read none.json"),
        (["show", "run1", "--impl", "numpy"], "has no impl 'numpy'; nearest: numpy_manual"),
        (["show", "run1", "--device", "gpu"], "has no device 'gpu'; nearest: cpu"),
        (["show", "all"], "'all' names several runs"),
        (["compare", "1", "nope"], "no run is called"),
        (["compare", "1", "box/run1"], "box/0001_run1 is named twice"),
        (["gate", "1", "run1", "--slower", "5%"], "box/0001_run1 is named twice"),
        (["gate", "1", "1", "--slower", "5%", "--impl", "jax_scan", "jax_scan"], "jax_scan is named twice"),
        (["compare", "numpy_manual", "jax_scn"], "no run here has an implementation 'jax_scn'; nearest: jax_scan"),
        (["compare", "numpy_manual", "numpy_manual"], "numpy_manual is named twice"),
        (["payback", "numpy_manual", "numpy_manual"], "numpy_manual is named twice"),
        (["compare", "run1"], "run1 is a run; give a second run, or two implementations: compare A B --run run1"),
        (["compare", "run1", "jax_scan"], "run1 is a run, and jax_scan an implementation: give two runs, or two"),
        (["compare", "numpy_manual", "torch_nn", "--run", "1"], "nothing to compare: invalid in B: wrong (cases: 1)"),
        (["report", "--baseline", "nope"], "no implementation is called 'nope'; known: jax_scan, numpy_manual"),
        (["report", "--out", "-"], "the report is a folder of files: use --out DIR, or --format md for stdout"),
        (["export", "--out", "/no/such/folder/file"], "results: /no/such/folder/file: No such file or directory\n"),
    ],
)
def test_an_error_is_one_line_and_status_2(command: list[str], message: str, call: Call) -> None:
    status, out, err = call(*command)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["list", "show latest", "compare a b", "report", "export"])
def test_without_runs_every_command_says_how_to_make_one(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--runs", str(tmp_path)]) == 2
    assert "--benchmark-save=NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("shwo", "unknown command 'shwo'; did you mean show? (see: python -m results --help)"),
        ("zzzzzz", "unknown command 'zzzzzz' (see"),
        ("ask 50000x30 --foo 1", "unknown option '--foo'"),
        ("compare a b --basline x", "unknown option '--basline'; did you mean --baseline?"),
        ("show a b", "unknown argument 'b' (see: python -m results show --help)"),
        ("show", "arguments are required: RUN (see: python -m results show --help)"),
        ("list --format xml", "'xml'"),
        ("ask 300x10 --batch 0", "a whole number from 1 to"),
        (f"ask 300x10 --steps {'9' * 400}", "a whole number from 1 to"),
        ("ask 300x10 --dtype half", "choose from 'float32'"),
    ],
)
def test_a_usage_error_is_one_line_with_a_way_on(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(command.split())
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1) and message in err


def test_help_explains_the_names_of_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["report", "--help"])
    assert "A RUN is a path" in capsys.readouterr().out


def test_paths_need_no_runs_folder(root: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    a, b = (str(path) for path in sorted(root.rglob("*.json")))
    assert main(["compare", a, b, "--runs", str(tmp_path / "none"), "--format", "json"]) == 0
    assert {row["ratio"] for row in json.loads(capsys.readouterr().out)} == {None, 1.0, 1.5}


def test_show_filters_by_comma_lists(call: Call) -> None:
    rows = json.loads(call("show", "1", "--impl", "jax_scan,torch_nn", "--format", "json")[1])
    assert [(row["impl"], row["status"]) for row in rows] == [("jax_scan", "measured"), ("torch_nn", "invalid")]


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("pandas", "results show"),
        ("numpy", "results show"),
        ("altair", "results report intel/0008_layers"),
        ("pytest", "benchmarks fit line"),
    ],
)
def test_a_clone_without_its_requirements_says_how_to_install_them(package: str, words: str) -> None:
    module, *arguments = words.split()
    code = f"import runpy, sys; sys.modules[{package!r}] = None; sys.argv[1:] = {arguments!r}"
    code += f"; runpy.run_module({module!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert f"needs {package}: pip install " in done.stderr


def test_the_reader_may_leave(root: Path) -> None:
    command = f"{sys.executable} -m results export --format json --runs {root} | head -c 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[", "")


def test_an_interrupted_run_is_marked(root: Path, call: Call) -> None:
    saved(root, entry("numpy_manual"), number=3, campaign={"interrupted": True})
    assert {row["note"] for row in json.loads(call("list", "--format", "json")[1])} == {"", "interrupted"}
    assert "Interrupted: cases are missing" in call("show", "3")[1]


def test_a_terminal_gets_all_of_a_cell_in_however_little_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    write(show(find("1", root), {}), "table", stream)
    output = stream.getvalue()
    assert "\x1b[" in output
    assert "…" not in output
    assert max(map(len, Text.from_ansi(output).plain.splitlines())) <= 60


def test_a_terminal_gets_the_first_rows_of_a_long_table() -> None:
    page, stream = Page(pd.DataFrame(), [Section(table=[{"name": f"row {i}"} for i in range(1_500)])]), io.StringIO()
    write(page, "table", stream)
    assert "row 999" in stream.getvalue() and "row 1000" not in stream.getvalue()
    assert "500 more rows" in stream.getvalue()


HOSTILE = st.text(st.one_of(st.sampled_from("|`<>=+-@\t\r\n*[]\\&\x1b'\",\ud800"), st.characters()), min_size=1)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOSTILE)
def test_strangers_strings_break_no_format(tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str) -> None:
    path = saved(
        tmp_path, entry("numpy_manual"), entry(word, problem=word, valid=False, reason=word, **{"x" + word: word})
    )
    outputs = {}
    for form in FORMATS:
        assert main(["export", str(path), "--format", form, "--runs", str(tmp_path)]) == 0
        outputs[form] = capsys.readouterr().out
        assert main(["report", str(path), "--format", form, "--runs", str(tmp_path), "--out", "-"]) == 0
        outputs[f"report {form}"] = capsys.readouterr().out
    kept = word.encode("utf-8", "backslashreplace").decode()
    assert json.loads(outputs["json"])[1]["reason"] == kept
    rows = list(csv.DictReader(io.StringIO(outputs["csv"], newline="")))
    assert rows[1]["impl"] in (kept, f"'{kept}")
    assert not any(cell.startswith(tuple("=+-@\t\r")) for row in rows for cell in [*row, *row.values()])
    assert (
        len({line.count("|") - line.count("\\|") for line in outputs["md"].splitlines() if line.startswith("|")}) == 1
    )
    assert "\x1b" not in outputs["table"] + outputs["md"] + outputs["report table"] + outputs["report md"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("`x`", r"\`x\`"),
        ("<b>", "&lt;b>"),
        ("a\nb", "a b"),
        ("![i](u)", r"!\[i\](u)"),
        ("&lt;", "&amp;lt;"),
    ],
)
def test_markdown_is_shown_as_it_is(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_a_page_of_nothing_is_written(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    path = saved(root, number=4, campaign=None)
    for form in FORMATS:
        for command in ("show", "export"):
            assert main([command, str(path), "--format", form]) == 0
    assert "no rows" in capsys.readouterr().out


def rendered(text: str) -> list[str]:
    """What a reader sees of a page of Markdown: each heading, paragraph, cell and note as plain text, marks by name."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    lines = [token.children or [] for token in tokens if token.type == "inline"]
    shown = [[part.content if part.type.startswith("text") else f"<{part.type}>" for part in line] for line in lines]
    return [" ".join("".join(parts).split()) for parts in shown]


@settings(max_examples=200, deadline=None)
@given(HOSTILE)
@example("- x").via("a list")
@example("1. x").via("a numbered list")
@example("# | `a` <b> ~~😀~~ __init__ #").via("everything at once")
@example("    x").via("code")
def test_pasted_markdown_shows_every_word_as_it_is(word: str) -> None:
    word = "x" if not "".join(filter(str.isprintable, word)).strip() else word.encode("utf-8", "replace").decode()
    page = [Section(word, word, [{"case": word, word + "!": "1"}] * 40, [word])]
    seen, whole = " ".join(words(word).split()), " ".join(words(word + "!").split())
    assert rendered(markdown(page)) == [seen, seen, "case", whole, *[seen, "1"] * 40, seen]


def test_show_and_report_begin_with_the_same_verdict(call: Call) -> None:
    agree = "3 of 3 implementations agree with the reference."
    for form in ("table", "md"):
        shown, reported = call("show", "1", "--format", form)[1], call("report", "1", "--format", form, "--out", "-")[1]
        heading, sentence = [line for line in shown.splitlines() if line][:2]
        assert heading.removeprefix("## ") == "Run box/0001_run1"
        assert agree in sentence and "numpy_manual on small (may be as fast: jax_scan)." in sentence
        assert "Invalid: torch_nn (wrong)." in sentence
        assert agree in "\n".join(reported.splitlines()[:7])
        assert reported.removeprefix("# ").startswith("Report\n")


def test_a_verdict_on_some_cases_says_so(call: Call) -> None:
    sentence = call("show", "1", "--impl", "torch_nn")[1].splitlines()[1]
    assert sentence.startswith("Only the selected cases: ") and "1 of 1 implementation agrees" in sentence


def test_compare_says_first_how_often_and_by_how_much(root: Path, call: Call) -> None:
    for number, times in ((5, (4e-6, 8e-6)), (6, (5e-7, 1e-6))):
        rows = [
            entry(impl, step * (1 + block / 1000), problem=problem, block=block)
            for block in range(8)
            for impl, steps in (("numpy_manual", (1e-6, 1e-6)), ("jax_scan", times))
            for problem, step in zip(("small", "line"), steps, strict=True)
        ]
        saved(root, *rows, number=number)
    slower, faster, mixed = (
        call("compare", *names)[1].splitlines()[2]
        for names in (
            ["numpy_manual", "jax_scan", "--run", "5"],
            ["numpy_manual", "jax_scan", "--run", "6"],
            ["5", "6"],
        )
    )
    assert slower.startswith("jax_scan against numpy_manual: SLOWER in 2 of 2 comparisons, 4.00x to 8.00x. A = ")
    assert faster.startswith("jax_scan against numpy_manual: FASTER in 1 of 2 comparisons, 2.00x; EQUIVALENT in 1. A")
    assert "0006_run6 against box/0005_run5: FASTER in 2 of 4 comparisons, 8.00x; EQUIVALENT in 2. A" in mixed


def test_show_has_what_was_recorded_of_the_gpu(root: Path, call: Call) -> None:
    facts = {"transfer_s": 2e-3, "event_s": 1e-4, "launches": 3, "device_bytes": 2**21, "energy_j": 4e-3}
    saved(root, entry("torch_nn", device="gpu", throttle_reasons="power cap", **facts), entry("numpy_manual"), number=7)
    _, out, _ = call("show", "7", "--wide")
    section = out.partition("On the GPU")[2]
    assert "launches per step" in section and "2.00 ms" in section and "4.00 mJ" in section and "2 MiB" in section
    assert "Clock lowered: power cap (1 row)." in section and "busy" not in section
    saved(root, entry("numpy_manual"), number=8)
    assert "On the GPU" not in call("show", "8")[1]


def test_a_narrow_table_keeps_the_ratio_its_interval_and_the_verdict() -> None:
    row = {
        "problem": "small",
        "A per step": "1.00 µs",
        "B per step": "2.00 µs",
        "B/A": "2.00x",
        "interval": "1.9 .. 2.1",
    }
    other = {name: f"{cell} " for name, cell in row.items()}
    table = [row | {"spare": "-"}, other | {"spare": "-"}]
    shown, lines = fitting(table, 40, ("problem", "B/A", "interval"))
    assert [*shown[0]] == ["problem", "B/A", "interval"]
    assert "A per step, B per step, spare" in " ".join(lines)
    assert fitting(table, 100)[0] == table


def test_runs_are_listed_by_date_under_short_names(call: Call, root: Path) -> None:
    saved(root, entry("numpy_manual"), number=3).rename(root / "box" / "Linux-CPython-3.11-64bit" / "0003_run2.json")
    names = [line.split()[0] for line in call("list")[1].splitlines() if line.startswith("box/")]
    assert names == ["box/run1", "box/0002_run2", "box/0003_run2"]
    assert json.loads(call("list", "--format", "json")[1])[0]["run"] == "box/0001_run1"


def test_without_a_run_of_ones_own_compare_names_a_run_to_try(call: Call, root: Path) -> None:
    paths = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.json"))]
    (root / "project.txt").write_text("\n".join(paths))
    code, _, err = call("compare", "numpy_manual")
    assert code == 2 and "compare numpy_manual jax_scan --run box/0001_run1" in err
    code, _, err = call("answer")
    assert code == 2 and "box/000" in err

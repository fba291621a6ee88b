"""The gate: its rule on known truths, its exit status, thresholds by case, JUnit XML and GitHub's commands."""

import json
import math
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from runs import blocks, saved_run

from results.__main__ import main
from results.commands.gate import (
    FAIL,
    PASS,
    REFUSED,
    Thresholds,
    annotations,
    decide,
    gate,
    junit,
    parse_threshold,
    read_thresholds,
)
from results.output import FORMATS, Page
from results.stats.verdicts import UNDECIDED, judge
from results.store.reading import Run, RunError

FIVE: Thresholds = [({}, 0.05)]
NOISE = [1.0, 1.001, 0.999, 1.002, 0.998, 1.0015, 0.9985, 1.0005, 0.9995, 1.003]
Rows = list[dict[str, Any]]


def base(K: int = 10, impl: str = "numpy_manual", **extra: Any) -> Rows:
    return blocks(impl, [1e-6] * K, **extra)


def new(ratio: float, K: int = 10, impl: str = "numpy_manual", **extra: Any) -> Rows:
    return blocks(impl, [1e-6 * ratio * noise for noise in NOISE[:K]], **extra)


def control(drift: float = 0.0005) -> Rows:
    """Rows of code that is the same in both runs, left out of the verdicts: its cases drift up and down."""
    cases = enumerate(["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"])
    return [
        row
        for number, problem in cases
        for row in blocks(
            "control-again",
            [1e-6 * math.exp(drift * (-1) ** number)] * 3,
            problem=problem,
            duplicate_of="control",
            version="1.0",
        )
    ]


SOURCES = {"sources": {"control": {"digest": "0123456789abcdef"}}}


def judged(root: Path, old: Rows, fresh: Rows, limits: Thresholds = FIVE, drift: float = 0.0005, **top: Any) -> Page:
    """Two runs with a control that drifts between them."""
    top["campaign"] = SOURCES | top.get("campaign", {})
    return gate(
        saved_run(root, old + control(0), campaign=SOURCES),
        saved_run(root, fresh + control(drift), "0002_new", **top),
        limits,
    )


def summary(page: Page) -> str:
    return page.sections[0].text


# The rule


@pytest.mark.parametrize(
    ("ratio", "verdict", "code", "words"),
    [
        (1.0, PASS, 0, "NOT SLOWER: "),
        (0.5, PASS, 0, "NOT SLOWER: "),
        (1.04, PASS, 0, "NOT SLOWER: "),
        (1.05, UNDECIDED, 2, "UNDECIDED: 1 of 1"),
        (1.06, FAIL, 1, "SLOWER: 1 of 1"),
        (3.0, FAIL, 1, "SLOWER: 1 of 1"),
    ],
)
def test_the_verdict_is_the_truth_s(ratio: float, verdict: str, code: int, words: str, tmp_path: Path) -> None:
    page = judged(tmp_path, base(), new(ratio))
    assert (page.data.loc[0, "verdict"], page.code) == (verdict, code)
    assert summary(page).startswith(words)
    assert page.data.loc[0, "lower"] < ratio * 1.001 and page.data.loc[0, "upper"] > ratio * 0.999


def test_at_the_threshold_itself_five_in_a_hundred_pass_and_five_pages_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "results.commands.gate.blocks_needed", lambda *_: None
    )  # the slow part, and no part of the verdict
    rng = np.random.default_rng(0)
    d = rng.normal(math.log(1.05), 0.01, (3000, 10))
    alone = [decide(list(row), 0.05, 1)["verdict"] for row in d]
    assert 0.03 <= np.mean([word == PASS for word in alone]) <= 0.06
    assert 0.03 <= np.mean([word == FAIL for word in alone]) <= 0.06
    of_six = np.array([decide(list(row), 0.05, 6)["verdict"] == FAIL for row in d]).reshape(-1, 6)
    assert 0.01 <= of_six.any(axis=1).mean() <= 0.07


def test_a_run_that_ends_when_signs_agree_fails_no_more_often() -> None:
    """Each of three cases is exactly at the threshold, and its blocks end at the first look that decides its sign."""
    rng, failed, pages = np.random.default_rng(0), 0, 60
    for page in rng.normal(math.log(1.05), 0.06, (pages, 3, 12)):
        ends = [12] * 3
        for count in range(3, 12):
            looks = judge([row[: min(count, end)] for row, end in zip(page, ends, strict=True)], finished=False)
            ends = [min(end, count) if one.word != UNDECIDED else end for end, one in zip(ends, looks, strict=True)]
        logs = [row[:end].tolist() for row, end in zip(page, ends, strict=True)]
        judged = zip(logs, judge(logs, finished=False), strict=True)
        failed += any(decide(d, 0.05, 3, early=early)["verdict"] == FAIL for d, early in judged)
    assert failed <= 0.05 * pages


def test_a_case_passes_the_same_in_whatever_company_but_fails_harder() -> None:
    d = [math.log(1.06)] * 5
    assert decide(d, 0.05, 1)["verdict"] == FAIL
    many = decide(d, 0.05, 16)
    assert (many["verdict"], many["lower"], many["needed"]) == (UNDECIDED, 0.0, 9)
    assert "at most 1.06x" in many["reason"] and "--blocks 9" in many["reason"] and "1.05x" in many["reason"]
    assert {decide([0.0] * 5, 0.05, m)["verdict"] for m in (1, 16, 1000)} == {PASS}


@pytest.mark.parametrize("K", [1, 4])
def test_below_six_blocks_of_two_runs_there_is_no_bound_and_the_number_needed_is_said(K: int, tmp_path: Path) -> None:
    page = judged(tmp_path, base(K), new(1.0, K))
    assert page.code == 2
    assert page.data.loc[0, ["verdict", "upper", "needed"]].tolist() == [UNDECIDED, math.inf, 6]
    assert "too few blocks" in page.data.loc[0, "reason"] and "(--blocks 6)" in page.data.loc[0, "reason"]
    assert judged(tmp_path, base(6), new(1.0, 6)).code == 0


def test_an_undecided_case_has_its_interval_and_the_blocks_that_would_decide() -> None:
    found = decide([math.log(1.02) + shift for shift in np.linspace(-0.09, 0.09, 12)], 0.05, 1)
    assert found["verdict"] == UNDECIDED
    assert found["lower"] < 1.05 < found["upper"]
    assert 12 < found["needed"] < 100
    assert f"(--blocks {found['needed']})" in found["reason"]
    exact = decide([math.log1p(0.05)] * 12, 0.05, 1)
    assert exact["needed"] == 5 and "between 1.05x and 1.05x" in exact["reason"] and "more blocks" in exact["reason"]


# Drift between two runs


def runs_that_drift(rng: np.random.Generator, count: int, spread: float, effect: float) -> tuple[float, float]:
    """Return the shares of pages (of 6 cases, beside 8 unchanged ones) with a FAIL and with a PASS."""
    fail = passed = 0
    for _ in range(count):
        shifts = rng.normal(0, spread, 8) + rng.normal(0, 0.002, 8)
        cases = effect + rng.normal(0, spread, (6, 1)) + rng.normal(0, 0.01, (6, 10))
        words = [decide(list(row), 0.05, 6, shifts)["verdict"] for row in cases]
        fail, passed = fail + (FAIL in words), passed + (words.count(PASS) == 6)
    return fail / count, passed / count


def test_a_drift_between_runs_fails_no_more_than_five_pages_of_a_hundred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.commands.gate.blocks_needed", lambda *_: None)
    rng = np.random.default_rng(0)
    at_threshold, _ = runs_that_drift(rng, 400, 0.02, math.log(1.05))
    no_change, _ = runs_that_drift(rng, 400, 0.05, 0.0)
    assert at_threshold <= 0.06 and no_change <= 0.06
    slower, _ = runs_that_drift(rng, 50, 0.01, math.log(1.3))
    _, passed = runs_that_drift(rng, 50, 0.005, 0.0)
    assert slower > 0.9 and passed > 0.9


def test_a_large_drift_of_unchanged_code_decides_nothing(tmp_path: Path) -> None:
    page = judged(tmp_path, base(), new(1.06), drift=0.08)
    assert (page.code, page.data.loc[0, "verdict"]) == (2, UNDECIDED)
    assert "the drift between the runs, up to 1." in page.data.loc[0, "reason"]


def test_without_unchanged_code_the_drift_is_unknown_and_one_run_is_the_remedy(tmp_path: Path) -> None:
    page = gate(saved_run(tmp_path, base()), saved_run(tmp_path, new(1.2), "0002_new"), FIVE)
    assert (page.code, page.data.loc[0, "verdict"]) == (2, UNDECIDED)
    assert "gate RUN RUN --impl OLD NEW" in page.data.loc[0, "reason"]


def test_two_versions_of_one_run_need_no_control(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_run(tmp_path, base(impl="old") + new(1.2, impl="new") + base(impl="other"))
    command = ["gate", "base", "base", "--runs", str(tmp_path), "--slower", "5%", "--impl"]
    assert main([*command, "old", "new"]) == 1
    assert "SLOWER: 1 of 1 cases" in capsys.readouterr().out
    assert main([*command, "new", "old"]) == 0
    assert main([*command, "old", "nww"]) == 2
    assert "no implementation 'nww'; nearest: new" in capsys.readouterr().err
    saved_run(tmp_path, base(), "0002_new")
    assert main(["gate", "base", "0002_new", *command[3:], "old", "new"]) == 2
    assert "are two runs" in capsys.readouterr().err


def test_a_missing_package_is_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("0001_base", "0002_new"):
        saved_run(tmp_path, base() + control(0), name, campaign=SOURCES)
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    assert main(["gate", "1", "2", "--runs", str(tmp_path), "--slower", "5%"]) == 2
    assert "pip install numpy pandas" in capsys.readouterr().err


# What cannot be compared


@pytest.mark.parametrize(
    ("fresh", "top", "reason"),
    [
        (new(1.0, impl="jax_scan"), {}, "missing in NEW"),
        ([], {"campaign": {"skipped": [{"impl": "numpy_manual", "device": "cpu", "reason": "x"}]}}, "skipped (x)"),
        (new(1.0, steps=7), {}, "steps 100 in BASE, 7 in NEW"),
        (new(1.0, valid=False, reason="wrong"), {}, "invalid in NEW: wrong"),
        (new(math.nan), {}, "invalid in NEW: its time per step is zero or not recorded"),
        (new(1.0, block=77), {}, "no complete block in common"),
        (new(1.0, threads=None), {}, "threads 1 in BASE, unknown in NEW"),
        (new(1.0), {"machine": "other"}, "machines are never compared"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_no_pass(fresh: Rows, top: dict[str, Any], reason: str, tmp_path: Path) -> None:
    page = judged(tmp_path, base(), fresh, **top)
    assert (page.code, page.data.loc[0, "verdict"]) == (2, REFUSED)
    assert reason in page.data.loc[0, "reason"]
    assert "1 not comparable" in summary(page)
    assert "::warning title=NOT COMPARABLE%3A numpy_manual small float64 cpu::" in annotations(page)[0]


def test_a_block_that_was_refused_spoils_its_case(tmp_path: Path) -> None:
    gone = {"impl": "numpy_manual", "device": "cpu", "dtype": "float64", "problem": "small", "block": 9}
    top = {"campaign": {"refused": [gone | {"reason": "wrong at t = 3"}, gone | {"problem": "big"}, {}, 3]}}
    page = judged(tmp_path, base(), new(1.0, 9), **top)
    assert page.data["reason"].tolist() == ["invalid in NEW: refused in block 9: wrong at t = 3"]
    assert judged(tmp_path, base(problem="other"), new(1.0, problem="other"), **top).code == 0


def test_what_was_skipped_of_some_problems_is_no_word_on_the_others(tmp_path: Path) -> None:
    top = {"campaign": {"skipped": [{"impl": "numpy_manual", "device": "cpu", "reason": "no mini-batches"}]}}
    others = new(1.0, impl="jax_scan")
    page = judged(tmp_path, base(), new(1.0) + others, **top)
    assert page.code == 0, page.data["reason"].tolist()
    page = judged(tmp_path, base(), new(1.0, 9) + others, **top)
    assert page.code == 2 and page.data["reason"].tolist() == ["skipped (no mini-batches) in NEW"]


def test_one_slow_case_outweighs_what_is_unknown(tmp_path: Path) -> None:
    old = base() + base(impl="jax_scan") + base(impl="torch_nn") + base(impl="a")
    page = judged(tmp_path, old, new(1.0) + new(2.0, impl="jax_scan") + new(1.0, 3, impl="torch_nn"))
    assert page.code == 1
    assert summary(page).startswith("SLOWER: 1 of 4 ")
    assert "1 undecided" in summary(page) and "1 not comparable" in summary(page)


def test_what_only_new_has_is_a_note_and_twins_are_left_out(tmp_path: Path) -> None:
    again = {"impl": "numpy_manual-again", "duplicate_of": "numpy_manual"}
    page = judged(tmp_path, base() + base(**again), new(1.0) + new(1.09, **again) + new(1.0, impl="jax_scan"))
    assert (page.code, page.data["impl"].tolist()) == (0, ["numpy_manual"])
    assert page.sections[1].notes[0] == "only in NEW, not judged: jax_scan cpu float64 small"


@pytest.mark.parametrize("rows", [[], base(impl="a", duplicate_of="b")])
def test_nothing_to_compare_is_undecided(rows: Rows, tmp_path: Path) -> None:
    page = judged(tmp_path, rows, new(1.0))
    assert (page.code, len(page.data)) == (2, 0)
    assert summary(page).endswith("BASE has no case to compare.")
    assert ElementTree.fromstring(junit(page)).attrib["tests"] == "0"


# Thresholds


@pytest.mark.parametrize(("given", "value"), [("5%", 0.05), ("0.05", 0.05), (0.05, 0.05), (" 150 % ", 1.5), ("0%", 0)])
def test_a_threshold_is_a_percentage_or_a_parse_threshold(given: object, value: float) -> None:
    assert parse_threshold(given, "--slower") == pytest.approx(value)


@pytest.mark.parametrize("given", ["", "%", "five", "5", 5, "-1%", "nan", "nan%", "inf%", "5%%", True, [], "1.0"])
def test_what_is_no_threshold_is_refused(given: object) -> None:
    with pytest.raises(RunError, match=r"--slower: .* is no threshold; write 5% or 0.05"):
        parse_threshold(given, "--slower")


def test_the_first_case_that_matches_wins_and_idle_ones_are_noted(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(
        'slower = "1%"\n[[case]]\nimpl = "jax_*"\nproblem = "sm?ll"\nslower = 0.2\n'
        '[[case]]\nimpl = "jax_scan"\nslower = "0%"\n[[case]]\ndevice = "gpu"\nslower = "9%"\n'
    )
    limits = read_thresholds(None, path)
    old, fresh = base() + base(impl="jax_scan"), new(1.05) + new(1.1, impl="jax_scan")
    page = judged(tmp_path, old, fresh, limits)
    assert page.data.set_index("impl")["verdict"].to_dict() == {"jax_scan": PASS, "numpy_manual": FAIL}
    assert page.data["slower"].tolist() == [0.2, 0.01]
    assert "more than their thresholds" in summary(page)
    assert page.sections[1].notes[:2] == [
        "[[case]] matches no case: {'impl': 'jax_scan'}",
        "[[case]] matches no case: {'device': 'gpu'}",
    ]
    assert judged(tmp_path, old, fresh, read_thresholds("10%", path)).code == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("slower = ", "is not TOML"),
        ("\ud800", "is not TOML"),
        ("a = " + "[" * 5000, "is not TOML"),
        ('slower = "5%"\nfaster = 1\n', "unknown faster; known: slower, case"),
        ('[[case]]\nimplementation = "x"\nslower = "5%"', "[[case]]: unknown implementation; known: impl, device"),
        ('[[case]]\nimpl = "x"', "needs slower, and patterns that are strings"),
        ('[[case]]\nimpl = 3\nslower = "5%"', "needs slower, and patterns that are strings"),
        ('[[case]]\nslower = "x"', "'x' is no threshold"),
        ("slower = 5", "'5' is no threshold"),
        ('case = "x"', "as a [[case]] table"),
        ("[case]\nslower = 0.1", "as a [[case]] table"),
        (None, "cannot read"),
    ],
)
def test_a_bad_file_of_thresholds_is_an_error_of_one_line(content: str | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(RunError) as caught:
        read_thresholds("5%", path)
    assert reason in str(caught.value) and str(path) in str(caught.value)
    with pytest.raises(RunError, match="no threshold: give --slower 5%"):
        read_thresholds(None, None)


# What CI reads

HOSTILE = 'a"b<&\x00\x1b[31m\r\n::error::]]>,:%\ufffe'


def test_junit_survives_any_name_and_counts(tmp_path: Path) -> None:
    old = base() + base(impl=HOSTILE) + base(impl="jax_scan", problem=HOSTILE)
    fresh = new(1.0) + new(2.0, impl=HOSTILE) + new(1.0, impl="jax_scan", problem=HOSTILE, valid=False, reason=HOSTILE)
    suite = ElementTree.fromstring(junit(judged(tmp_path, old, fresh)))
    assert (suite.tag, suite.attrib) == (
        "testsuite",
        {"name": "results gate", "tests": "3", "failures": "1", "errors": "1"},
    )
    kinds = {case.attrib["classname"]: [child.tag for child in case] for case in suite}
    assert kinds == {'a"b<& [31m  ::error::]]>,:% '.replace("& ", "&  "): ["failure"], "jax_scan": ["error"],
                     "numpy_manual": []}  # fmt: skip
    (error,) = suite.iter("error")
    assert error.attrib["type"] == REFUSED and "invalid in NEW" in error.attrib["message"]


def test_github_s_commands_are_a_line_each_and_escaped(tmp_path: Path) -> None:
    page = judged(
        tmp_path, base(impl=HOSTILE) + base(impl="jax_scan"), new(2.0, impl=HOSTILE) + new(1.0, 2, impl="jax_scan")
    )
    lines = annotations(page)
    assert len(lines) == 2 and all(line.isprintable() for line in lines)
    assert lines[0].startswith('::error title=FAIL%3A a"b<&  [31m%0D%0A%3A%3Aerror%3A%3A]]>%2C%3A%25 ')
    assert lines[0].endswith("::2.00x, at least 1.99x, allowed 1.05x")
    assert lines[1].startswith(
        "::warning title=UNDECIDED%3A jax_scan small float64 cpu::too few blocks for a bound: 2 "
    )


# The command


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Run, Run]:
    root = tmp_path / "runs"
    rows = base() + base(impl="jax_scan"), new(1.0) + new(1.2, impl="jax_scan")
    return (
        root,
        saved_run(root, rows[0] + control(0), campaign=SOURCES),
        saved_run(root, rows[1] + control(), "0002_new", campaign=SOURCES),
    )


@pytest.mark.parametrize("form", FORMATS)
def test_the_command_s_status_is_the_page_s_in_every_format(
    form: str, pair: tuple[Path, Run, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["gate", "base", "new", "--runs", str(pair[0]), "--format", form, "--slower"]
    assert main([*command, "5%"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    if form == "json":
        assert [row["verdict"] for row in json.loads(out)] == [FAIL, PASS]
    elif form == "csv":
        assert out.startswith('"impl","device","dtype","problem","a_s","b_s","verdict","ratio","lower","upper"')
    else:
        assert "\nSLOWER: 1 of 2 cases" in out
    assert main([*command, "25%"]) == 0


def test_junit_is_a_file_and_github_s_commands_leave_stdout_alone(
    pair: tuple[Path, Run, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gate.xml"
    command = ["gate", "1", "2", "--runs", str(pair[0]), "--slower", "0.05", "--format", "json", "--github"]
    assert main([*command, "--junit", str(path)]) == 1
    out, err = capsys.readouterr()
    assert len(json.loads(out)) == 2
    assert err.startswith("::error title=FAIL%3A jax_scan small float64 cpu::1.20x") and err.count("\n") == 1
    assert ElementTree.parse(path).getroot().attrib["failures"] == "1"
    assert main([*command, "--junit", str(tmp_path / "no" / "gate.xml")]) == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["1", "2"], "no threshold: give --slower 5%"),
        (["1", "2", "--slower", "5"], "--slower: '5' is no threshold"),
        (["1", "nope", "--slower", "5%"], "no run is called 'nope'"),
        (["1", "2", "--thresholds", "none.toml"], "cannot read none.toml: No such file"),
    ],
)
def test_an_error_is_one_line_and_status_2(
    words: list[str], reason: str, pair: tuple[Path, Run, Run], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gate", *words, "--runs", str(pair[0])]) == 2
    out, err = capsys.readouterr()
    assert out == "" and reason in err and err.count("\n") == 1


def test_the_rule_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["gate", "--help"])
    rule = " ".join(capsys.readouterr().out.split())
    assert "PASS: the upper bound (one-sided, 95 %)" in rule and "Exit status: 1 if any case fails" in rule

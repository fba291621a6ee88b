"""The page of the report without a browser: its content, its security policy, and odd runs."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from helpers import ROOT as CHECKOUT
from helpers import environment
from runs import KNOWN, MACHINE, blocks, entry, saved_run

from results.__main__ import main
from results.page.charts import all_charts, initial_detail, initial_rows
from results.page.data import Payload, first_runs, make_payload, pack_columns, script_json
from results.page.page import render_page, timed_sources
from results.page.report import report
from results.store.reading import Run
from results.store.runs import ROOT, find

HOSTILE = '</script><img src=x onerror="hacked()"> \u202e"quoted" \U0001f680'
SOURCE = "def prepare(problem, device):  # </pre><script>hacked()</script>\n    return run\n"


NAMED = "0001_<img src=x onerror=hacked()>"


def hostile_run(root: Path, name: str = NAMED, **top: Any) -> Run:
    """Save a run with two implementations on two problems, a refused and an invalid row, and hostile text everywhere.

    The hostile text is in every place that a file has for text, and in the file's name.
    """
    rows = [
        *blocks("numpy_manual", [2e-6] * 12),
        *blocks("jax_scan", [1e-6] * 12),
        *blocks("numpy_manual", [4e-6] * 12, problem="large", n=9000),
    ]
    odd: dict[str, Any] = dict.fromkeys(["version", "framework", "limited_by", "published", HOSTILE], HOSTILE)
    rows += blocks("jax_scan", [1e-6] * 12, problem="large", n=9000, valid=False, reason=HOSTILE, **odd)
    refused = {
        "impl": "torch_bad",
        "device": "cpu",
        "dtype": "float64",
        "problem": "small",
        "block": 0,
        "reason": HOSTILE,
    }
    sources = {"jax_scan": {"file": "impls/jax_scan.py", "text": SOURCE}, HOSTILE: {"file": HOSTILE, "text": HOSTILE}}
    skipped = {"impl": HOSTILE, "device": HOSTILE, "reason": HOSTILE}
    campaign = {"seed": HOSTILE, "preset": HOSTILE, "refused": [refused], "skipped": [skipped], "sources": sources}
    info = MACHINE | dict.fromkeys(["slug", "gpu", "system", "release", "python_version"], HOSTILE)
    info |= {"cpu": {"brand_raw": HOSTILE}, "packages": {HOSTILE: HOSTILE}}
    return saved_run(
        root, rows, name, **({"campaign": campaign, "machine_info": info, "commit_info": {"id": HOSTILE}} | top)
    )


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return hostile_run(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def payload(hostile: Run) -> Payload:
    """The data of the hostile run."""
    return make_payload([hostile], "numpy_manual")


@pytest.fixture(scope="module")
def page(hostile: Run, payload: Payload) -> str:
    """The page of the hostile run."""
    return render_page([hostile], payload, "numpy_manual")


def page_of(*runs: Run, baseline: str = "numpy_manual") -> str:
    return render_page([*runs], make_payload([*runs], baseline), baseline)


def page_data(page: str) -> dict[str, Any]:
    """Return the data of the page's script."""
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert match is not None
    return dict(json.loads(match[1]))


def test_nothing_that_a_run_says_leaves_its_place(page: str) -> None:
    assert page.count("<script") == page.count("</script>") == 3
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "<img" not in own
    assert "<script>hacked" not in own
    assert "&lt;/script&gt;&lt;img src=x onerror=" in page
    reasons = page_data(page)["tables"]["cases"]["reason"]["levels"]
    assert HOSTILE in reasons


def test_the_policy_lets_in_the_page_s_own_scripts_and_style_alone(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    content = policy[1].replace("&#39;", "'")
    code = [
        *re.findall(r"<script>(.*?)</script>", page, re.DOTALL),
        *re.findall(r"<style>(.*?)</style>", page, re.DOTALL),
    ]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
    assert len(digests) == 3
    assert all(f"'sha256-{digest}'" in content for digest in digests)
    assert content.startswith("default-src 'none'; ")
    assert "unsafe" not in content
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!#)', own)  # nothing is fetched


def test_tables_keep_six_digits_and_say_nothing_for_what_is_missing(payload: Payload) -> None:
    columns = pack_columns(payload.cases)
    assert columns["per_step_s"][columns["impl"]["codes"].index(0)] == pytest.approx(
        payload.cases["per_step_s"][0], rel=1e-6
    )
    assert None in columns["ci_low_s"]
    assert len({len(column) if isinstance(column, list) else len(column["codes"]) for column in columns.values()}) == 1
    assert script_json({"a": "</script>&"}) == '{"a":"\\u003c/script\\u003e\\u0026"}'


def test_speedups_are_there_over_every_baseline_and_invalid_ones_say_why(payload: Payload) -> None:
    table = payload.speedups.set_index(["baseline", "impl", "problem"]).sort_index()
    assert table.loc[("numpy_manual", "jax_scan", "small"), "speedup"] == pytest.approx(2)
    assert table.loc[("numpy_manual", "jax_scan", "small"), "verdict"] == "FASTER"
    assert table.loc[("jax_scan", "numpy_manual", "small"), "speedup"] == pytest.approx(0.5)
    assert table.loc[("numpy_manual", "numpy_manual", "small"), "verdict"] == "baseline"
    wrong = table.loc[("numpy_manual", "jax_scan", "large")]
    assert (wrong["verdict"], wrong["speedup"] != wrong["speedup"]) == ("INVALID", True)
    assert "</script>" in wrong["why"]
    assert table.loc[("numpy_manual", "torch_bad", "small"), "verdict"] == "INVALID"


def test_what_failed_its_check_is_in_no_chart_of_times(hostile: Run, payload: Payload) -> None:
    charts = all_charts(payload.measured_impls)
    drawn = [initial_rows(charts[name], payload, [hostile], "numpy_manual")[0] for name in ("time", "sweep")]
    rows = [row for of_chart in drawn for row in of_chart]
    assert {(row["impl"], row["problem"]) for row in rows} == {
        ("numpy_manual", "small"), ("numpy_manual", "large"), ("jax_scan", "small"),
    }  # fmt: skip
    shown = initial_rows(charts["speedup"], payload, [hostile], "numpy_manual")[0]
    assert {row["impl"] for row in shown} == {"numpy_manual", "jax_scan", "torch_bad"}


@pytest.mark.parametrize("context_s", [None, 0.7])
def test_a_fresh_process_shows_the_first_use_of_a_gpu_where_there_is_one(
    context_s: float | None, tmp_path: Path
) -> None:
    facts = {} if context_s is None else {"device": "gpu", "context_s": context_s}
    run = saved_run(tmp_path, blocks("torch_manual", [1e-6], **facts))
    payload = make_payload([run], "torch_manual")
    chart = all_charts(payload.measured_impls, payload.on_gpu)["phases"]
    assert ("first use of the GPU" in json.dumps(chart.spec)) == (context_s is not None)
    (row,) = initial_rows(chart, payload, [run], "torch_manual")[0]
    assert row["context_s"] == context_s


def test_a_sweep_has_a_panel_for_each_d_and_a_single_n_has_none(tmp_path: Path) -> None:
    rows = [
        row for n in (100, 1000) for d in (4, 8) for row in blocks("a", [1e-6], problem=f"{n}x{d}", n=n, batch=n, d=d)
    ]
    cases = make_payload(
        [saved_run(tmp_path, [*rows, *blocks("a", [1e-6], problem="other", n=7, batch=7, d=3)])], "a"
    ).cases
    panels = cases.groupby("sweep")["panel"].unique()
    assert [panel.rpartition("full batch")[2] for panel in panels[1]] == [", d = 4, k = 1", ", d = 8, k = 1"]
    assert cases.loc[cases["sweep"] == 0, "problem"].tolist() == ["other"]


def test_a_map_has_a_cell_for_each_size_and_other_problems_make_none(tmp_path: Path) -> None:
    def run(name: str, sizes: list[tuple[int, int]], batch: int = 0) -> Run:
        times = {"numpy_manual": (1e-6, 1e-5), "jax_scan": (3e-6, 1e-6), "torch_manual": (9e-6, 9e-5)}
        cases = [
            row
            for n, d in sizes
            for impl, (small, large) in times.items()
            for row in blocks(impl, [small if n < 1_000 else large] * 4, **_size(n, d, batch), **KNOWN)
        ]
        return saved_run(tmp_path, cases, name)

    grid = run("0001_grid", [(n, d) for n in (100, 1_000, 10_000) for d in (2, 10)])
    cells = make_payload([grid], "numpy_manual").winners.set_index(["n", "d"])
    assert len(cells) == 6 and cells.loc[(100, 2), ["fastest", "by"]].tolist() == ["NumPy", "numpy_manual"]
    assert cells.loc[(1_000, 10), ["fastest", "by"]].tolist() == ["JAX", "jax_scan, 10.0x"]
    diagonal = run("0002_diagonal", [(100, 2), (1_000, 10), (10_000, 20)])
    assert make_payload([diagonal], "numpy_manual").winners.empty
    assert set(make_payload([grid], "numpy_manual").winners["written"]) == {"as users write it"}
    batches = run("0003_batches", [(n, d) for n in (1_000, 10_000) for d in (2, 10)], 256)
    cells = make_payload([batches], "numpy_manual").winners
    assert len(cells) == 4 and set(cells["plan"]) == {"mini-batches"}
    assert all(panel.startswith("Fastest step of 256 rows, float64, cpu: ") for panel in cells["panel"])


def tuned_grid(root: Path) -> Run:
    """Save a grid on which the expert-tuned implementation is fastest."""
    rows = [
        row
        for n, d in [(n, d) for n in (100, 1_000) for d in (2, 10)]
        for impl, step, tuned in (
            ("numpy_manual", 2e-6, ""),
            ("jax_scan", 3e-6, ""),
            ("torch_nn", 1e-6, "expert-tuned"),
        )
        for row in blocks(impl, [step] * 4, tuned=tuned, **_size(n, d), **KNOWN)
    ]
    return saved_run(root, rows)


def test_a_map_also_names_winners_among_expert_tuned_implementations(tmp_path: Path) -> None:
    cells = make_payload([tuned_grid(tmp_path)], "numpy_manual").winners.groupby("written")["fastest"]
    assert cells.unique().map(list).to_dict() == {"as users write it": ["NumPy"], "expert-tuned as well": ["torch"]}


def _size(n: int, d: int, batch: int = 0) -> dict[str, Any]:
    return {"problem": f"{n}x{d}", "problem_hash": f"{n}x{d}", "n": n, "d": d, "batch": batch or n}


def test_a_chart_begins_with_the_baseline_and_the_fastest_of_each_framework(tmp_path: Path) -> None:
    steps = {"numpy_manual": 9, "numpy_blocked": 2, "jax_jit": 5, "jax_scan": 3, "torch_nn": 8, "torch_manual": 4}
    steps |= {"numba_fused": 1, "dask_tree": 90, "mlx_compile": 80, "tensorflow_xla": 70}
    run = saved_run(tmp_path, [row for impl, step in steps.items() for row in blocks(impl, [step * 1e-6] * 8)])
    payload = make_payload([run], "numpy_manual")
    drawn, omitted = initial_rows(all_charts(payload.measured_impls)["time"], payload, [run], "numpy_manual")
    names = {"numpy_manual", "numba_fused", "jax_scan", "torch_manual", "tensorflow_xla", "mlx_compile", "dask_tree"}
    assert {row["impl"] for row in drawn} == names and omitted == ["3 of 10 implementations"]


def test_panels_stand_as_the_runs_are_named_and_legends_name_what_was_measured(tmp_path: Path) -> None:
    sources = {name: {"file": f"{name}.py", "text": SOURCE} for name in ("numpy_manual", "torch_graph")}
    skipped = [{"impl": "torch_graph", "device": "cpu", "reason": "on the gpu only"}]
    campaign = {"skipped": skipped, "sources": sources}
    runs = [
        saved_run(tmp_path, blocks("numpy_manual", [1e-6] * 8), name, campaign=campaign)
        for name in ("0002_b", "0001_a")
    ]
    payload = make_payload(runs, "numpy_manual")
    assert (payload.impls, payload.measured_impls) == (("numpy_manual", "torch_graph"), ("numpy_manual",))
    for name in ("time", "speedup"):
        chart = all_charts(payload.measured_impls)[name]
        rows = initial_rows(chart, payload, runs, "numpy_manual")[0]
        panels = [*dict.fromkeys(row["panel"] for row in rows)]
        svg = vl_convert.vegalite_to_svg(chart.spec | {"datasets": {chart.table: rows}})
        assert len(panels) == 2 and svg.index(panels[0]) < svg.index(panels[1])
        assert "0002_b" in panels[0] and "torch_graph" not in svg
    assert [source["impl"] for source in timed_sources(runs, payload.cases)] == ["numpy_manual"]


def test_of_many_runs_those_that_answer_most_are_shown_first(tmp_path: Path) -> None:
    runs = [
        saved_run(
            tmp_path, blocks("numpy_manual", [1e-6]), f"{day:04}_run", machine, datetime=f"2026-01-{day:02}T00:00:00"
        )
        for machine, days in (("one", range(1, 6)), ("two", range(6, 8)))
        for day in days
    ]
    assert [run.label for run in first_runs(runs)] == ["one/0004_run", "one/0005_run", "two/0006_run", "two/0007_run"]
    assert "and 3 more " in page_of(*runs)
    two_problems = [*blocks("numpy_manual", [1e-6]), *blocks("numpy_manual", [1e-6], problem="medium")]
    old = saved_run(tmp_path, two_problems, "0009_old", "one", datetime="2025-01-01T00:00:00")
    assert [run.label for run in first_runs([*runs, old])][:2] == ["one/0005_run", "two/0006_run"]
    assert old in first_runs([*runs, old])


def test_the_machine_s_limit_is_drawn_where_it_is_known(tmp_path: Path) -> None:
    run = saved_run(tmp_path, blocks("numpy_manual", [1e-6] * 2, limit_s=5e-7))
    payload = make_payload([run], "numpy_manual")
    rows = initial_rows(all_charts(payload.impls)["time"], payload, [run], "numpy_manual")[0]
    assert [row["limit_s"] for row in rows] == [5e-7]


def test_the_iterates_become_rows_and_odd_ones_none(tmp_path: Path) -> None:
    facts = {"iterates": "0 1 10", "distances": "0 0.5 0.25", "losses": "9 4 1"}
    rows = [*blocks("a", [1e-6, 3e-6], **facts), *blocks("b", [1e-6], iterates="0 x", distances="0", losses="")]
    payload = make_payload([saved_run(tmp_path, rows)], "a")
    assert payload.checks[["impl", "t", "distance", "loss"]].values.tolist() == [
        ["a", 0, 0, 9],
        ["a", 1, 0.5, 4],
        ["a", 10, 0.25, 1],
    ]
    assert payload.checks["seconds"].iloc[2] == pytest.approx(1e-6 + 10 * 2e-6)
    assert initial_detail(payload, [saved_run(tmp_path, rows)]).startswith("small: ")


def test_the_tutorials_numbers_stand_beside_those_found(tmp_path: Path) -> None:
    facts = {
        "iterates": "0 1",
        "distances": "0 0.5",
        "losses": "30 4.8",
        "published": "[[0, 30, 30, 30], [1, 4.7, 4.69, 4.71]]",
    }
    page = page_of(saved_run(tmp_path, blocks("numpy_manual", [1e-6], **facts)))
    table = page[page.index("The tutorials&#39; numbers") :]
    assert re.search(r"<td>30</td>\s*<td>30</td>\s*<td>30 to 30</td>\s*<td>agrees</td>", table)
    assert re.search(r"<td>4.7</td>\s*<td>4.8</td>\s*<td>4.69 to 4.71</td>\s*<td>OUTSIDE</td>", table)


def test_the_code_as_it_was_run_is_beside_its_numbers(page: str, tmp_path: Path) -> None:
    assert "jax_scan: 2 lines" in page
    assert "&lt;/pre&gt;&lt;script&gt;hacked()&lt;/script&gt;" in page
    assert "no source code" in page_of(saved_run(tmp_path, blocks("numpy_manual", [1e-6]), "0002_bare"))


def test_machines_that_differ_are_marked_and_their_ratios_stand_side_by_side(tmp_path: Path) -> None:
    rows = [*blocks("numpy_manual", [2e-6] * 12), *blocks("jax_scan", [1e-6] * 12)]
    page = page_of(
        saved_run(tmp_path, rows),
        saved_run(tmp_path, rows, machine="slow", machine_info=MACHINE | {"slug": "slow", "cores": 64}),
    )
    assert re.search(r"<th scope=\"row\">cores</th>\s*<td>differs</td>\s*<td>4</td>\s*<td>64</td>", page)
    assert "FASTER on 2 of 2 machines" in page
    assert re.search(r"<th scope=\"row\">memory</th>\s*<td>same</td>", page)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        blocks("numpy_manual", [1e-6], valid=False, reason="wrong"),
        [{"name": "x", "extra_info": {}, "stats": {}}],
        [entry()],
    ],
)
def test_odd_runs_have_a_page_all_the_same(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    page = page_of(saved_run(tmp_path, rows))
    assert ("✓ all agree" in page) == (rows == [entry()])


def test_older_files_have_a_page() -> None:
    page = page_of(find("amd-epyc-2c-e60e65/0001_bench", ROOT))
    assert "no source code" in page
    assert len(page_data(page)["tables"]["cases"]["per_step_s"]) > 100
    assert not page_data(page)["tables"]["checks"]["t"]


def test_no_runs_and_an_unknown_baseline_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--runs", str(tmp_path)]) == 2
    assert "no runs in" in capsys.readouterr().err
    hostile_run(tmp_path)
    assert main(["report", "--runs", str(tmp_path), "--baseline", "numpy"]) == 2
    assert "'numpy'; known: jax_scan, numpy_manual" in capsys.readouterr().err


def test_the_verdict_says_from_where_on_a_gpu_pays(tmp_path: Path) -> None:
    rows = []
    for n, cpu, gpu in ((100, 1e-6, 2e-5), (10_000, 1e-4, 3e-5), (1_000_000, 1e-1, 1e-4)):
        size = {"problem": f"{n}x16", "n": n, "batch": n}
        rows += blocks("numpy_manual", [cpu] * 12, **size)
        rows += blocks("torch_manual", [gpu] * 12, device="gpu", import_s=2.0, context_s=1.0, **size)
    notes = report([saved_run(tmp_path, rows)], "numpy_manual").sections[1].notes
    lines = [line for line in notes if line.startswith("torch_manual on the gpu overtakes numpy_manual at about n = ")]
    assert ["(between 100 and 10,000)" in line for line in lines] == [True, False], notes
    assert "(between 10,000 and 1,000,000)" in lines[1] and "jobs of 1,000 steps" in lines[1]


@pytest.mark.filterwarnings("error")
def test_a_step_of_no_time_and_no_framework_are_no_trouble(tmp_path: Path) -> None:
    cases = make_payload(
        [saved_run(tmp_path, blocks("jax_scan", [1e-6, 0.0] + [1e-6] * 6, framework=None))], "jax_scan"
    ).cases
    assert cases["framework"].tolist() == ["jax"]
    assert cases["status"].tolist() == ["invalid"]


def test_a_report_is_the_same_bytes_again(tmp_path: Path) -> None:
    for number in (1, 2):
        rows = [*blocks("numpy_manual", [1e-6]), *blocks("jax_scan", [number * 1e-6])]
        saved_run(tmp_path / "runs", rows, f"000{number}_run{number}")
    written = []
    for name, runs, hashing in (("a", ("1", "2"), "1"), ("b", ("1", "2", "1"), "2")):
        options = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / name)]
        words = [sys.executable, "-m", "results", "report", *runs, *options]
        subprocess.run(words, check=True, cwd=CHECKOUT, env=environment(PYTHONHASHSEED=hashing), capture_output=True)
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.*")})
    assert {"report.html", "report.md", "time-dark.svg", "speedup-light.svg"} <= set(written[0])
    assert written[0] == written[1]

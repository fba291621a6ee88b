"""`python -m benchmarks gallery`: the tutorials' pictures, whose they are, and who is refused from them."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from helpers import HONEST, MUTANTS, ROOT, write
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.problems import catalogue
from benchmarks.reference import solution

COMMITTED = ROOT / "results" / "gallery"
PAPERS = {"light": "#ffffff", "dark": "#0d1117"}
FILES = {"line.json"} | {f"{name}-{paper}.svg" for name in ("line", "losses", "paths") for paper in PAPERS}
FILES |= {f"line-{paper}.gif" for paper in PAPERS}
TWO = "numpy_manual,numpy_blocked"


@pytest.fixture(scope="module", autouse=True)
def _short_films():
    """A film's every frame takes a tenth of a second to draw: a few will do here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.tutorial.fit_plots.MAX_FRAMES", 3)
        yield


def draw(*argv) -> int:
    try:
        return main(["gallery", *map(str, argv)])
    except SystemExit as stop:
        return int(stop.code)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A gallery of two implementations."""
    folder = tmp_path_factory.mktemp("gallery") / "new" / "folder"
    assert draw("--impl", TWO, "--out", folder) == 0
    return folder


def test_one_problem_is_drawn_alone(tmp_path):
    assert draw("crops", "--impl", "numpy_manual", "--out", tmp_path) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"losses-dark.svg", "losses-light.svg"}
    assert "crops" in (tmp_path / "losses-light.svg").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [(["line", "--lr", "0.1"], "fit line --lr 0.1"), (["galery"], "gallery"), (["xyz"], "fit or gallery or list")],
)
def test_an_unknown_command_is_answered_with_the_one_that_is_meant(words, says, capsys):
    with pytest.raises(SystemExit):
        main(words)
    error = capsys.readouterr().err
    assert f"did you mean: python -m benchmarks {says}" in error and error.count("\n") == 1


def test_all_files_are_there(two):
    assert {path.name for path in two.iterdir()} == FILES
    for paper, colour in PAPERS.items():
        for name in ("line", "losses", "paths"):
            text = (two / f"{name}-{paper}.svg").read_text()
            assert ElementTree.fromstring(text).tag.endswith("svg") and f"fill: {colour}" in text
        with Image.open(two / f"line-{paper}.gif") as film:
            assert film.n_frames == 4
            assert film.convert("RGB").getpixel((2, 2)) == tuple(bytes.fromhex(colour[1:]))


def test_the_same_bytes_again(two, tmp_path, capsys):
    assert draw("--impl", TWO, "--out", tmp_path) == 0
    said = capsys.readouterr().out
    for path in two.iterdir():
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name
        assert f"written: {tmp_path / path.name}\n" in said
    for name in TWO.split(","):
        assert f"{name} agrees with the reference after every update; largest relative difference" in said


def check_line(line: dict) -> None:
    """The numbers are the reference's, to the six digits that are written."""
    assert list(line) == ["x", "y", "start", "updates", "weights", "loss", "impls"]
    problem = catalogue.cast(replace(catalogue.build("line")[0], steps=100), "float32")
    known = solution.truth(problem, list(range(1, 101)))
    w = np.array([known.expected(t, 0.0)[:, 0] for t in range(101)], float)
    assert line["updates"] == list(range(101)) and line["start"] == [-1, 1] == line["weights"][0]
    np.testing.assert_allclose(
        np.column_stack([line["x"], line["y"]]), np.column_stack([problem.X[:, 0], problem.y]), 1e-5
    )
    np.testing.assert_allclose(line["weights"], w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(line["loss"], ((problem.X @ w.T - problem.y[:, None]) ** 2).mean(axis=0), rtol=1e-5)
    assert all(float(f"{number:.6g}") == number for number in np.ravel([*line["weights"], line["x"][:2]]))
    assert all(0 < difference < 1e-6 for difference in line["impls"].values())


def test_the_line_s_numbers(two):
    line = json.loads((two / "line.json").read_text())
    check_line(line)
    assert list(line["impls"]) == TWO.split(",")


def test_wrong_implementations_are_refused(tmp_path, capsys):
    """And one's own file is drawn, alone."""
    mutants = [str(MUTANTS / f"{name}.py") for name in ("numpy_lr_off", "numpy_remembers")]
    assert draw("--impl", ",".join([*mutants, write(tmp_path, "mine", HONEST)]), "--out", tmp_path / "out") == 1
    lr_off, remembers, mine, *written = capsys.readouterr().out.splitlines()
    wrong = "is REFUSED from the pictures: wrong weights after 1 update:"
    assert lr_off.startswith(f"numpy_lr_off {wrong} the gradient (or lr) is 1.001 times the reference")
    assert remembers.startswith(f"numpy_remembers {wrong} they belong to another start: runs remember")
    assert mine.startswith("mine agrees with the reference") and len(written) == len(FILES)
    assert [*json.loads((tmp_path / "out" / "line.json").read_text())["impls"]] == ["mine"]


def test_nobody_left(tmp_path, capsys):
    """Status 1 where the one that was asked for is wrong, 2 where it cannot run here."""
    assert draw("--impl", MUTANTS / "numpy_lr_off.py", "--out", tmp_path) == 1
    assert capsys.readouterr().out.count("\n") == 1
    absent = write(tmp_path, "absent", "import nowhere_to_be_found")
    assert draw("--impl", absent, "--out", tmp_path / "out") == 2
    out, err = capsys.readouterr()
    assert out == "absent is not in the pictures: nowhere_to_be_found is not installed\n"
    assert err == "error: nothing is drawn: no implementation can run here\n"
    assert [*(tmp_path / "out").iterdir()] == []


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_written_to(tmp_path, capsys, place):
    (tmp_path / "file").write_text("")
    assert draw("--impl", "numpy_manual", "--out", tmp_path / place) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {tmp_path / place}: cannot be written") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [("numpy_manul", "did you mean 'numpy_manual'?"), ("", "name at least one of"), ("nowhere.py", "no file")],
)
def test_errors(tmp_path, capsys, given, says):
    assert draw("--impl", given, "--out", tmp_path / "out") == 2
    out, err = capsys.readouterr()
    assert out == "" and says in err and err.count("\n") == 1 and not (tmp_path / "out").exists()


def test_without_matplotlib(tmp_path):
    program = "import sys; sys.modules['matplotlib'] = None\nfrom benchmarks.__main__ import main\nsys.exit(main())"
    words = [sys.executable, "-c", program, "gallery", "--out", str(tmp_path / "out")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: needs matplotlib: pip install matplotlib\n")


def test_spread():
    from benchmarks.tutorial import gallery_plots  # matplotlib comes along

    assert gallery_plots.spread(np.array([[4.0, 2.0], [5.0, 2.0], [4.5, 2.1]])) == pytest.approx(0.25)


def test_what_is_committed_is_whole():
    assert {path.name for path in COMMITTED.iterdir()} == FILES
    assert max(path.stat().st_size for path in COMMITTED.iterdir()) < 500_000
    check_line(json.loads((COMMITTED / "line.json").read_text()))


@pytest.mark.parametrize(("page", "pictures"), [("README.md", 1), ("docs/results.md", 2)])
def test_pages_show_pictures_in_light_and_dark_and_in_words(page: str, pictures: int):
    folder, text = (ROOT / page).parent, (ROOT / page).read_text()
    shown = re.findall(
        r'<source media="\(prefers-color-scheme: dark\)" srcset="(.*?)">\s*<img src="(.*?)" alt="(.*?)">', text
    )
    assert len(shown) == text.count("<picture>") == pictures
    for dark, light, words in shown:
        assert (folder / dark).is_file() and (folder / light).is_file() and dark == light.replace("light", "dark")
        assert len(words) > 60

"""`python -m benchmarks fit`: what a tutorial shows, what it is checked against, and how it says no."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from benchmarks.__main__ import main
from benchmarks.problems import tutorials
from benchmarks.tutorial import fit_output

WRONG = """
from dataclasses import replace
from impls.numpy_manual import prepare as right

def prepare(problem, device):
    return right(replace(problem, lr=problem.lr * 4), device)
"""


@pytest.fixture
def shown(capsys):
    """Run `fit` here: exit code, stdout, stderr."""

    def run(*argv: str) -> tuple[int, str, str]:
        try:
            code = main(["fit", *map(str, argv)])
        except SystemExit as stop:
            code = int(stop.code)
        return code, *capsys.readouterr()

    return run


def elsewhere(*argv: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Run `fit` in a process of its own: for frameworks, which this process does not import."""
    program = f"import sys\n{before}\nfrom benchmarks.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run([sys.executable, "-c", program, "fit", *argv], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        (
            "line",
            ["f(0.5) = 0.500", "intercept 1.0000", "7.9356", "published: inside; this run: inside", "84% of draws"],
        ),
        (
            "crops",
            ["row 5", "oranges", "agrees with the published run to 4 digits", "6266.8789", "3074.18", "0.483121"],
        ),
        ("scalar", ["f(5) = 0.000", "f(5) = 10.000", "agrees with both", "4 times the gradient of the MSE"]),
        ("crops@5", ["mini-batches of 5 rows", "n = 15 rows", "300 updates"]),
        ("tiny", ["w1 ", "n = 100 rows"]),
    ],
)
def test_tutorials(shown, problem, says):
    code, out, err = shown(problem)
    assert (code, err) == (0, "")
    for words in [
        *says,
        "agrees with the reference: worst error is",
        "weights before",
        "loss after",
        "(least squares: ",
    ]:
        assert words in out, words


def test_line_of_the_notes(shown):
    code, out, _ = shown("line", "--start", "1,1")
    assert code == 0 and "3.8033" in out and "published: inside" in out


def test_start_may_begin_with_a_minus(shown):
    assert shown("line", "--start", "-1,1")[1] == shown("line")[1]


def test_a_published_value_outside_the_band_is_said(shown, monkeypatch):
    monkeypatch.setitem(tutorials.LINE_RUNS, (-1.0, 1.0), [9.9, *[0.3] * 9])
    assert "published: OUTSIDE before update 0, 10, 20, 30, 40," in shown("line")[1].replace("\n", " ")


@pytest.mark.parametrize(
    ("problem", "table", "wrong"),
    [("crops", "CROPS_LOSSES", {1: 3074.18}), ("scalar", "SCALAR_AUTOGRAD", [(1, 1.2, 30.0)])],
)
def test_a_text_that_prints_something_else(shown, monkeypatch, problem, table, wrong):
    monkeypatch.setattr(tutorials, table, wrong)
    code, out, _ = shown(problem)
    assert code == 1 and "agrees with the reference" in out and "does NOT agree with" in out


def test_scalar_shows_both_columns(shown):
    rows = [" ".join(line.split()) for line in shown("scalar")[1].splitlines()]
    assert "2 - 0.555 - 21.67500046 1.680 1.680 4.79999924 4.80000086" in rows
    assert "5 - 1.113 - 8.17471648 1.980 1.980 - 0.01966082" in rows
    assert "11 1.665 1.665 1.16278565 1.16278565 2.000 2.000 - 0.00000033" in rows


def test_the_table_says_the_loss_before_an_update(shown):
    rows = [line.split() for line in shown("crops", "--every", "1", "--dtype", "float64")[1].splitlines()]
    assert ["0", "6266.67"] in rows and ["2", "3301.79"] in rows and ["101", "250.378"] in rows


@pytest.mark.parametrize("argv", [["--lr", "5e-6"], ["--start", "1,1,1,1,1,1,1,1"]])
def test_published_numbers_are_for_the_text_s_own_run(shown, argv):
    code, out, _ = shown("crops", *argv)
    assert code == 0 and "the text's numbers belong to its own start and lr" in out and "6266.8789" not in out


def test_fewer_and_more_steps(shown):
    assert "loss after 102" not in shown("crops", "--steps", "2")[1]
    usual, longer = shown("crops@5")[1], shown("crops@5", "--steps", "400", "--every", "30")
    assert longer[0] == 0 and "400 updates" in longer[1] and "agrees with the reference" in longer[1]
    assert {line for line in usual.splitlines() if line.startswith("270 ")} <= {*longer[1].splitlines()}


def test_frameworks():
    impl = "jax_jit"  # compiles once, not for each number of steps
    done = elsewhere("crops", "--impl", impl, "--steps", "20", "--every", "10")
    assert done.returncode == 0, done.stderr
    assert f"{impl}, float32, cpu" in done.stdout and "agrees with the reference" in done.stdout


@pytest.mark.parametrize("problem", ["line", "scalar", "crops"])
def test_a_wrong_implementation(shown, tmp_path, problem):
    (tmp_path / "mine.py").write_text(WRONG)
    code, out, _ = shown(problem, "--impl", tmp_path / "mine.py")
    assert code == 1
    assert (
        "does NOT agree with the reference: wrong weights after 1 update: the gradient is 4.00 times the reference"
        in out
    )
    assert "published" not in out  # beside wrong numbers the text's say nothing


def test_a_wrong_shape(shown, tmp_path):
    (tmp_path / "flat.py").write_text("def prepare(problem, device):\n    return lambda start, steps: start.ravel()\n")
    code, _, err = shown("crops", "--impl", tmp_path / "flat.py")
    assert code == 2 and err == "error: flat: the result has shape (8,), w0 (4, 2)\n"


NOTHING = "mine: prepare returned nothing; return a function run(start, steps) (mine.py:1)"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def prepare(problem, device):\n    pass\n", NOTHING),
        ("def prepare(problem, device):\n    return lambda w, t: w / None\n", "mine: raised TypeError: "),
        ("def prepare(problem, device):\n    return problem.Y\n", "mine: raised AttributeError: "),
        ("x = 1\nraise KeyError('x')\n", "mine: raised KeyError: 'x' (mine.py:2)"),
        ("from beside import prepare\n", "mine: raised ZeroDivisionError: division by zero (beside.py:1)"),
        ("def prepare(:\n", "mine: raised SyntaxError: "),
    ],
)
def test_what_an_implementation_raises_is_one_line_with_its_place(shown, tmp_path, monkeypatch, text, says):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "beside.py").write_text("1 / 0\n")
    (tmp_path / "mine.py").write_text(text)
    code, _, err = shown("line", "--impl", tmp_path / "mine.py")
    assert code == 2 and err.startswith(f"error: {says}") and err.count("\n") == 1
    assert "mine.py" in err or "beside.py:1" in err


def test_a_table(shown, tmp_path):
    rng = np.random.default_rng(0)
    a, b = rng.random(20), rng.random(20)
    rows = [f"{x},{y},{2 * x - y},{x + y}" for x, y in zip(a, b, strict=True)]
    (tmp_path / "mine.csv").write_text("\n".join(["a,b,c,d", *rows]))
    code, out, _ = shown(tmp_path / "mine.csv", "--target", "c,d", "--plot", tmp_path / "mine.png")
    assert code == 0 and "c: a " in out and "intercept" in out and "agrees with the reference" in out


@pytest.mark.parametrize("problem", ["line", "scalar", "crops"])
def test_pictures(shown, tmp_path, problem):
    still, moving = tmp_path / "fit.png", tmp_path / "fit.gif"
    code, out, _ = shown(problem, "--plot", still, "--animate", moving, "--steps", "2")
    assert code == 0 and f"written: {still}\nwritten: {moving}\n" in out
    with Image.open(still) as picture, Image.open(moving) as film:
        assert picture.size == (1050, 675) and len(np.unique(np.asarray(picture.convert("L")))) > 10
        assert film.n_frames == 3 and film.info["loop"] == 0


@pytest.mark.parametrize("problem", ["line", "crops"])
def test_pictures_of_a_descent_that_blows_up(shown, tmp_path, monkeypatch, problem):
    monkeypatch.setattr("benchmarks.tutorial.fit_plots.MAX_FRAMES", 3)
    (tmp_path / "mine.py").write_text(WRONG.replace("* 4", "* 400"))
    still, moving = tmp_path / "fit.png", tmp_path / "fit.gif"
    options = ["--impl", tmp_path / "mine.py", "--steps", "40"]
    assert shown(problem, *options, "--plot", still, "--animate", moving)[0] == 1
    assert still.exists() and moving.exists()


@pytest.mark.parametrize(("suffix", "first"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_other_formats(shown, tmp_path, suffix, first):
    assert shown("scalar", "--plot", tmp_path / f"fit.{suffix}")[0] == 0
    assert (tmp_path / f"fit.{suffix}").read_bytes().startswith(first)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["lime"], "no problem 'lime'; did you mean 'line'?"),
        (["line@0"], "a mini-batch has at least one row"),
        (["line", "--impl", "numpy_manul"], "did you mean 'numpy_manual'?"),
        (["line", "--impl", "nowhere/mine.py"], "nowhere/mine.py"),
        (["line", "--dtype", "float16"], "invalid choice: 'float16'"),
        (["line", "--device", "gpu"], "NumPy runs on the cpu only"),
        (["crops", "--lr", "1.2e-4"], "diverges: lr must be below 0.000111"),
        (["crops", "--lr", "0"], "lr must be a finite positive"),
        (["line", "--steps", "0"], "--steps: must be a whole number from 1 to 1,000,000, not '0'"),
        (["line", "--every", "0"], "--every: must be a whole number from 1, not '0'"),
        (["line", "--seed", "-1"], "--seed"),
        (["line", "--start", "1,2,3"], "--start needs 2 numbers (2, row by row), not 3"),
        (["line", "--start", "1,x"], "--start: must be numbers with commas between them, not '1,x'"),
        (["line", "--start", "nan,1"], "not finite"),
        (["line", "--plot", "fit.bmp"], "fit.bmp: the name of a picture ends in .png or .svg or .pdf"),
        (["line", "--animate", "fit.mp4"], "fit.mp4: the name of a picture ends in .gif"),
        (["line", "--plot", "nowhere/fit.png"], "nowhere/fit.png: cannot be written"),
        (["line", "--target", "y"], "--target"),
        (["nowhere.csv", "--target", "y"], "error: no file nowhere.csv"),
        (
            ["line", "--impl", "numpy_manual,numpy_gram", "--plot", "a.png"],
            "gallery line --impl numpy_manual,numpy_gram",
        ),
        ([], "required"),
    ],
    ids=str,
)
def test_errors(shown, argv, says):
    code, out, err = shown(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1 and says in err


def test_a_table_that_cannot_be_used(shown, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3,x\n5,6\n")
    code, _, err = shown(tmp_path / "bad.csv", "--target", "b")
    assert code == 2 and "row 3, column 'b' is 'x'" in err
    code, _, err = shown(tmp_path / "bad.csv")
    assert code == 2 and "--target COL says which column to predict" in err


def test_without_matplotlib(tmp_path):
    done = elsewhere("line", "--plot", str(tmp_path / "fit.png"), before="sys.modules['matplotlib'] = None")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: needs matplotlib: pip install matplotlib\n")


def test_matplotlib_is_not_imported_for_text():
    before = "import atexit; atexit.register(lambda: print('matplotlib' in sys.modules))"
    assert elsewhere("scalar", before=before).stdout.endswith("\nFalse\n")


def test_without_a_package(shown, tmp_path):
    (tmp_path / "mine.py").write_text("import no_such_package\n")
    code, out, err = shown("line", "--impl", tmp_path / "mine.py")
    assert (code, out, err) == (2, "", "error: no_such_package is not installed\n")


def test_interrupted(shown, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(fit_output, "sections", interrupt)
    assert shown("line") == (130, "", "")


# Several implementations


@pytest.fixture
def table(tmp_path):
    """A table with 40 rows, and the weights that its target was made of."""
    rng = np.random.default_rng(3)
    X = rng.normal([50, 120], [10, 30], (40, 2))
    path = tmp_path / "mine.csv"
    lines = [f"{a:.6f},{b:.6f},{3 * a - b / 2 + 7:.6f}" for a, b in X]
    path.write_text("\n".join(["age,weight,price", *lines]) + "\n")
    return path


def test_several_are_ranked_and_share_one_answer(shown, table, monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    mine = table.with_name("mine.py")
    mine.write_text("from impls.numpy_manual import prepare\n")
    names = f"numpy_manual,{mine},numpy_blocked,cupy_manual"
    code, out, err = shown(table, "--target", "price", "--impl", names)
    assert (code, err.splitlines()[-1]) == (0, "[4/4] cupy_manual")
    assert "all 3 agree with the reference" in out and "not run: cupy_manual" in out
    assert "as in the file   age 3.0000, weight -0.50000, intercept 7.0" in out
    first = out.split("\n\n")[1]
    assert first.startswith(("numpy_manual is ", "mine is ")) and "here" in first and "numpy_blocked (expert)" in out
    given = f"--impl {names}"
    assert f"pytest benchmarks --problem {table} --target price {given} --until-decided" in out


def test_the_next_command_has_the_options_that_were_given(shown, table):
    given = ["--target", "price", "--drop", "body weight", "--steps", "9", "--dtype", "float64"]
    table.write_text(table.read_text().replace("weight", "body weight", 1))
    _, out, _ = shown(table, *given, "--impl", "numpy_manual,numpy_gram")
    assert "--target price --drop 'body weight' --steps 9 --dtype float64 --impl numpy_manual,numpy_gram --until" in out


def test_a_busy_machine_names_no_winner(shown, table, monkeypatch):
    monkeypatch.setattr("os.getloadavg", lambda: (99.0, 99.0, 99.0))
    _, out, _ = shown(table, "--target", "price", "--impl", "numpy_manual,numpy_blocked")
    assert "no winner is named" in out and "fastest" not in out


def test_one_of_several_that_is_wrong_has_no_time(shown, table, tmp_path):
    (tmp_path / "wrong.py").write_text(WRONG)
    code, out, _ = shown(table, "--target", "price", "--impl", f"numpy_manual,{tmp_path / 'wrong.py'}")
    assert code == 1
    assert "no time: wrong: wrong weights after 1 update: the gradient is 4.00 times the reference" in out
    assert "numpy_manual takes" in out and "\nwrong " not in out


def test_a_picture_shows_one_implementation(shown, table, tmp_path):
    code, _, err = shown(
        table, "--target", "price", "--impl", "numpy_manual,numpy_blocked", "--plot", tmp_path / "a.png"
    )
    assert code == 2 and "give --impl one name" in err

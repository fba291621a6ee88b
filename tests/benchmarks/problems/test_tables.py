"""Tables of one's own, good and bad; what `Problem` refuses; and the bytes that a seed means."""

import bz2
import gzip
import hashlib
import importlib.util
import io
import lzma
import os
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import bench, command, ended, needs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.campaign import options
from benchmarks.campaign.options import tables
from benchmarks.problems import catalogue
from benchmarks.problems.catalogue import build
from benchmarks.problems.table_text import TableFormat
from benchmarks.problems.tables import check_dtype
from benchmarks.tutorial.fit import least_squares, unscaled
from impls.interface import Problem

GOOD = "height,weight,age\n1.5,60,30\n1.7,70,50\n1.6,55,20\n1.9,90,41\n1.8,77,33\n"


def numbered(content: str, first: int, named: bool) -> str:
    """The table with a column in front that counts the rows, and an empty name for it or none."""
    header, *rows = content.splitlines()
    return "\n".join(["," * named + header, *(f"{number},{row}" for number, row in enumerate(rows, first))]) + "\n"


def packed(*names: str) -> bytes:
    """A ZIP archive of GOOD under the first name, and of a word under the others."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name in names:
            file.writestr(name, GOOD if name == names[0] else "")
    return archive.getvalue()


def table(folder: Path, content: str | bytes, name: str = "table.csv") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refusal(path: str, *target: str) -> str:
    """The one line that a table is refused with; it names the file."""
    with pytest.raises(ValueError) as error:
        build(path, target=list(target))
    line = str(error.value)
    assert line.startswith(path.partition("@")[0])
    assert line.isprintable()
    assert len(line) < len(path) + 400
    return line


def test_one_target(tmp_path: Path) -> None:
    problem, data = build(table(tmp_path, GOOD), target=["weight"])
    assert data.columns == ["height", "age", "intercept"]
    assert problem.X.shape == (5, 3)
    assert problem.y.tolist() == [60, 70, 55, 90, 77]
    assert problem.w0.shape == (3,)
    assert problem.order is None
    assert problem.X.mean(axis=0) == pytest.approx([0, 0, 1])
    assert problem.X.std(axis=0) == pytest.approx([1, 1, 0])
    height = np.array([1.5, 1.7, 1.6, 1.9, 1.8])
    assert problem.X[:, 0] == pytest.approx((height - 1.7) / np.sqrt(0.02))


def test_two_targets_in_the_order_asked_for(tmp_path: Path) -> None:
    problem, data = build(table(tmp_path, GOOD), target=["age", "weight"])
    assert data.columns == ["height", "intercept"]
    assert problem.y.tolist() == [[30, 60], [50, 70], [20, 55], [41, 90], [33, 77]]
    assert problem.w0.shape == (2, 2)


def test_mini_batches(tmp_path: Path) -> None:
    problem, _ = build(table(tmp_path, GOOD) + "@2", target=["age"])
    assert problem.order is not None
    assert problem.order.shape == (problem.steps, 2)
    for first, second in zip(problem.order[::2], problem.order[1::2], strict=False):  # an epoch: 2 batches, 1 row left
        assert len({*first.tolist(), *second.tolist()}) == 4


def test_only_targets_leave_the_intercept(tmp_path: Path) -> None:
    problem, data = build(table(tmp_path, "a\n1\n2\n6\n"), target=["a"])
    assert data.columns == ["intercept"]
    assert problem.X.tolist() == [[1]] * 3


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r\n").replace(",", " , ").replace(" ,", ","),  # a space behind each comma
        '"height","weight","age"\n' + GOOD.partition("\n")[2].replace("60", '"60"'),
        GOOD.replace("60", "6e1").replace("70", "+70.0"),
        GOOD.rstrip("\n"),
    ],
    ids=["byte order mark", "CRLF", "spaces", "quotes", "notations", "no newline at the end"],
)
def test_same_table_in_another_spelling(tmp_path: Path, content: str) -> None:
    there, here = (build(table(tmp_path, text), target=["weight"]) for text in (GOOD, content))
    assert here[1].columns == there[1].columns
    assert here[0].X.tobytes() == there[0].X.tobytes()
    assert here[0].y.tobytes() == there[0].y.tobytes()


def test_names_with_commas_and_spaces(tmp_path: Path) -> None:
    path = table(tmp_path, GOOD.replace("height", '"height, in m"').replace("weight", "body weight"))
    assert build(path, target=["body weight"])[1].columns == ["height, in m", "age", "intercept"]
    assert build(path, target=["height, in m"])[1].columns == ["body weight", "age", "intercept"]


def test_folder_with_an_at_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "me@work"
    folder.mkdir()
    assert build(table(folder, GOOD), target=["age"])[0].order is None
    problem, _ = build(table(folder, GOOD) + "@2", target=["age"])
    assert problem.order is not None


def test_missing_column_names_the_nearest(tmp_path: Path) -> None:
    line = refusal(table(tmp_path, GOOD), "wieght")
    assert "no column 'wieght'; did you mean 'weight'?" in line
    assert "height, weight, age" in line


def test_no_target_says_which_columns_there_are(tmp_path: Path) -> None:
    line = refusal(table(tmp_path, GOOD))
    assert "--target" in line
    assert "height, weight, age" in line


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("tall", "'tall'"),
        ("", "missing"),
        ("NaN", "missing"),
        ("NA", "missing"),
        ("inf", "inf"),
        ("-inf", "-inf"),
        ("1e999", "inf"),
        ('"1,7"', "'1,7'"),
        ("1.7 m", "'1.7 m'"),
        ("1.7.2026", "'1.7.2026'"),
        ("0x10", "'0x10'"),
        ("1+2j", "'1+2j'"),
    ],
)
def test_cell_that_is_not_a_finite_number_is_named(tmp_path: Path, cell: str, says: str) -> None:
    line = refusal(table(tmp_path, GOOD.replace("1.7", cell)), "weight")
    assert "row 3, column 'height'" in line
    assert says in line
    assert "np." not in line


def test_cell_of_the_target_is_checked_too(tmp_path: Path) -> None:
    assert "row 5, column 'weight'" in refusal(table(tmp_path, GOOD.replace("90", "?")), "weight")


def test_first_of_several_bad_cells_is_named(tmp_path: Path) -> None:
    assert "row 2, column 'age'" in refusal(table(tmp_path, GOOD.replace("30", "x").replace("1.9", "y")), "weight")


def test_row_with_a_cell_too_few(tmp_path: Path) -> None:
    assert "row 4, column 'age' is missing" in refusal(table(tmp_path, GOOD.replace("55,20", "55")), "weight")


def test_row_with_a_cell_too_many(tmp_path: Path) -> None:
    assert "line 4" in refusal(table(tmp_path, GOOD.replace("55,20", "55,20,3")), "weight")


@pytest.mark.parametrize("more", ["0", "7.5"])
def test_all_rows_with_a_cell_more_than_the_header(tmp_path: Path, more: str) -> None:
    """Nothing may shift: a row's first cell is not its name, and age is not weight."""
    header, *rows = GOOD.splitlines()
    content = "\n".join([header, *(f"{row},{more}" for row in rows)])
    refusal(table(tmp_path, content), "weight")


def test_empty_line_between_rows(tmp_path: Path) -> None:
    assert "row 4" in refusal(table(tmp_path, GOOD.replace("1.6", "\n1.6")), "weight")


def test_constant_column(tmp_path: Path) -> None:
    constant = "a,b,c\n1,2,3\n1,4,5\n1,7,6\n1,5,8\n"
    assert "column 'a' is constant" in refusal(table(tmp_path, constant), "c")
    assert build(table(tmp_path, constant), target=["a", "c"])[1].columns == ["b", "intercept"]


@pytest.mark.parametrize("header", ["a,a,b", "b,a,a", "a,b,b"])
@pytest.mark.parametrize("target", ["a", "b"])
def test_name_that_two_columns_have(tmp_path: Path, header: str, target: str) -> None:
    """Which of them is meant cannot be known; as a feature, the other would give the answer away."""
    twice = "a" if header.count("a") == 2 else "b"
    assert f"'{twice}'" in refusal(table(tmp_path, f"{header}\n1,2,5\n2,7,1\n4,4,4\n6,1,1\n9,3,2\n"), target)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_fewer_rows_than_weights(tmp_path: Path, rows: int) -> None:
    line = refusal(table(tmp_path, "\n".join(GOOD.splitlines()[: 1 + rows]) + "\n"), "weight")
    assert f"{rows} row" in line


def test_as_many_rows_as_weights(tmp_path: Path) -> None:
    assert build(table(tmp_path, "\n".join(GOOD.splitlines()[:4])), target=["weight"])[0].X.shape == (3, 3)


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"\n\n\n", b"\x00\x01\xff\xfe" * 99, bytes(range(256)) * 9, b"PK\x03\x04" + bytes(99), b'"a,b\n1,2\n'],
)
def test_what_is_no_table(tmp_path: Path, content: bytes) -> None:
    refusal(table(tmp_path, content), "a")


def test_missing_file(tmp_path: Path) -> None:
    path = str(tmp_path / "nowhere.csv")
    with pytest.raises(ValueError, match=f"^no file {re.escape(path)}$"):
        build(path, target=["a"])


def test_text_is_left_out_or_no_target(tmp_path: Path) -> None:
    path = table(tmp_path, "size,home town,kind,price\n1,Rome,a,2\n2,Oslo,b,4\n4,Bonn,c,5\n5,Riga,d,7\n")
    assert "text" in refusal(path, "price") and "--drop 'home town' --drop kind" in refusal(path, "price")
    line = refusal(path, "kind")
    assert "the target must be numbers" in line and "--drop kind" not in line
    line = refusal(table(tmp_path, GOOD.replace("70", "?")), "weight")
    assert "is missing" in line and "--drop" not in line


@pytest.mark.parametrize("name", ["100x0", "100x-5", "0x3", "-5x3@2"])
def test_a_size_has_rows_and_features(name: str) -> None:
    with pytest.raises(ValueError, match="rows and features must be at least 1"):
        catalogue.parse(name)


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e308])
def test_values_too_large_or_small_to_square(tmp_path: Path, size: float) -> None:
    content = "a,b\n" + "".join(f"{value * size!r},{value}\n" for value in (0.1, 0.5, 0.3, 1.0))
    try:
        problem, _ = build(table(tmp_path, content), target=["b"])
    except ValueError as error:
        assert "column 'a'" in str(error)
    else:
        assert problem.X[:, 0].std() == pytest.approx(1)


@given(st.binary(max_size=80) | st.text("\",\n\r 0123456789.eE+-aN;\t'", max_size=60).map(str.encode))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_problem_or_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = table(tmp_path, b"a,b\n1,2\n2,1\n3,5\n" + content if len(content) % 2 else content)
    try:
        problem, data = build(path, target=["b"])
    except ValueError as error:
        assert str(error).startswith(path)
        assert "\n" not in str(error)
    else:
        assert problem.X.shape[1] == len(data.columns)
        assert np.isfinite(problem.X).all()


@given(
    st.lists(
        st.tuples(*[st.floats(-1e6, 1e6, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-6)] * 3),
        min_size=5,
        max_size=20,
    )
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_are_read_to_the_last_bit(tmp_path: Path, rows: list[tuple[float, float, float]]) -> None:
    columns = [*zip(*rows, strict=True)]
    if min(len(set(column)) for column in columns[:2]) == 1:
        return
    path = table(tmp_path, "a,b,c\n" + "".join(f"{a!r},{b!r},{c!r}\n" for a, b, c in rows))
    assert build(path, target=["c"])[0].y.tolist() == [float(c) for _, _, c in rows]


def test_table_through_the_command(tmp_path: Path) -> None:
    path = table(tmp_path, GOOD)
    done = bench(tmp_path, "--problem", f"{path},{path}@2", "--target", "age,weight", "--steps", "10")
    assert done.code == 0, done.out + done.err
    assert [(row["n"], row["d"], row["k"], row["batch"]) for row in done.rows] == [(5, 2, 2, 5), (5, 2, 2, 2)]


def test_table_that_cannot_be_used_stops_the_command_at_once(tmp_path: Path) -> None:
    cases = [
        (GOOD, "wieght", "table.csv: no column 'wieght'; did you mean 'weight'?"),
        (GOOD, None, "table.csv: --target COL"),
        (GOOD.replace("70", "heavy"), "age", "table.csv: row 3, column 'weight' is 'heavy', not a finite number"),
        ("", "age", "table.csv: "),
    ]
    commands = []
    for number, (content, target, _) in enumerate(cases):
        (folder := tmp_path / str(number)).mkdir()
        words = ["--target", target] if target else []
        commands.append(command(folder, "--problem", table(folder, content), *words))
    for done, (*_, says) in zip(ended(*commands), cases, strict=True):
        assert done.code == 4
        assert says in done.err
        assert len(done.err.strip().splitlines()) == 1


def test_mini_batch_larger_than_a_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"table.csv@6.*5 rows"):
        build(table(tmp_path, GOOD) + "@6", target=["age"])


FINE = Problem(np.ones((4, 2)), np.ones(4), np.ones(2), 0.1, 3, np.zeros((3, 2), np.int32))
BAD: list[tuple[dict[str, Any], str]] = [
    ({"X": np.ones((0, 2)), "y": np.ones(0)}, "X must be"),
    ({"X": np.ones((4, 0)), "w0": np.ones(0)}, "X must be"),
    ({"X": np.ones(4)}, "X must be"),
    ({"X": np.ones((2, 4, 2))}, "X must be"),
    ({"X": np.ones((4, 2), np.float16)}, "X must be float32 or float64, not float16"),
    ({"X": np.ones((4, 2), int)}, "X must be float32 or float64, not int64"),
    ({"X": np.ones((4, 2), complex)}, "X must be float32 or float64"),
    ({"X": np.ones((4, 2), ">f8")}, "X must be float"),
    ({"X": np.ones((4, 2), order="F")}, "X must be C-contiguous"),
    ({"X": np.ones((4, 4))[:, ::2]}, "X must be C-contiguous"),
    ({"X": np.full((4, 2), np.nan)}, "X has values that are not finite"),
    ({"y": np.ones(5)}, "y must be"),
    ({"y": np.ones((4, 0)), "w0": np.ones((2, 0))}, "y must be"),
    ({"y": np.ones((4, 1, 1))}, "y must be"),
    ({"y": np.float64(1)}, "y must be"),
    ({"y": np.ones(4, np.float32)}, "y must be float64 like X, not float32"),
    ({"y": np.array([1, 2, np.inf, 4])}, "y has values that are not finite"),
    ({"y": np.ones((4, 1))}, "w0 must be"),
    ({"w0": np.ones(3)}, "w0 must be"),
    ({"w0": np.ones((2, 1))}, "w0 must be"),
    ({"w0": np.ones(2, np.float32)}, "w0 must be float64 like X, not float32"),
    ({"w0": np.array([1, -np.inf])}, "w0 has values that are not finite"),
    *(
        ({"lr": lr}, "lr must be")
        for lr in (0.0, -0.1, float("nan"), float("inf"), 1, True, np.float64(0.1), None, "0.1")
    ),
    *(({"steps": steps}, "steps must be") for steps in (0, -1, True, 3.0, np.int64(3), None)),
    ({"order": np.zeros((4, 2), np.int32)}, "order must be (3, b)"),
    ({"order": np.zeros((3, 0), np.int32)}, "order must be (3, b)"),
    ({"order": np.zeros(3, np.int32)}, "order must be (3, b)"),
    ({"order": np.zeros((3, 2), np.int64)}, "order must be int32, not int64"),
    ({"order": np.zeros((3, 2))}, "order must be int32, not float64"),
    ({"order": np.full((3, 2), 4, np.int32)}, "order must name rows 0 to 3, not 4 to 4"),
    ({"order": np.full((3, 2), -1, np.int32)}, "order must name rows 0 to 3, not -1 to -1"),
]


@pytest.mark.parametrize(
    ("changes", "says"), BAD, ids=[f"{says}: {next(iter(changes))} {i}" for i, (changes, says) in enumerate(BAD)]
)
def test_problem_that_does_not_fit_together_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError) as error:
        replace(FINE, **changes)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


@given(
    n=st.integers(1, 9), d=st.integers(1, 9), k=st.none() | st.integers(1, 4), batch=st.none() | st.integers(1, 12),
    dtype=st.sampled_from(["float32", "float64"]), steps=st.integers(1, 9), lr=st.floats(1e-300, 1e300),
)  # fmt: skip
def test_problem_that_fits_together_is_taken(
    n: int, d: int, k: int | None, batch: int | None, dtype: str, steps: int, lr: float
) -> None:
    tail = () if k is None else (k,)
    order = None if batch is None else np.full((steps, batch), n - 1, np.int32)
    problem = Problem(np.ones((n, d), dtype), np.ones((n, *tail), dtype), np.ones((d, *tail), dtype), lr, steps, order)
    assert problem.lr == lr


# sha256 of X, y, w0 and order in float64 and little-endian bytes, lr: what seed 0 means, on every machine and for ever
BYTES: dict[str, tuple[str, str, str, str, float]] = {
    "tiny": ("37d8c38c51668cbd", "e655e9595e86a613", "9f67b4d9a8b85913", "", 0.51),
    "small@32": ("b8edaaf6a6c4f4b5", "ef443aef8935f48b", "4fa784027e205b05", "b0b5188c45ebccc1", 0.31),
    "line": ("256398ed15dc6585", "ae3b0fdd89213e36", "723f1c3eac1d2c30", "", 0.1),
    "line@10": ("256398ed15dc6585", "ae3b0fdd89213e36", "723f1c3eac1d2c30", "6fbae34d067886e1", 0.1),
    "crops": ("bc2d0020115ba28e", "8faa2823de20151c", "dab800a12550713d", "", 1e-05),
    "crops@5": ("6b7a780018dd72cc", "3ea67353bce66797", "dab800a12550713d", "7b7d6ac49b4181ea", 1e-05),
    "scalar": ("6bab56d2f81d4b5a", "9c6012e4f91c28aa", "af5570f5a1810b7a", "", 0.01),
    "medium@256": ("03ac09013575f130", "c2013a9a4949e7bd", "433892d76d8b51e0", "8102ae18dbba255b", 0.408),
}


def digest(array: np.ndarray[Any, Any] | None) -> str:
    if array is None:
        return ""
    return hashlib.sha256(np.ascontiguousarray(array, array.dtype.newbyteorder("<"))).hexdigest()[:16]


def first_steps(problem: Problem) -> np.ndarray[Any, Any] | None:
    """The order of an epoch or more; how many steps there are may change with what is worth timing."""
    return None if problem.order is None else problem.order[:60]


@pytest.mark.parametrize("name", BYTES)
def test_a_seed_means_the_same_bytes(name: str) -> None:
    problem, _ = build(name)
    found = (*map(digest, (problem.X, problem.y, problem.w0, first_steps(problem))), problem.lr)
    assert found == BYTES[name]


def test_another_seed_means_other_bytes() -> None:
    for name in ("tiny", "small@32", "line"):
        one, other = (build(name, seed=seed)[0] for seed in (0, 1))
        assert digest(one.X) != digest(other.X)
        assert digest(one.w0) != digest(other.w0) or name == "line"  # line starts where the text starts


def test_mini_batches_have_the_data_of_the_full_batch() -> None:
    for name in ("tiny", "small"):
        full, mini = build(name)[0], build(f"{name}@10")[0]
        assert all(digest(getattr(full, field)) == digest(getattr(mini, field)) for field in ("X", "y", "w0"))


@given(n=st.integers(1, 60), steps=st.integers(1, 40), seed=st.integers(0, 99), data=st.data())
@settings(deadline=None)
def test_an_epoch_has_each_row_once(n: int, steps: int, seed: int, data: st.DataObject) -> None:
    batch = data.draw(st.integers(1, n))
    order = catalogue.shuffled(np.random.default_rng(seed), n, batch, steps)
    assert (order.shape, order.dtype) == ((steps, batch), np.int32)
    per_epoch = n // batch
    for first in range(0, steps, per_epoch):
        rows = order[first : first + per_epoch].ravel().tolist()
        assert len(set(rows)) == len(rows)
        assert set(rows) <= set(range(n))


@pytest.mark.parametrize("name", [*catalogue.CATALOGUE, "tiny@10", "small@32", "crops@5"])
def test_lr_of_the_catalogue_is_stable_and_round(name: str) -> None:
    if name == "huge":
        pytest.skip("as large, which takes long enough")
    if name in ("diabetes", "linnerud"):
        pytest.importorskip("sklearn")
    problem, _ = build(name)
    L = max(high for _, high in catalogue.curvatures(problem.X, problem.y, problem.order))
    assert problem.lr * L < 2
    assert float(f"{problem.lr:.3g}") == problem.lr


def test_cast_keeps_the_plan() -> None:
    problem = build("small@32")[0]
    narrow = catalogue.cast(problem, "float32")
    assert {array.dtype for array in (narrow.X, narrow.y, narrow.w0)} == {np.dtype("float32")}
    assert (narrow.lr, narrow.steps) == (problem.lr, problem.steps)
    assert narrow.order is problem.order
    assert np.abs(narrow.X - problem.X).max() < 1e-6


# Tables as people have them

ROWS = [(1.5, 60.0, 30.0), (1.7, 70.0, 50.0), (1.6, 55.0, 20.0), (1.9, 90.0, 41.0), (1.8, 77.0, 33.0)]
COMMAS = [";".join(str(cell).replace(".", ",") for cell in row) for row in ROWS]
SPELLINGS: dict[str, tuple[str, bytes]] = {
    "semicolons": ("t.csv", GOOD.replace(",", ";").encode()),
    "decimal commas": ("t.csv", ("height;weight;age\n" + "\n".join(COMMAS)).encode()),
    "tabs": ("t.tsv", GOOD.replace(",", "\t").encode()),
    "tabs in a .csv": ("t.csv", GOOD.replace(",", "\t").encode()),
    "bars": ("t.txt", GOOD.replace(",", "|").encode()),
    "blanks": ("t.data", GOOD.replace(",", "   ").encode()),
    "aligned blanks": ("t.txt", "\n".join(f"  {line.replace(',', '    ')}  " for line in GOOD.splitlines()).encode()),
    "UTF-16": ("t.csv", GOOD.encode("utf-16")),
    "UTF-8 with a mark": ("t.csv", GOOD.encode("utf-8-sig")),
    "old line ends": ("t.csv", GOOD.replace("\n", "\r").encode()),
    "gzip": ("t.csv.gz", gzip.compress(GOOD.encode())),
    "bzip2": ("t.csv.bz2", bz2.compress(GOOD.encode())),
    "xz": ("t.tsv.xz", lzma.compress(GOOD.replace(",", "\t").encode())),
    "comments": ("t.csv", f"# made by hand\n% twice\n{GOOD}# the end\n".encode()),
    "blank lines around": ("t.csv", f"\n\n{GOOD}\n\n".encode()),
    "a header in a comment": ("t.txt", f"# {GOOD}".replace(",", " ").encode()),
    "an index from 0": ("t.csv", numbered(GOOD, 0, True).encode()),
    "an index from 1": ("t.csv", numbered(GOOD, 1, True).encode()),
    "row names of R, behind commas": ("t.csv", re.sub(r"(?m)^(\d+),", r'"row \1",', numbered(GOOD, 1, True)).encode()),
    "row names of R": ("t.txt", numbered(GOOD, 1, False).replace(",", " ").encode()),
    "decimal commas and blanks": ("t.csv", ("height weight age\n" + "\n".join(COMMAS).replace(";", "  ")).encode()),
    "separator in its first line": ("t.csv", b"sep=;\n" + GOOD.replace(",", ";").encode()),
    "an index written twice": ("t.csv", numbered(GOOD, 0, True).replace(",", "Unnamed: 0,", 1).encode()),
    "UTF-32": ("t.csv", GOOD.encode("utf-32")),
    "empty last columns": ("t.csv", GOOD.replace("\n", ",,\n").encode()),
    "cells after the last name": ("t.csv", GOOD.replace("\n", ",\n").replace("age,", "age").encode()),
    "padded names": ("t.csv", GOOD.replace("weight", " weight ").encode()),
    "quoted numbers": ("t.csv", GOOD.replace("60", '"60"').encode()),
    "capital ending": ("T.CSV", GOOD.encode()),
    "blanks in a .dat": ("t.dat", GOOD.replace(",", "  ").encode()),
    "a tab in its first line": ("t.csv", b"sep=\t\n" + GOOD.replace(",", "\t").encode()),
    "a quoted separator in its first line": ("t.csv", b'"sep=;"\n' + GOOD.replace(",", ";").encode()),
    "line ends written twice": ("t.csv", GOOD.replace("\n", "\r\r\n").encode()),
    "the end of a file of DOS": ("t.csv", f"{GOOD}\x1a".encode()),
    "a folder in an archive": ("t.zip", packed("data/t.csv", "data/", "data/.DS_Store", "__MACOSX/data/._t.csv")),
    "blanks of other kinds in a name": ("t.csv", GOOD.replace("weight", '"\n weight\u00a0"').encode()),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_tables_as_people_have_them_are_read_right(tmp_path: Path, spelling: str) -> None:
    name, content = SPELLINGS[spelling]
    problem, data = build(table(tmp_path, content, name), target=["weight"])
    exact, _ = build(table(tmp_path, GOOD, "plain.csv"), target=["weight"])
    assert data.columns == ["height", "age", "intercept"]
    for field in ("X", "y", "w0"):
        assert getattr(problem, field).tobytes() == getattr(exact, field).tobytes()
    height, weight, age = np.array(ROWS).T
    file = np.column_stack([height, age, np.ones(5)])
    w = np.linalg.lstsq(problem.X, problem.y)[0]
    assert unscaled(data, w) == pytest.approx(np.linalg.lstsq(file, weight)[0])


@pytest.mark.parametrize(
    ("content", "options", "columns"),
    [
        (GOOD.partition("\n")[2], {"header": False}, ["1", "3", "intercept"]),
        (GOOD.replace("height", "größe").encode("cp1252"), {"encoding": "cp1252"}, ["größe", "age", "intercept"]),
        (GOOD.replace("height", "키").encode("euc-kr"), {"encoding": "euc-kr"}, ["키", "age", "intercept"]),
        (GOOD.encode("utf-16-le"), {"encoding": "utf-16-le"}, ["height", "age", "intercept"]),
        (
            "\n".join(f"{row.replace(';', '  ')}  01.01.2010" for row in COMMAS),
            {"header": False, "drop": ("4",)},
            ["1", "3", "intercept"],
        ),
        (GOOD.replace(",", ":"), {"sep": ":"}, ["height", "age", "intercept"]),
        (GOOD.replace(",", "\t"), {"sep": "tab"}, ["height", "age", "intercept"]),
        (GOOD, {"drop": ("height,age",)}, ["intercept"]),
        (GOOD.replace("1.7", "tall"), {"drop": ("height",)}, ["age", "intercept"]),
        (GOOD.replace("1.7", '"two\n#lines, ""quoted"""'), {"drop": ("height",)}, ["age", "intercept"]),
        (GOOD.replace("1.7", "5'7\""), {"drop": ("height",)}, ["age", "intercept"]),
        (GOOD.replace("1.7", "a\u2028b\x0bc\x1cd"), {"drop": ("height",)}, ["age", "intercept"]),
        (GOOD.replace("age", '"age\n(in\u00a0years)"'), {}, ["height", "age (in years)", "intercept"]),
        (GOOD.replace("height", "Unnamed: 0"), {"drop": ("Unnamed: 0",)}, ["age", "intercept"]),
    ],
)
def test_options_say_what_the_file_does_not(
    tmp_path: Path, content: str | bytes, options: dict[str, Any], columns: list[str]
) -> None:
    target = ["weight"] if options.get("header", True) else ["2"]
    problem, data = build(table(tmp_path, content), target=target, reading=TableFormat(**options))
    assert data.columns == columns and problem.y.tolist() == [60, 70, 55, 90, 77]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (GOOD.partition("\n")[2], "--no-names"),
        (GOOD.replace("height", "größe").encode("cp1252"), "--encoding"),
        (GOOD.encode("utf-16-le"), "--encoding utf-16-le"),
        (GOOD.replace("\n", "\nm,kg,years\n", 1), "line 2 holds no numbers, but the lines below do"),
        ("# notes\n" + GOOD.replace("\n", "\nm,kg,years\n\n(all),,\n", 1), "lines 3 to 5 hold no numbers"),
        (GOOD.replace("height", "a,,\nheight", 1), "line 2 holds no numbers"),  # a line that groups the columns
        (GOOD.replace("1.7", "tall"), "--drop height"),
        (GOOD.replace("1.7", ""), "--drop height"),
        ("height;weight\n1,5;60,5\n1.7;70.5\n1.6;55.5\n", "1.7 has a decimal point, others have a comma"),
        (GOOD.replace("height", ""), "column 1 has no name; give it one, or leave it out: --drop ''"),
        (GOOD.replace("age", "height"), "two columns are called 'height'"),
        (GOOD.replace("60", "60,1").replace("70", "70,1"), "cells"),
        ("weight,age\n1,5\n2,5\n4,5\n", "column 'age' is constant"),
        ("weight,age\n1e300,5\n2e300,4\n4,5\n", "--dtype float64"),
        (b"PK\x03\x04\0\0\0", "no table"),
        (b"", "empty"),
        ("weight\n1,5\n2,5\n3,5\n", "more cells than"),
        (GOOD.encode("utf-16-be"), "--encoding utf-16-be"),
        (gzip.compress(GOOD.encode(), mtime=0), "it holds a compressed file; unpack it"),
        (b"\xd0\xcf\x11\xe0" + bytes(99), "it holds an old Excel workbook (.xls); save it as"),
        (b"PAR1\x15\x04\x15" + bytes(99), "it holds a Parquet file; rename it: .parquet"),
        ("\n<!DOCTYPE html>\n<html>", "it holds a page of HTML or XML"),
        ('[{"weight": 1}]', "it holds JSON"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        ("% notes\n% more\n@RELATION r\n@DATA\n1,2\n", "it holds ARFF"),
        ("60 1:1.5 2:30\n70 1:1.7\n", "it holds LibSVM"),
        (GOOD.replace(",", "^"), "it is the only one: say what separates the cells (--sep)"),
        (GOOD.replace("60,", '"60,'), "line 2 opens a quote that is not closed"),
        (GOOD.replace("height", '"height\n(m)"').replace("90,", "90,4,"), "line 6 has 4 cells, not 3"),
        (GOOD.replace("\n1.7", "\n# a\n1.7").replace("90,", "90,4,"), "line 6 has 4 cells, not 3"),
        (
            GOOD.replace("\n", "\n\n"),
            "is missing, like all others of the row; delete blank rows",
        ),
        ("5.1,60,Iris\n4.9,70,Iris\n4.7,55,Rose\n", "line 1 holds numbers, no names; add a header, or use --no-names"),
        ("weight,age\n60,9007199254740993\n70,9007199254740995\n55,9007199254740999\n", "too near one another"),
        ("weight,age\n9007199254740993,1\n9007199254740995,2\n9007199254740990,4\n", "which float64 cannot hold"),
        (GOOD.replace("1.7", "-99.99").replace("77,33", "77,33\n1.4,8,9\n1.3,5,7"), "codes for missing values"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(tmp_path: Path, content: str | bytes, says: str) -> None:
    assert says in refusal(table(tmp_path, content), "weight")


def test_quoted_decimal_commas_and_a_commented_row_of_units(tmp_path: Path) -> None:
    content = GOOD.replace(",", ";").replace(".", ",").replace("1,7", '"1,7"').replace("\n", "\n#m;kg;years\n", 1)
    problem, _ = build(table(tmp_path, content), target=["weight"])
    expected, _ = build(table(tmp_path, GOOD, "plain.csv"), target=["weight"])
    assert problem.X.tolist() == expected.X.tolist() and problem.y.tolist() == expected.y.tolist()


VALUES = np.array(
    [[1234567.5, 3.25, 2.5], [-2500.25, 8.5, 3.5], [71.125, 6.75, 9.25], [4321.0, 0.5, 1.0], [12.5, -1, 7]]
)


def numbers(sep: str, mark: str, thousands: str = "", digits: int = 3, values: Any = VALUES) -> str:
    """The values as a table whose numbers have this decimal mark and this separator of thousands."""
    marks = str.maketrans({",": thousands, ".": mark})
    return "\n".join([sep.join("aby"), *(sep.join(f"{x:,.{digits}f}".translate(marks) for x in row) for row in values)])


INTEGERS = np.array([[1234567, 3, 2], [2500, 8, 3], [1071, 6, 9], [4321, 0, 1], [12500, 1, 7]])
SMALL = INTEGERS[1:].repeat(2, axis=0) + np.arange(8)[:, None]
PLAIN = numbers(",", ".").splitlines()[1:]


@pytest.mark.parametrize(
    ("content", "values", "options"),
    [
        *((numbers(sep, ".", ","), VALUES, {}) for sep in "\t;|"),
        *((numbers(sep, ",", "."), VALUES, {}) for sep in "\t;| "),
        *((numbers(sep, ",", "", 2), VALUES.round(2), {}) for sep in "\t;| "),
        *((numbers(sep, ".", thousands, 0, INTEGERS), INTEGERS, {}) for sep in "\t;|" for thousands in ".,"),
        *((numbers("\t", ".", mark, 0, SMALL), SMALL, {"decimal": other}) for mark, other in (",.", ".,")),
        (numbers(";", ",", "", 3, SMALL), SMALL, {"decimal": ","}),
        (re.sub(r"[^\t\n]+", r'"\g<0>"', numbers("\t", ",", ".")).replace("\t", ","), VALUES, {}),
        ("\n".join(['"","a","b","y"', *(f'"car {at}",{row}' for at, row in enumerate(PLAIN))]), VALUES, {}),
        ("\n".join(["v;a;b;y", *(f"12.5.2020;{row.replace(',', ';')}" for row in PLAIN)]), VALUES, {"drop": ("v",)}),
        (
            "\n".join(["v\ta\tb\ty", *("about 1,234 of\t" + row.replace(",", "\t") for row in PLAIN)]),
            VALUES,
            {"drop": ("v",)},
        ),
        ("\n".join(["v;a;b;y", *(f"1.5;{row}" for row in COMMAS)]), np.array(ROWS), {"drop": ("v",)}),
    ],
)
def test_numbers_are_read_right_in_every_notation(
    tmp_path: Path, content: str, values: Any, options: dict[str, Any]
) -> None:
    problem, data = build(table(tmp_path, content), target=["y"], reading=TableFormat(**options))
    assert problem.y.tolist() == values[:, 2].tolist()
    assert problem.X[:, :-1] * data.scale + data.centre == pytest.approx(values[:, :2])


LONG = np.round(np.random.default_rng(1).normal(5, 30, (9, 3)), 3)
LONGER = numbers(",", ".", "", 3, LONG) + "\n"
SUMS = [",".join(f"{x:.9f}" for x in values) for values in (LONG.sum(axis=0), LONG.mean(axis=0))]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        *((numbers(sep, ".", mark, 0, SMALL), "--decimal . or --decimal ,") for sep in "\t;|" for mark in ".,"),
        ("n" + numbers("\t", ".", ",", 0, SMALL).replace("\n", "\n0,5\t").replace("a", "\ta", 1), "--decimal . or"),
        ('a,b,y\n"1,000",3,4\n"2,500",1,7\n"3,100",6,2\n"4,700",8,5\n', "1,000 may be 1000 or 1.000"),
        *((numbers("\t", ".", mark), "without separators of thousands") for mark in "' \u2019\u00a0\u202f"),
        (numbers("\t", ".", ",").replace("3.250", "3,25"), "'3,25'"),
        (numbers(";", ",", ".").replace("3,250", "3.25"), "3.25 has a decimal point, others have a comma"),
        (numbers("\t", ".").replace("3.250", "12,34,567"), "'12,34,567'"),
        *(
            (numbers("\t", ".").replace("3.250", cell), repr(cell))
            for cell in ("$3", "3 €", "3%", "(3)", "3-", "\u22123", "\u0663")
        ),
        *((numbers("\t", ".").replace("3.250", cell), repr(cell)) for cell in (".", "n/a", "-", "***", "#DIV/0!")),
        *((numbers("\t", ".").replace("3.250", cell), "is missing") for cell in ("", "?", "NA", "null")),
        (LONGER + SUMS[0], "row 11 holds the sums of the rows above; delete it"),
        (LONGER + SUMS[1], "row 11 holds the means of the rows above; delete it"),
        ("n," + LONGER.replace("\n", "\nx,").removesuffix("x,") + "Total," + SUMS[0], "holds the total"),
        (re.sub(r"\n[^,]+", "\n-999", LONGER, count=1), "row 2, column 'a' is -999, far from the others"),
        (LONGER + "(9 rows affected)\n", "row 11"),
        (LONGER + "\nSource: me\n", "row 11"),
        (
            "d," + LONGER.replace("\n", "\nx,").removesuffix("x,") + "#4,1,2,3",
            "line 11 begins with #, but may be a row",
        ),
        (LONGER.replace(",", ',"x\n#",', 1), "column 'y' is missing"),
    ],
)
def test_numbers_that_can_be_read_in_two_ways_or_are_none_are_refused(tmp_path: Path, content: str, says: str) -> None:
    drop = ("n",) if content.startswith("n") else ()
    with pytest.raises(ValueError) as error:
        build(table(tmp_path, content), target=["y"], reading=TableFormat(drop=drop))
    assert says in str(error.value) and str(error.value).isprintable()


FRAME = {"height": [row[0] for row in ROWS], "weight": [row[1] for row in ROWS], "age": [row[2] for row in ROWS]}
PARQUET = [name for name in ("pyarrow", "fastparquet") if importlib.util.find_spec(name)]
excel = needs("openpyxl")
parquet = pytest.mark.skipif(not PARQUET, reason="neither pyarrow nor fastparquet is installed")
deprecated = pytest.mark.filterwarnings("ignore:The 'fastparquet' engine")  # small, which pyarrow is not
BINARY = [pytest.param(".xlsx", marks=excel), pytest.param(".parquet", marks=[parquet, deprecated])]
BINARY_LIMIT = pytest.param(".parquet", "MAX_CELLS", marks=[parquet, deprecated])


def binary(folder: Path, suffix: str, **columns: Any) -> str:
    """A spreadsheet or a Parquet file of GOOD with more or other columns; its path."""
    import pandas as pd

    path, frame = folder / f"t{suffix}", pd.DataFrame(FRAME | columns)
    frame.to_excel(path, index=False) if suffix == ".xlsx" else frame.to_parquet(path)
    return str(path)


def workbook(folder: Path, *sheets: list[tuple[Any, ...]]) -> str:
    """A workbook with these rows; its path."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(folder / "t.xlsx")
    return str(folder / "t.xlsx")


@pytest.mark.parametrize(("name", "package"), [("t.xlsx", "openpyxl"), ("t.parquet", "pyarrow")])
def test_spreadsheets_and_parquet_need_their_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    for module in ("openpyxl", "pyarrow", "fastparquet"):
        monkeypatch.setitem(sys.modules, module, None)
    with zipfile.ZipFile(tmp_path / name, "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    line = refusal(str(tmp_path / name), "weight")
    assert f"{package} is needed to read it: pip install -e '.[tables]'" in line


@pytest.mark.parametrize(("suffix", "limit"), [pytest.param(".xlsx", "MAX_TEXT_BYTES", marks=excel), BINARY_LIMIT])
def test_a_packed_table_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, limit: str
) -> None:
    path = binary(tmp_path, suffix)
    monkeypatch.setattr(f"benchmarks.problems.table_files.{limit}", 10)
    assert "10 are read at most" in refusal(path, "weight")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.zip", "t.xlsx"])
def test_a_table_without_end_is_refused_with_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("benchmarks.problems.table_files.MAX_TEXT_BYTES", 1000)
    monkeypatch.setattr("benchmarks.problems.table_files.MAX_WORKBOOK_BYTES", 1000)
    content = b"a,y\n" + b"1,2\n" * 10**6
    if name == "t.zip":
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("t.csv", content)
    else:
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert re.search("more than 1,000 bytes of text|bytes; 1,000 are read at most", refusal(str(tmp_path / name), "y"))


@pytest.mark.parametrize("suffix", BINARY)
@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"age": [str(row[2]) for row in ROWS]},  # numbers as text
        {"age": np.array(FRAME["age"], "float32")},
        {"age": np.array(FRAME["age"], "int64")},
    ],
)
def test_spreadsheets_and_parquet_are_read_right(tmp_path: Path, suffix: str, columns: dict[str, Any]) -> None:
    problem, data = build(binary(tmp_path, suffix, **columns), target=["weight"])
    exact, _ = build(table(tmp_path, GOOD), target=["weight"])
    assert data.columns == ["height", "age", "intercept"]
    assert all(getattr(problem, name).tobytes() == getattr(exact, name).tobytes() for name in ("X", "y", "w0"))


@pytest.mark.parametrize("suffix", BINARY)
@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"day": np.arange(5) + np.datetime64("2024-01-01", "ns")}, "row 2, column 'day' is '2024-01-01"),
        ({"name": list("abcde")}, "row 2, column 'name' is 'a': the column is text; leave it out: --drop name"),
        ({"age": [1, 2, None, 4, 5]}, "row 4, column 'age' is missing"),
        ({"age": ["1,5", "2.5", "3,5", "4,5", "5,5"]}, "2.5 has a decimal point, others have a comma; correct it"),
        ({"age": ["1'500", "2'500", "3'500", "4'500", "5'500"]}, "without separators of thousands"),
    ],
)
def test_cells_that_are_no_numbers_are_refused(tmp_path: Path, suffix: str, columns: dict[str, Any], says: str) -> None:
    line = refusal(binary(tmp_path, suffix, **columns), "weight")
    assert says in line and ("--drop" in line or "--decimal" in line)


@parquet
@deprecated
@pytest.mark.parametrize("engine", PARQUET)
def test_the_index_of_a_parquet_file_is_a_column_of_it(tmp_path: Path, engine: Any) -> None:
    import pandas as pd

    pd.DataFrame(FRAME).set_index("height").to_parquet(tmp_path / "t.parquet", engine=engine)
    _, data = build(str(tmp_path / "t.parquet"), target=["weight"])
    assert data.columns == ["height", "age", "intercept"]


@parquet
@deprecated
def test_an_index_without_a_name_is_left_out(tmp_path: Path) -> None:
    import pandas as pd

    pd.DataFrame(FRAME, index=[7, 3, 9, 4, 5]).to_parquet(tmp_path / "t.parquet")
    assert build(str(tmp_path / "t.parquet"), target=["weight"])[1].columns == ["height", "age", "intercept"]


@pytest.mark.parametrize("name", ["t.xls", "t.json", "t", "folder/t.csv.zst"])
def test_other_endings_say_which_are_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    assert "tables are .csv .tsv .txt .data .dat .xlsx .parquet" in refusal(table(tmp_path, GOOD, name), "weight")


@pytest.mark.parametrize("cell", ["1,111" * 5000 + "x", "1 " * 20000 + "x", "9" * 5000])
def test_long_cells_take_no_time(tmp_path: Path, cell: str) -> None:
    assert "row 2, column 'a'" in refusal(table(tmp_path, "a;y\n" + f"{cell};1\n" * 200), "y")


@pytest.mark.parametrize("target", [[], ["z"], ["y"]])
def test_more_columns_than_rows_are_refused_in_a_line_that_ends(tmp_path: Path, target: list[str]) -> None:
    content = ",".join([*(f"gene{number}" for number in range(5000)), "y"]) + "\n" + ",".join(["1.5"] * 5001)
    with pytest.raises(ValueError, match=r"gene1, gene2|1 rows are too few for 5000 features") as error:
        build(table(tmp_path, content), target=target)
    assert len(str(error.value)) < 1000


NAMES = ("height", "weight", "age")


@excel
@pytest.mark.parametrize(
    ("sheets", "header", "says"),
    [
        ([[NAMES, *ROWS], [("notes",)]], True, "the workbook has 2 sheets with cells"),
        ([[], []], True, "the workbook has 0 sheets with cells"),
        ([ROWS], True, "its first row holds numbers only, no names; add a header, or use --no-names"),
        ([[("height", "weight", "weight"), *ROWS]], True, "two columns are called 'weight'; rename one"),
        ([[("Heights of people",), (), NAMES, *ROWS]], True, "column 2 has no name; give it one"),
        ([[NAMES, ("m", "kg", "years"), *ROWS]], True, "row 2 holds no numbers (units?)"),
        ([[NAMES, *ROWS[:3], (), *ROWS[3:]]], True, "row 5, column 'height' is missing"),
        ([[NAMES, *ROWS[:3], (True, 1.0, 2.0)]], True, "row 5, column 'height' is 'True', not a finite number"),
        ([[NAMES, *[tuple(str(cell).replace(".", ",") for cell in row) for row in ROWS]]], True, ""),
        ([[], [(), (None, *NAMES), *[(None, *row) for row in ROWS], ()]], True, ""),
        ([ROWS], False, ""),
    ],
)
def test_workbooks_are_read_right_or_refused(
    tmp_path: Path, sheets: list[list[tuple[Any, ...]]], header: bool, says: str
) -> None:
    path, target = workbook(tmp_path, *sheets), ["weight" if header else "2"]
    if says:
        assert says in refusal(path, *target)
    else:
        problem, _ = build(path, target=target, reading=TableFormat(header=header))
        assert problem.X.shape == (5, 3) and problem.y.tolist() == [60, 70, 55, 90, 77]


@pytest.mark.parametrize("suffix", BINARY)
@pytest.mark.parametrize(
    "content", [b"", GOOD.encode(), b"PAR1" + b"x" * 99 + b"PAR1", b"\xd0\xcf\x11\xe0" + bytes(600)]
)
def test_damaged_spreadsheets_and_parquet_are_one_line(tmp_path: Path, suffix: str, content: bytes) -> None:
    assert f"cannot be read as {suffix}: " in refusal(table(tmp_path, content, f"t{suffix}"), "weight")
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("hello.txt", "no workbook")
    assert "cannot be read as" in refusal(str((tmp_path / "t.zip").rename(tmp_path / f"t{suffix}")), "weight")


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.xlsx", "t.parquet"])
def test_pipes_and_folders_are_refused_at_once(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "is no regular file" in refusal(str(tmp_path / name), "weight")
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert "is no regular file" in refusal(str(tmp_path / name), "weight")


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/t.csv", "https://example.org/t.xlsx", "s3://bucket/t.parquet"])
def test_addresses_are_not_fetched(name: str) -> None:
    assert "download it first" in refusal(name, "weight")


def test_a_problem_is_its_numbers_and_not_its_place(tmp_path: Path) -> None:
    paths = []
    for folder, content in (("here", GOOD), ("there", GOOD), ("other", GOOD.replace("90", "91"))):
        (tmp_path / folder).mkdir()
        paths.append(table(tmp_path / folder, content, "train.csv" if folder != "there" else "again.csv"))
    (here, _), (there, _), (other, _) = (build(path, target=["weight"]) for path in paths)
    assert here.w0.tobytes() == there.w0.tobytes() and here.w0.tobytes() != other.w0.tobytes()
    (first, _), (second, _) = (build(f"{path}@2", target=["weight"]) for path in paths[:2])
    assert first.order is not None and second.order is not None and (first.order == second.order).all()


@pytest.mark.parametrize(
    ("values", "lost"),
    [
        ([1.7e9, 1.7e9 + 7, 1.7e9 - 7], True),
        ([1e20, 2e20, 3e20], True),
        ([1.7e9, 1.8e9, 1.6e9], False),
        ([1e-30, 2e-30, 3e-30], False),
        ([0.1, 0.2, 0.3], False),
    ],
)
def test_what_float32_loses_is_refused(values: list[float], lost: bool) -> None:
    check_dtype("t.csv", np.array(values), ["y"], "float64")
    if lost:
        with pytest.raises(ValueError, match=r"t\.csv: column 'y' .* --dtype float64"):
            check_dtype("t.csv", np.array(values), ["y"], "float32")
    else:
        check_dtype("t.csv", np.array(values), ["y"], "float32")


def test_no_weights_beat_the_least_squares(tmp_path: Path) -> None:
    """Not even where columns depend on one another."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(300, 40, 24), rng.normal(150, 30, 24)
    lines = [f"{x + y:.17g},{x:.17g},{y:.17g},{z:.17g}" for x, y, z in zip(a, b, rng.normal(0, 5, 24), strict=True)]
    exact, _ = build(table(tmp_path, "\n".join(["s,a,b,y", *lines])), target=["y"])
    independent = np.column_stack([a, b, np.ones(24)])
    residual = independent @ np.linalg.lstsq(independent, exact.y)[0] - exact.y
    assert least_squares(exact) == pytest.approx(np.mean(residual**2))


@pytest.mark.parametrize("digits", [4, 0])  # 0: as if the first digits of both hashes were equal
def test_tables_that_differ_in_scale_alone_are_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: int
) -> None:
    """They are equal once they are standardised, but their problems begin elsewhere."""
    monkeypatch.setattr(options, "HASH_DIGITS", digits)
    for folder, factor in (("a", 2), ("b", 4)):
        (tmp_path / folder).mkdir()
        rows = "".join(f"{factor * x},{y}\n" for x, y in ((1, 3), (2, 5), (4, 4), (8, 9)))
        table(tmp_path / folder, f"x,y\n{rows}", "t.csv")
    paths = ",".join(str(tmp_path / folder / "t.csv") for folder in "ab")
    names = tables(paths, tmp_path, ["y"], TableFormat())
    assert len(names) == len(set(names.values())) == 2


def test_tables_of_one_name_are_told_apart_and_one_table_is_one(tmp_path: Path) -> None:
    contents = {"a": GOOD, "b": GOOD, "c": GOOD.replace("90", "91")}
    for folder, content in contents.items():
        (tmp_path / folder).mkdir()
        table(tmp_path / folder, content, "train.csv")
    paths = ",".join(str(tmp_path / folder / "train.csv") for folder in contents)
    (alone := tmp_path / "alone").mkdir()
    words = ["--steps", "10", "--target", "weight", "--problem"]
    train = str(tmp_path / "b" / "train.csv")
    done, again = ended(command(tmp_path, *words, paths), command(alone, *words, train))
    names = {row["problem"]: row["problem_hash"] for row in done.rows}
    assert len(names) == len(set(names.values())) == 2 and all(name.endswith("~train.csv") for name in names)
    assert again.rows[0]["problem"] == "train.csv" and again.rows[0]["problem_hash"] in names.values()

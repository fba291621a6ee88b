"""Implementations that forge their worker's answers, through the real command: a reason for each, and nothing else."""

import json
import math
import os
from pathlib import Path

import pytest
from helpers import Done, bench, command, ended, write

from benchmarks.campaign import options
from results.store import frame, schema
from results.store.frame import load_file
from results.store.seal import broken_seals

FORGER = """import math, sys
main = sys.modules["__main__"]
honest = main.answer
def answer(host, request):
    op = request["op"]
    a = honest(host, request)
    {change}
    return a
main.answer = answer
from impls.numpy_manual import prepare
"""
FORGED = {  # name: what becomes of an answer `a` to a request `op`, and the beginning of the reason
    "no_time": ("if op == 'round': a['seconds'] = 0.0", "its answer has an impossible seconds: 0.0"),
    "least_time": ("if op == 'round': a['seconds'] = 5e-324", "its answer has an impossible seconds: 5e-324"),
    "huge_time": ("if op == 'round': a['seconds'] = 10**400", "its answer has an impossible seconds: 1000"),
    "waits": ("if op == 'round': a['blocked_seconds'] = 9e8", "its clock counts more seconds than passed here"),
    "moves": ("if op == 'prepare': a['transfer_seconds'] = 60.0", "its clock counts more seconds than passed here"),
    "compiles": ("if op == 'round': a['compiles'] = 2**62", "its answer has an impossible compiles: 4611"),
    "fills": ("if op == 'finish': a['rss_bytes'] = 2**63 - 1", "its answer has an impossible rss_bytes: 9223"),
    "few_weights": ("if op == 'descend': a['weights'] = []", "its answer has an impossible weights: []"),
    "empty_rows": ("if op == 'descend': a['weights'] = [[], []]", "its answer has an impossible weights: [[], []]"),
    "ragged": ("if op == 'descend': a['weights'] = [[1.0], [2.0, 3.0]]", "its answer has an impossible weights: [["),
    "huge_weight": ("if op == 'descend': a['weights'] = [10**400]", "its answer has an impossible weights: [1000"),
    "rows": ("if op == 'round': a['weights'] = [a['weights']]", "its answer has weights of shape (1, 1), w0 (1,)"),
    "more": ("if op == 'round': a['weights'] *= 9", "its answer has weights of shape (9,), w0 (1,)"),
    "nan": ("if op == 'round': a['weights'] = [math.nan]", "wrong weights after"),
    "cores": ("if op == 'finish': a['cores'] = list(range(10**4))", "its answer has an impossible cores: [0, 1, 2"),
    "some_cores": ("if op == 'finish': a['cores'] = list(range(8000))", "it moved itself to the cores [0, 1, 2"),
    "pools": ("if op == 'finish': a['pools'] = {str(i): 1 for i in range(1000)}", "its answer has an impossible pools"),
    "surrogate": ("if op == 'finish': a['blas'] = '\\ud800'", "its answer has an impossible blas: "),
    "path": ("if op == 'source': a['helpers'] = {'../x.py': ''}", "its answer has an impossible helpers: "),
    "long": ("if op == 'source': a['text'] = 'x' * 10**7", "its answer is longer than 4,19"),
    "list": ("a = [] if op == 'round' else a", "exited with code 1: TypeError"),
    "raises": ("a = {'raised': [[1] * 10**5] * 10} if op == 'round' else a", "[[1, 1, 1, 1, 1, 1, ...]"),
    "deep": (
        "if op == 'round': a['compiles'] = eval('[' * 90 + ']' * 90)",
        "its answer has an impossible compiles: [[[",
    ),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """All of them in one run, an honest implementation last."""
    folder = tmp_path_factory.mktemp("forged")
    paths = [write(folder, name, FORGER.replace("{change}", change)) for name, (change, _) in FORGED.items()]
    done = bench(folder, "--impl", ",".join([*paths, "numpy_manual"]), "--in-order")
    assert "Traceback" not in done.out + done.err and "INTERNALERROR" not in done.out
    return done


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_answer_is_a_short_reason(name: str, done: Done) -> None:
    invalid = [row["reason"] for row in done.rows if row["impl"] == name and not row["valid"]]
    (reason,) = [*done.reasons(name).values(), *invalid]
    assert reason.startswith(FORGED[name][1]) and reason.isprintable() and len(reason) <= 1000
    assert max(map(len, done.out.splitlines())) < 2000


def test_the_others_are_timed_and_the_file_is_read(done: Done, tmp_path: Path) -> None:
    assert done.timed("numpy_manual") and done.json["campaign"]["interrupted"] is False
    (tmp_path / "out.json").write_text(json.dumps(done.json))
    rows = load_file(tmp_path / "out.json").rows.set_index("impl")
    assert rows.loc["numpy_manual", "valid"] and not rows["reason"].str.contains("edited").any()
    assert "NaN" not in json.dumps(done.json) and "Infinity" not in json.dumps(done.json)


def test_a_name_that_is_no_text_is_saved_as_it_will_be_read(tmp_path: Path) -> None:
    table = tmp_path / os.fsdecode(b"t\xff.csv")
    table.write_text("a,b,y\n1,2,3\n2,3,5\n3,5,9\n4,4,1\n")
    refused = bench(tmp_path, "--problem", str(table), "--target", "y")
    assert refused.code == 4 and "t\\udcff.csv': rename the file" in refused.err
    folder = tmp_path / os.fsdecode(b"f\xff")
    folder.mkdir()
    table = table.rename(folder / "t.csv")
    done = bench(tmp_path, "--problem", str(table), "--target", "y")
    assert [row["problem"] for row in done.rows] == ["t.csv"] and not any(broken_seals(done.json))


def test_an_implementation_has_a_name_that_can_be_saved(tmp_path: Path) -> None:
    names = [os.fsdecode(name) for name in (b"a\xff", b"e\x1b[31mx", b"a\nb", b"x" * 201)]
    for refused in ended(*(command(tmp_path, "--impl", write(tmp_path, name, "prepare = None")) for name in names)):
        assert refused.code == 4 and refused.err.count("\n") <= 2 and "rename the file" in refused.err
        assert "\x1b" not in refused.err


def test_the_limits_of_a_plan_are_the_readers() -> None:
    assert options.MAX_NAMES == schema.MAX_NAMES and options.MAX_NAME_CHARACTERS == frame.MAX_NAME_CHARACTERS
    assert math.log2(schema.MAX_NAMES * 2**53) < math.log2(2**64)

"""Modules beside an implementation that is given by path: saved with it, and held to be its code."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from helpers import Done, bench, write

from results.__main__ import main

IMPLEMENTATION = """
from gradients import gradient
from pkg.deep.sizes import size

def prepare(problem, device):
    def run(start, steps, /):
        from lengths import step  # only when it runs
        w = start.copy()
        for t in range(steps):
            w -= size * step(problem) * gradient(problem.X, problem.y, w)
        return w

    return run
"""
GRADIENTS = "def gradient(X, y, w):\n    r = X @ w - y\n    return (2 / r.size) * (X.T @ r)\n"
SIZES = "size = 1\n"
LENGTHS = "def step(problem):\n    return problem.lr\n"


def files(folder: Path) -> str:
    write(folder, "gradients", GRADIENTS)
    write(folder, "lengths", LENGTHS)
    write(folder, "unused", "")
    (folder / "lib/deep").mkdir(parents=True)
    write(folder / "lib/deep", "sizes", SIZES)
    if not (folder / "pkg").exists():
        (folder / "pkg").symlink_to("lib")  # its own folder all the same
    return write(folder, "mine", IMPLEMENTATION)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("helpers")
    return bench(folder, "--impl", f"{files(folder)},numpy_manual,jax_jit")


def test_their_text_is_saved(done: Done) -> None:
    sources = done.json["campaign"]["sources"]
    assert sources["mine"]["helpers"] == {
        "gradients.py": GRADIENTS,
        "lengths.py": LENGTHS,
        "pkg/deep/sizes.py": SIZES,
    }
    assert sources["numpy_manual"]["helpers"] == {}


def verified(folder: Path, document: dict[str, Any]) -> list[dict[str, str]]:
    (folder / "0001_a.json").write_text(json.dumps(document))
    with contextlib.redirect_stdout(io.StringIO()) as out:
        main(["verify", str(folder / "0001_a.json"), "--format", "json"])
    return list(json.loads(out.getvalue()))


def test_verify_tells_edited_text_and_changed_code(done: Done, tmp_path: Path) -> None:
    (row,) = verified(tmp_path, done.json)
    assert (row["seal"], row["code"]) == ("matches", "not in this repository: mine")
    document = json.loads(json.dumps(done.json))
    if "jax_jit" in document["campaign"]["sources"]:
        document["campaign"]["sources"]["jax_jit"]["helpers"]["_jax.py"] += "# other"
    document["campaign"]["sources"]["mine"]["helpers"]["gradients.py"] += "# other"
    (row,) = verified(tmp_path, document)
    assert row["seal"] == "edited by hand"
    assert ("code has changed: jax_jit" in row["code"]) == ("jax_jit" in document["campaign"]["sources"])


def test_a_run_is_not_resumed_with_another_helper(tmp_path: Path) -> None:
    files(tmp_path)
    kills = IMPLEMENTATION.replace(
        "    def run(", "    if len(problem.X) == 100: os.kill(os.getppid(), 9)\n    def run("
    )
    mine = write(tmp_path, "mine", f"import os\n{kills}")
    assert bench(tmp_path, "--impl", mine, "--problem", "scalar,line").code == -9
    write(tmp_path, "lengths", f"{LENGTHS}# edited\n")
    write(tmp_path / "lib/deep", "sizes", f"{SIZES}# edited\n")
    refused = bench(tmp_path, "--resume")
    assert refused.code == 4
    assert "--resume: lengths.py, sizes.py" in refused.out + refused.err

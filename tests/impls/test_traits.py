"""How implementations are written: every one declares it, rows save it, and comparisons show what differs."""

from pathlib import Path

import pytest
from helpers import ROOT, bench
from runs import rows, saved_cases, text

import impls
from impls.traits import TRAITS
from results.commands.compare import compare_implementations

AUTOGRAD = {"framework": "torch", "gradient": "autograd", "tuned": "as users write it"}


def test_every_implementation_of_the_folder_declares_its_traits() -> None:
    own = [name for name in impls.names() if (ROOT / "impls" / f"{name}.py").exists()]
    assert sorted(TRAITS) == own


def test_a_row_saves_the_traits_and_a_file_of_a_user_has_none(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text((ROOT / "impls" / "numpy_manual.py").read_text())
    done = bench(tmp_path, "--impl", f"numpy_blocked,{mine}")
    saved = {row["impl"]: [row["gradient"], row["style"], row["tuned"]] for row in done.rows}
    assert saved == {"numpy_blocked": ["by hand", "eager", "expert-tuned"], "mine": ["", "", ""]}


@pytest.mark.parametrize(
    ("other", "note"),
    [
        ({"gradient": "autograd", "style": "compiled"}, "differ in 1 way: style: eager in A, compiled in B."),
        (
            {"gradient": "by hand", "style": "compiled"},
            "differ in 2 ways: gradient: autograd in A, by hand in B; style",
        ),
        ({"gradient": "autograd", "style": "eager"}, ""),
        ({"gradient": None, "style": None}, ""),
    ],
)
def test_compare_says_in_how_many_ways_two_implementations_differ(
    other: dict[str, str], note: str, tmp_path: Path
) -> None:
    cases = [rows("torch_a", **AUTOGRAD, style="eager"), rows("torch_b", **AUTOGRAD | other)]
    run = saved_cases(tmp_path, "box-a", *cases)
    out = text(compare_implementations([run], "torch_a", "torch_b"))
    assert note in out and ("A and B differ" in out) == bool(note)
    assert ("joint effect" in out) == ("2 ways" in note)


def test_compare_names_an_implementation_that_differs_in_one_way(tmp_path: Path) -> None:
    other = AUTOGRAD | {"gradient": "by hand"}
    cases = [rows("torch_a", **AUTOGRAD, style="eager"), rows("torch_b", **other, style="compiled")]
    cases += [rows("torch_c", **other, style="eager")]
    run = saved_cases(tmp_path, "box-a", *cases)
    command = f"compare torch_a torch_c --run {run.path}"
    assert command in text(compare_implementations([run], "torch_a", "torch_b"))
    assert command not in text(compare_implementations([run], "torch_a", "torch_c"))

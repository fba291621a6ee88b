"""List the implementations, each in a sentence and by its traits, and the problems: two Markdown tables."""

import ast
from collections.abc import Iterator

import impls
from benchmarks.problems.catalogue import CATALOGUE
from impls.traits import traits


def lines() -> Iterator[str]:
    """Yield the lines of both tables."""
    yield from _table([_implementation(name) for name in impls.names()])
    yield ""
    steps = {name: f"{entry.steps[0]:,}" if entry.steps else "by size" for name, entry in CATALOGUE.items()}
    yield from _table([{"problem": f"`{name}`", "data": CATALOGUE[name].about, "steps": steps[name]} for name in steps])


def _implementation(name: str) -> dict[str, str]:
    """Return its name, its traits and the first sentence of its file."""
    file = impls.file(name)
    text = ast.get_docstring(ast.parse(file.read_text("utf-8"))) if file.is_file() else None
    return {"implementation": f"`{name}`", **traits(name), "what it is": (text or "").partition("\n")[0]}


def _table(rows: list[dict[str, str]]) -> Iterator[str]:
    """Yield a Markdown table with aligned columns, which a terminal shows as well."""
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        yield f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"

"""Say in which traits two implementations differ: a ratio measures the effect of all of them together."""

import pandas as pd

TRAITS = ["framework", "gradient", "style", "tuned"]


def trait_notes(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """Return a line on the traits that differ between two implementations, given their rows; [] if none is known to."""
    values = {name: [", ".join(sorted(set(rows[name].dropna()))) for rows in (a, b)] for name in TRAITS}
    differing = [f"{name}: {x} in A, {y} in B" for name, (x, y) in values.items() if x and y and x != y]
    if not differing:
        return []
    together = " The ratio is their joint effect; compare implementations that differ in one." if differing[1:] else ""
    count = f"{len(differing)} way{'s' * (len(differing) > 1)}"
    return [f"A and B differ in {count}: {'; '.join(differing)}.{together}"]

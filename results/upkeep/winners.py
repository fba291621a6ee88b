"""Draw the picture of the README: the fastest framework at each size, from the verdicts of one run.

usage: python -m results.upkeep.winners RUN STEM; writes STEM-light.svg and STEM-dark.svg.
"""

import sys
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from results.commands.options import BASELINE
from results.output import records
from results.page.charts import INK, theme
from results.page.data import make_payload
from results.stats.signed_rank import FASTER
from results.store.atomic import atomic_write
from results.store.reading import Run
from results.store.runs import ROOT, find

NAMES = {"numpy": "NumPy", "torch": "torch", "jax": "JAX", "numba": "Numba", "tensorflow": "TensorFlow"}
CELL = 132, 74  # points


def winners(run: Run) -> pd.DataFrame:
    """Return one row per problem: `rows`, `features`, `fastest` (a framework, or "" if undecided), `text`, `detail`.

    A framework is a candidate if no implementation is significantly faster than one of its own.
    """
    tables = make_payload([run], BASELINE)
    sizes = {row["problem"]: (int(row["n"]), int(row["d"])) for row in records(tables.cases)}
    rows = []
    for problem, pairs in tables.speedups.groupby("problem"):
        slower = set(pairs.loc[pairs["verdict"] == FASTER, "baseline"])
        candidates = pairs[(pairs["baseline"] == BASELINE) & ~pairs["impl"].isin(slower)]
        candidates = candidates.sort_values("speedup", ascending=False)
        frameworks = list(dict.fromkeys(NAMES.get(name, name) for name in candidates["framework"]))
        first = candidates.iloc[0]
        if len(frameworks) > 1:
            detail = "no difference shown"
        elif first["impl"] == BASELINE:
            detail = first["impl"]
        else:
            detail = f"{first['impl']}, {first['speedup']:.1f}x faster"
        rows.append(
            {
                "rows": sizes[str(problem)][0],
                "features": sizes[str(problem)][1],
                "fastest": frameworks[0] if len(frameworks) == 1 else "",
                "text": " or ".join(frameworks),
                "detail": detail,
            }
        )
    return pd.DataFrame(rows).sort_values(["features", "rows"], ignore_index=True)


def chart(table: pd.DataFrame, run: Run) -> dict[str, Any]:
    """Return a map of rows x features, coloured by framework, pale if undecided."""
    bands = alt.Scale(paddingInner=0.04)
    rows_axis = alt.Axis(labelAngle=0, format=",", domain=False, ticks=False)
    features_axis = alt.Axis(domain=False, ticks=False)
    base = alt.Chart(table).encode(
        x=alt.X("rows:O", title="rows of X", scale=bands, axis=rows_axis),
        y=alt.Y("features:O", title="features", sort="descending", scale=bands, axis=features_axis),
    )
    colour = alt.condition("datum.fastest == ''", alt.value("#9aa4b2"), alt.Color("fastest:N", legend=None))
    opacity = alt.condition("datum.fastest == ''", alt.value(0.25), alt.value(0.55))
    cells = base.mark_rect(cornerRadius=6, strokeWidth=4, stroke="#808890", strokeOpacity=0).encode(
        color=colour, opacity=opacity
    )
    names = base.mark_text(dy=-8, fontSize=14, fontWeight="bold").encode(text="text:N")
    details = base.mark_text(dy=12, fontSize=11).encode(text="detail:N")
    title = f"Fastest full-batch step in float32: {run.machine}, {run.date}"
    width, height = CELL[0] * table["rows"].nunique(), CELL[1] * table["features"].nunique()
    return dict((cells + names + details).properties(width=width, height=height, title=title).to_dict())


def main(arguments: list[str]) -> int:
    """Draw the picture for the light and the dark theme."""
    run, stem = find(arguments[0], ROOT), Path(arguments[1])
    spec = chart(winners(run), run)
    spec.pop("config", None)
    for name in ("light", "dark"):
        title = {"color": INK[name][0], "fontWeight": "normal", "anchor": "start"}
        config = theme(name) | {"title": title, "view": {"stroke": None}}
        atomic_write(stem.with_name(f"{stem.name}-{name}.svg"), vl_convert.vegalite_to_svg(spec, config=config))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Show the noise of a run: its A/A pair case by case, the system load of its blocks, and how to reduce noise."""

import math
from argparse import Namespace
from dataclasses import asdict
from typing import Any

import pandas as pd

from results import options
from results.commands.report import default_baseline
from results.output import Page, Section, digits, records, seconds, with_rows, words
from results.stats.noise import EFFECT, count_different, judge_duplicates, noise_line, percent, power_by_impl
from results.stats.noise_now import measure_noise
from results.stats.quiet_or_busy import BUSY, OTHERS_SHARE, judge_machine
from results.stats.signed_rank import ALPHA
from results.stats.verdict_tables import interval_text, ratio_digits, refused_sections
from results.stats.verdicts import fewest_decisive
from results.store.columns import CASE
from results.store.reading import Run, items, mapping, number, require_own, sequence, text
from results.store.runs import find

INTERFERENCE_RATIO = 1.2  # of slow to fast calibration loops, above which other processes use these cores
FIVE_MINUTES_S = 300
OTHERS_NOTE = (
    "others: share of the CPU time that other programs used in the block. A run is BUSY if its average over the run is"
    f" above {100 * OTHERS_SHARE:.0f} %."
)
SCHEDULE_NOTE = (
    "decided before: comparisons decided before the block, of all. left out: cases that the block did not measure,"
    " decided or too long for the minutes left."
)
REST = "The rest: starts of processes with imports, problems, references and checks."
LEGEND = [
    "Detectable: the smallest effect that so many blocks detect in 4 of 5 runs, for a single comparison and for all"
    " problems of two implementations, as `compare A B` judges them.",
    f"Blocks for {EFFECT:.0%}: how many may detect an effect of that size in `compare A B`, in 4 of 5 runs.",
    "Other implementations have other noise: the next table.",
    "Spread: robust standard deviation of the log ratios of the paired blocks. It ignores a few outlying blocks. The"
    " interval includes them, and holds for all rows together, so it can be much wider.",
]


def noise(run: Run) -> Page:
    """Show each case of the A/A pair, advice, and the system load of each block. Raises RunError for a foreign file."""
    require_own(run)
    table = judge_duplicates(run)
    compared = table[table["refused"] == ""]
    summary = noise_line(run)
    if len(compared):
        sentences = [
            f"The same code twice ({impl} and {duplicate}), {rows['blocks'].max()} blocks:"
            f" {count_different(list(rows['verdict']))}."
            for (impl, duplicate), rows in compared.groupby(["impl", "again"])
        ]
        summary = " ".join([*sentences, f"Up to {ALPHA:.0%} of runs call equal code different by chance."])
    inside, wall = number(run.campaign.get("runs_s")), number(run.campaign.get("wall_s"))
    is_recorded = math.isfinite(inside) and wall > 0
    share = [f"Inside the workers: {inside / wall:.0%} of {seconds(wall)}. {REST}"] if is_recorded else []
    schedule = {words(entry.get("block")): entry for entry in sequence(run.campaign.get("schedule"))}
    load = [_load_cells(entry, schedule) for entry in sequence(run.campaign.get("system_load"))]
    load_notes = [OTHERS_NOTE, *[SCHEDULE_NOTE] * bool(schedule)]
    sections = [
        Section(f"Noise of {run.label}", summary, notes=share, machine=judge_machine(run).line),
        *with_rows(Section(table=[_cells(row) for row in records(compared)], notes=LEGEND)),
        *(refused_sections(table[table["refused"] != ""], CASE[1:]) if len(table) else []),
        *with_rows(_power_section(run)),
        Section("Advice", notes=advice(run, compared), level=3),
        *with_rows(Section("System load of the blocks", table=load, notes=load_notes, level=3)),
    ]
    return Page(table, sections)


def noise_now(duration_s: float) -> Page:
    """Measure this machine's noise, and show how many blocks and minutes detect each difference."""
    now = measure_noise(duration_s)
    least_shown = now.quiet.claims_from - 1
    table = []
    for effect, blocks in now.blocks.items():
        blocks_text, minutes = "more than 1,000" if effect >= least_shown else "not while busy", "-"
        if blocks is not None and effect >= least_shown:
            blocks_text, minutes = str(blocks), digits(blocks * now.pair_s / 60)
        table.append({"difference": f"{effect:.0%}", "blocks": blocks_text, "minutes": minutes})
    notes = [
        f"One after the other, two processes differ by {percent(now.near)}; {seconds(now.apart_s)} apart, by"
        f" {percent(now.apart)}. The larger one counts: in a block, some processes are so far apart.",
        f"A block here is a pair of short NumPy processes: {seconds(now.pair_s)}. A campaign of many implementations"
        " needs as many blocks, and longer ones.",
        "Found in 4 of 5 runs, for a single comparison.",
    ]
    few = [effect for effect, blocks in now.blocks.items() if blocks and blocks * now.pair_s <= FIVE_MINUTES_S]
    detectable = [effect for effect in few if effect >= least_shown]
    least = f"differences from {min(detectable):.0%} on" if detectable else "no difference, not even twice the time"
    notes = [f"Five minutes with two implementations on one small problem show {least}.", *notes]
    if now.quiet.word == BUSY:
        notes = ["These numbers hold for the busy machine, and may change with its load.", *notes]
    title = f"Noise now: {now.pairs} pairs of the same code"
    data = pd.DataFrame([asdict(now.quiet) | {"word": now.quiet.word, "pairs": now.pairs}])
    return Page(data, [Section(title, table=table, notes=notes, machine=now.quiet.line)])


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        **{name: words(row[name]) for name in CASE},
        "duplicate/original": ratio_digits(row["ratio"]),
        "interval": interval_text(row),
        "verdict": row["verdict"],
        "spread": percent(row["spread"]),
        "detectable (single)": percent(row["alone"] - 1),
        "detectable (compare)": percent(row["in_compare"] - 1),
        f"blocks for {EFFECT:.0%}": words(row["wanted"]),
    }


def _power_section(run: Run) -> Section:
    """Show the difference to the baseline that the run can detect, by implementation."""
    baseline = default_baseline([run])
    table = [
        {"implementation": row["impl"], "cases": words(row["cases"]), "blocks": words(row["blocks"])}
        | {"spread": percent(row["spread"]), "detectable (single)": percent(row["alone"] - 1)}
        | {"detectable (compare)": percent(row["smallest"] - 1)}
        for row in records(power_by_impl(run, baseline))
    ]
    notes = [f"Ratios to {baseline}; medians over the cases."]
    return Section("Noise by implementation", table=table, notes=notes, level=3)


def _load_cells(entry: dict[str, Any], schedule: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return the cells of a block. schedule: of --until-decided, by block; empty for other runs."""
    block = words(entry.get("block"))
    scheduled = {"decided before": "-", "left out": "-"} if schedule else {}
    if look := schedule.get(block):
        decided, comparisons = words(look.get("decided")), words(look.get("comparisons"))
        scheduled = {
            "decided before": f"{decided} of {comparisons}",
            "left out": str(len(items(look.get("left_out")))),
        }
    return {
        "block": block,
        "took": seconds(number(entry.get("seconds"))),
        **scheduled,
        "others": percent(number(entry.get("others"))),
        "load before": digits(number(entry.get("load_before"))),
        "load after": digits(number(entry.get("load_after"))),
        "steal": percent(number(entry.get("steal"))),
        "throttled periods": words(entry.get("throttled")),
        "GPU throttled": words(entry.get("gpu_throttled")),
    }


def advice(run: Run, compared: pd.DataFrame) -> list[str]:
    """Return how to reduce noise. `compared`: the comparable cases of `judge_duplicates`."""
    return [*_block_advice(run, compared), *_machine_advice(run)] or ["Nothing stands out."]


def _block_advice(run: Run, compared: pd.DataFrame) -> list[str]:
    no_pair = [] if len(compared) else ["Without an A/A pair, false alarms cannot be counted: run with --aa."]
    if run.rows["block"].nunique(dropna=False) == 1:
        fewest = fewest_decisive(max(len(compared), 1), max(len(compared), 1))
        return [*no_pair, f"One block shows no noise between processes: verdicts need at least --blocks {fewest}."]
    too_few = compared if compared.empty else compared[~(compared["wanted"] <= compared["blocks"])]
    if too_few.empty:
        return no_pair
    if too_few["wanted"].isna().any():
        remedy = "not even 1000 blocks would be enough for all of them; use a quieter machine"
    else:
        remedy = f"--blocks {too_few['wanted'].max():.0f} finds it with a probability of 80 %"
    return [f"Too few blocks to detect an effect of {EFFECT:.0%} in {len(too_few)} of {len(compared)} cases: {remedy}."]


def _machine_advice(run: Run) -> list[str]:
    load, info = sequence(run.campaign.get("system_load")), mapping(run.document["machine_info"])
    cores, governor = number(info.get("cores")), text(info.get("governor"))
    unknown = math.isnan(judge_machine(run).others)  # else the CPU time of others during the run counts
    busy = _blocks_above(load[:1], "load_before", cores / 3) if unknown else ""
    stolen = _blocks_above(load, "steal", 0.01)
    stopped = _blocks_above(load, "throttled", 0)
    throttled = ", ".join(dict.fromkeys(filter(None, (text(entry.get("gpu_throttled")) for entry in load))))
    loops = run.rows.loc[run.rows["calibration_s"] > 0, "calibration_s"]
    slowdown = loops.quantile(0.9) / loops.quantile(0.1)
    lines = {
        f"Interference: calibration loops took up to {slowdown:.1f} times as long as others (90th by 10th percentile)."
        " It may slow one side of a ratio more than the other; unshared cores need fewer blocks.": slowdown
        > INTERFERENCE_RATIO,
        f"Load above a third of the {words(cores)} cores before {busy}: stop other programs.": busy,
        f"More than 1% of the CPU time stolen in {stolen}: use a machine that is not shared.": stolen,
        f"Stopped by a cgroup quota in {stopped}: raise the quota, or use fewer --threads.": stopped,
        f"The GPU was throttled ({throttled}): cool it, or limit its clock.": throttled,
        f"The governor is {governor}: use performance for a steady clock.": governor not in ("", "performance"),
        "The run was interrupted and lacks blocks: resume or repeat it.": run.campaign.get("interrupted"),
    }
    return [line for line, applies in lines.items() if applies]


def _blocks_above(load: list[dict[str, Any]], name: str, limit: float) -> str:
    """Return the blocks whose value of `name` is above the limit, with the largest value, or ""."""
    values = {words(entry.get("block")): number(entry.get(name)) for entry in load}
    above = {block: value for block, value in values.items() if value > limit}
    return f"block {', '.join(above)} (up to {max(above.values()):.3g})" if above else ""


def _noise(args: Namespace) -> Page:
    return noise_now(args.seconds) if args.now else noise(options.selected(find(args.run, args.runs), args))


def add_commands(commands: options.Commands) -> None:
    command = options.add(
        commands, "noise", _noise, "show a run's noise and the false alarms of its A/A control, with advice"
    )
    add = command.add_argument
    add("run", metavar="RUN", nargs="?", default="latest", help="the run to show (default: latest)")
    add("--now", action="store_true", help="measure this machine now; needs no run")
    add("--seconds", type=options.positive, default=60, metavar="S", help="duration of --now in seconds (default: 60)")
    options.add_filters(command, CASE[1:])

"""The fault matrix: every fault at every point where it can strike, each in a run of its own, and what came of it.

python tests/endurance/faults.py --out results/endurance/faults.md: exit status 1 unless all is as it must be.
What failed is kept in build/faults.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import indent

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from aftermath import NO_SEARCH, QUICKER, alone, cases, compared, setting, short, torn
from faulty import wait_until
from helpers import ROOT, Done, command, environment, saved
from reporting import FILES, PLACES, reported
from strikes import DISK, PARENT, PAUSE, VICTIM, WORKER, Fault, Struck, humble

POINTS = {"b": "before a case", "d": "during a case", "a": "after a case", "s": "while saving", "r": "while reporting"}
GROUPS = {"The implementation, in its process": WORKER, "pytest": PARENT, "Disk": DISK}
GROUPS |= {"A saved file": FILES, "The report": PLACES}
KEPT = ROOT / "build" / "faults"
PROBLEMS = ("line", "scalar", "crops")
OLD = {"kept": "as it was"}  # what was saved before
LIMIT = 300  # seconds that a run may take


def cell(fault: Fault, point: str, folder: Path) -> list[str]:
    """Strike a campaign of three cases in its second; all that does not hold afterwards, in words."""
    with scene_of(fault, folder) as scene:
        if point == "r":
            return reported(scene, fault)
        struck = run(scene, fault, point)
        found = right_end(fault, point, struck)
        if waiting := [one for one in scene.others if one.wait(LIMIT)]:
            found += [f"what ran beside it ended with {one.returncode}" for one in waiting if one.returncode != 4]
        found += torn(*(place for place in (scene.folder, scene.storage) if place.is_dir()))
        done, again = struck, ""
        if scene.journals or struck.code not in (0, 1):
            fault.repair(scene)
            done, again = resumed(scene), "resumed: "
            found += [f"{again}exit {done.code}: {last(done)}"] * (done.code not in (0, 1))
        found += whole(scene, fault, done)
        found += [f"{again}{words}" for words in scene.litter()]
        older = scene.saved / "0001_older.json"
        if fault.name != "folder of runs deleted" and older.read_text() != json.dumps(OLD):
            found.append("an older file is not what it was")
        scene.clean()
        return found


@contextmanager
def scene_of(fault: Fault, folder: Path) -> Iterator[Struck]:
    """A fresh folder with an older run in it; where the fault asks for it, on a small disk."""
    shutil.rmtree(folder, ignore_errors=True)
    scene = Struck(folder)
    try:
        if fault.small:
            scene.disk = scene.storage
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(scene.disk)], check=True)
        scene.saved.mkdir(parents=True)
        (scene.saved / "0001_older.json").write_text(json.dumps(OLD))
        yield scene
    finally:
        for one in (*scene.others, *([scene.process] if scene.process else [])):
            one.kill()
            one.wait()
        if scene.disk:
            subprocess.run(["umount", "-l", str(scene.disk)], check=True)


def run(scene: Struck, fault: Fault, point: str) -> Done:
    """The campaign, struck at that point."""
    code = PAUSE if fault.strike else fault.code or "pass"
    text = VICTIM.format(point=POINTS[point].split()[0], code=indent(code, "    "), returns="return" in code)
    (scene.folder / "victim.py").write_text(text)
    moment = {"b": "before", "a": "after", "s": fault.saving}.get(point, "") if fault.strike or point in "as" else ""
    scene.process = start(scene, ["--benchmark-save=x", *fault.options, *planned(scene)], moment, fault.fact)
    try:
        if fault.strike or moment:
            at = [scene.folder / "reached", *([] if fault.strike else [scene.folder / "struck"])]
            wait_until(lambda: all(path.exists() for path in at) or scene.process.poll() is not None)
            if fault.strike:
                fault.strike(scene)
            time.sleep(0.3)
            (scene.folder / "go").touch()
        return ended(scene)
    finally:
        scene.process.kill()


def planned(scene: Struck) -> list[str]:
    """What is to be measured: three problems, one thread."""
    victim = str(scene.folder / "victim.py")
    return ["--impl", victim, "--problem", ",".join(PROBLEMS), "--threads", "1"]


def start(scene: Struck, options: list[str], moment: str, fact: str = "") -> "subprocess.Popen[str]":
    """`pytest benchmarks` that pauses at that moment."""
    env = environment(
        TMPDIR=str(scene.tmp),
        PYTHONPATH=str(ROOT / "tests" / "endurance"),
        FAULTS_FOLDER=str(scene.folder),
        FAULTS_AT=moment,
        FAULTS_FACT=fact,
        **NO_SEARCH,
    )
    words = humble([*command(scene.folder, *options), *QUICKER, "-p", "moments"])
    with (scene.folder / "stderr").open("a") as stderr:
        return subprocess.Popen(
            words,
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
            start_new_session=True,
        )


def ended(scene: Struck) -> Done:
    """How it ended."""
    assert scene.process is not None
    out = ""
    if scene.process.stdout and not scene.process.stdout.closed:
        try:
            out, _ = scene.process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            scene.process.kill()
            out = f"still running after {LIMIT} seconds\n"
    code = scene.process.wait(LIMIT)
    with (scene.folder / "said").open("a") as said:
        said.write(out)
    return Done(code, out, (scene.folder / "stderr").read_text(errors="replace"), saved(scene.out))


def resumed(scene: Struck) -> Done:
    """The campaign, taken up again and left alone."""
    scene.process = start(scene, ["--resume", "--benchmark-save=x"], "")
    return ended(scene)


def right_end(fault: Fault, point: str, done: Done) -> list[str]:
    """What is wrong with an exit status and a reason."""
    refused = {row["problem"]: row["reason"] for row in done.json.get("campaign", {}).get("refused", [])}
    invalid = any(not row["valid"] for row in done.rows)
    right = fault.exits.get(point, {int(bool(refused or invalid))})
    found = [f"exit {done.code}, not {' or '.join(map(str, sorted(right)))}: {last(done)}"] * (done.code not in right)
    if fault.reason and point in "bd" and not re.search(fault.reason, refused.get("scalar", "")):
        found.append(f"its reason is {refused.get('scalar')!r}")
    if not fault.reason and not fault.strike and refused:
        found.append(f"refused: {refused}")
    return found


def whole(scene: Struck, fault: Fault, done: Done) -> list[str]:
    """What is wrong with the saved run: every case once, with the rounds that were witnessed."""
    if not done.json:
        return ["nothing was saved"]
    try:
        found = cases(done.json)
    except ValueError as error:
        return [str(error)]
    plan = {f"victim-cpu-{problem}-float32-0" for problem in PROBLEMS}
    wrong = [f"no {one}" for one in sorted(plan - {short(name) for name in found})]
    return wrong + compared(found, witnessed(scene, latest=fault.again))


def witnessed(scene: Struck, latest: bool) -> dict[str, list[float]]:
    """What has finished, by the plugin's own notes: the rounds that a case had first, or had last."""
    told: dict[str, list[float]] = {}
    for line in (scene.folder / "witness").read_text().splitlines():
        name, rounds = json.loads(line)
        told[name] = rounds if latest else told.get(name, rounds)
    return told


def last(done: Done) -> str:
    """The last line that it said."""
    lines = f"{done.out}\n{done.err}".strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"


def named(fault: Fault, point: str) -> str:
    """A cell in words."""
    return f"{fault.name}, {POINTS[point]}"


def tried(job: tuple[Fault, str], kept: Path) -> list[str]:
    """What a cell has found; its folder is kept if that is anything."""
    fault, point = job
    folder = kept / f"{re.sub(r'[^a-z0-9]+', '-', fault.name.lower()).strip('-')}-{point}"
    try:
        found = cell(fault, point, folder)
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        found = [f"{type(error).__name__}: {error}"]
    if not found:
        shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(f"{named(fault, point)}: {'; '.join(found) or 'ok'}\n")
    sys.stdout.flush()
    return found


def table(found: dict[tuple[Fault, str], list[str]]) -> Iterator[str]:
    """The matrix in Markdown."""
    for title, faults in GROUPS.items():
        rows = [fault for fault in faults if any(one is fault for one, _ in found)]
        if not rows:
            continue
        yield f"| {title} | {' | '.join(POINTS.values())} |"
        yield f"| --- |{' --- |' * len(POINTS)}"
        for fault in rows:
            cells = ["; ".join(found[fault, at]) or "ok" if (fault, at) in found else "-" for at in POINTS]
            yield f"| {' | '.join(one.replace('|', '/') for one in (fault.name, *cells))} |"
        yield ""


def main() -> int:
    """All cells, or some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="cells that match, as 'SIGKILL, while saving'")
    parser.add_argument("--folder", type=Path, default=KEPT, help="where they take place (default: build)")
    parser.add_argument("--out", type=Path, help="where the table goes")
    options = parser.parse_args()
    alone()
    every = [(fault, point) for group in GROUPS.values() for fault in group for point in fault.points]
    jobs = [job for job in every if re.search(options.only, named(*job))]
    faults = {fault for fault, _ in jobs}
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(jobs, pool.map(partial(tried, kept=options.folder.absolute()), jobs), strict=True))
    bad = sum(map(bool, found.values()))
    said = f"{len(faults)} faults, {len(jobs)} runs struck: {len(jobs) - bad} ok, {bad} not."
    lines = ["# Faults", "", said, "", *table(found), setting("make faults", time.monotonic() - began), ""]
    sys.stdout.write(f"{said}\n")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text("\n".join(lines))
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

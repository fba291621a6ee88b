"""Kill a campaign at random moments, resume it each time until it ends, begin another, until there were enough kills.

python tests/endurance/kills.py --kills 200 --out results/endurance/kills.md: exit status 1 if anything was lost, twice
or torn.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from aftermath import NO_SEARCH, QUICKER, Scene, alone, cases, compared, setting, short, torn
from helpers import ROOT, command, environment, saved

FOLDER = ROOT / "build" / "kills"
PROBLEMS = ("line", "scalar", "crops")
LONGEST = 600.0  # seconds that an undisturbed campaign may take
TOO_MANY = 20  # mistakes after which it ends
EVERY = 5  # each fifth kill waits for a file that is being saved


@dataclass
class Tally:
    """What came of it: kills by what was going on, campaigns and cases, and what must not be."""

    blocks: int = 3
    kills: Counter[str] = field(default_factory=Counter)
    campaigns: int = 0
    resumed: int = 0
    cases: int = 0
    files: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def options(self) -> list[str]:
        """Of a campaign."""
        problems = ",".join(PROBLEMS)
        return ["--impl", "numpy_manual", "--problem", problems, "--blocks", str(self.blocks), "--threads", "1"]

    @property
    def plan(self) -> set[str]:
        """The cases of a campaign."""
        blocks = range(self.blocks)
        return {f"numpy_manual-cpu-{problem}-float32-{block}" for problem, block in product(PROBLEMS, blocks)}

    @property
    def bad(self) -> list[str]:
        """All that must not be."""
        return [*self.lost, *self.twice, *self.torn, *self.left]


def many(kills: int, blocks: int, seed: int, folder: Path) -> Tally:
    """Campaign after campaign in one storage, until so many kills."""
    shutil.rmtree(folder, ignore_errors=True)
    scene, tally, rng = Scene(folder), Tally(blocks), random.Random(seed)
    whole_s = LONGEST
    while tally.kills.total() < kills and len(tally.bad) < TOO_MANY:
        if tally.campaigns == 0:  # one that nobody disturbs says how long it takes
            began = time.monotonic()
            started(scene, tally.options).wait(LONGEST)
            whole_s = time.monotonic() - began
            judge(scene, tally, {})
            continue
        campaign(scene, tally, rng, kills, whole_s)
    return tally


def campaign(scene: Scene, tally: Tally, rng: random.Random, kills: int, whole_s: float) -> None:
    """One campaign, killed until it ends by itself; when there were enough kills it is left alone."""
    known: dict[str, list[float]] = {}
    older = {path: path.read_bytes() for path in scene.storage.rglob("*.json")}
    resume = False
    while True:
        process = started(scene, ["--resume"] if resume else tally.options)
        wait = (lambda: whole_s * rng.random()) if tally.kills.total() % EVERY else (lambda: None)
        ended = tally.kills.total() >= kills or not struck(scene, process, wait(), tally)
        if ended and (code := process.wait(LONGEST)) not in (0, 1):
            tally.lost.append(f"exit {code}")
        tally.left += [f"process {pid} lives on" for pid in scene.processes(1.0)]
        tally.torn += torn(scene.folder)
        tally.lost += [f"{path.name} was changed" for path, was in older.items() if path.read_bytes() != was]
        found = scene.kept()
        if ended or (not scene.journals and is_saved(scene, older)):
            break
        tally.lost += compared(found, known)
        known |= found
        resume = bool(scene.journals)
        tally.resumed += resume
    judge(scene, tally, known)
    tally.left += scene.litter() if ended else []  # of the last kill, by the next run


def started(scene: Scene, options: list[str]) -> "subprocess.Popen[bytes]":
    """The campaign, begun or taken up again."""
    words = [*command(scene.folder, "--benchmark-save=kills", *options), *QUICKER]
    with (scene.folder / "said").open("ab") as said:
        env = environment(TMPDIR=str(scene.tmp), **NO_SEARCH)
        return subprocess.Popen(words, cwd=ROOT, env=env, stdout=said, stderr=said)


def struck(scene: Scene, process: "subprocess.Popen[bytes]", wait: float | None, tally: Tally) -> bool:
    """Kill it after so many seconds, or when it saves; False if it has ended before."""
    if wait is None:
        while not half(scene) and process.poll() is None:
            time.sleep(0.0002 if scene.finished() == len(tally.plan) else 0.01)  # a file is saved after the last
    else:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait)
    if process.poll() is not None:
        return False
    process.send_signal(signal.SIGSTOP)  # so that what is seen is what is killed
    doing = done_by(scene, process.pid)
    process.kill()
    process.wait()
    tally.kills[doing] += 1
    return True


def half(scene: Scene) -> bool:
    """Whether a file is being saved."""
    folders = [scene.folder, *(path for path in scene.storage.iterdir() if path.is_dir())]
    return any(entry.name.endswith(".tmp") for folder in folders for entry in os.scandir(folder))


def done_by(scene: Scene, pid: int) -> str:
    """What a process is about, by what there is."""
    if half(scene):
        return "saving"
    if any(path.read_bytes().rpartition(b"\n")[2].strip(b"\0") for path in scene.journals):
        return "writing the journal"
    if not (scene.tmp / "descentbench.lock").exists():
        return "starting or ending"
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return "measuring" if children else "between two workers, or after the last"


def is_saved(scene: Scene, older: dict[Path, bytes]) -> bool:
    """Whether there is a saved run that was not there before."""
    return any(path not in older for path in scene.storage.rglob("*.json"))


def judge(scene: Scene, tally: Tally, known: dict[str, list[float]]) -> None:
    """A campaign that has ended: every case once, with the rounds that its journal had; nothing left."""
    tally.campaigns += 1
    try:
        found = cases(saved(scene.out))
    except (KeyError, ValueError) as error:
        tally.twice.append(str(error))
        return
    newest = max(scene.storage.rglob("*.json"), key=lambda path: path.name)
    tally.lost += [f"{newest.name} differs"] * (cases(saved(newest)) != found)
    tally.lost += [f"no {one}" for one in tally.plan - {short(name) for name in found}] + compared(found, known)
    tally.twice += [f"not planned: {short(name)}" for name in found if short(name) not in tally.plan]
    tally.cases += len(found)
    tally.files = sum(1 for _ in scene.storage.rglob("*.json"))
    tally.left += [path.name for path in scene.journals]


def table(tally: Tally, command: str, seconds: float) -> str:
    """In Markdown."""
    rows = {f"kills: {doing}": count for doing, count in sorted(tally.kills.items())}
    rows |= {"kills in all": tally.kills.total(), "campaigns": tally.campaigns, "times resumed": tally.resumed}
    rows |= {
        "saved files": tally.files,
        "cases of the campaigns": tally.cases,
        "cases lost or changed": len(tally.lost),
    }
    rows |= {"cases twice": len(tally.twice), "torn files": len(tally.torn), "left behind": len(tally.left)}
    lines = [f"| {name} | {count:,} |" for name, count in rows.items()]
    bad = [f"- {words}" for words in tally.bad]
    return "\n".join(["# Kills", "", "| | |", "| --- | ---: |", *lines, "", *bad, setting(command, seconds), ""])


def main() -> int:
    """Kill, resume, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--blocks", type=int, default=3, help="of a campaign (default: 3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it takes place (default: build)")
    parser.add_argument("--out", type=Path, help="where the table goes")
    options = parser.parse_args()
    alone()
    began = time.monotonic()
    tally = many(options.kills, options.blocks, options.seed, options.folder.absolute())
    words = f"python tests/endurance/kills.py --kills {options.kills} --seed {options.seed}"
    told = table(tally, words, time.monotonic() - began)
    sys.stdout.write(told)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(told)
    return int(bool(tally.bad))


if __name__ == "__main__":
    sys.exit(main())

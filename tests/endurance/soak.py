"""Many cases in one process, timed, refused and skipped ones in turn; its memory and descriptors, seen from outside.

python tests/endurance/soak.py --cases 1000 --out results/endurance/soak.md: exit status 1 if memory grows by 20 MB
or descriptors grow between the first tenth and the end.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from aftermath import NO_SEARCH, QUICKER, Scene, alone, setting
from helpers import HONEST, ROOT, command, environment, saved, write

FOLDER = ROOT / "build" / "soak"
MOST, SWING = 20e6, 4  # bytes that the process may grow by, descriptors that it may have open for a moment
PROBLEMS = ("line", "scalar", "crops")
KINDS = 3  # implementations: one that is timed, one that is wrong, one that cannot run
CANNOT = "from impls.interface import Unsupported\ndef prepare(problem, device):\n    raise Unsupported('not here')\n"


@dataclass(frozen=True)
class Sample:
    """The process when so many cases were finished: bytes of its own memory, of all, descriptors, threads, children."""

    cases: int
    pss: int
    rss: int
    descriptors: int  # the most since the sample before: a worker that begins or ends takes some for a moment
    threads: int
    children: int
    files: int  # in the folder for temporary files


def soaked(cases: int, folder: Path, every: int) -> tuple[list[Sample], int, list[str]]:
    """Samples after every so many cases, the exit status, and what is wrong in words."""
    shutil.rmtree(folder, ignore_errors=True)
    scene, samples = Scene(folder), list[Sample]()
    paths = ["numpy_manual", write(folder, "wrong", HONEST.replace("2 * lr", "lr")), write(folder, "cannot", CANNOT)]
    blocks = -(-cases // (KINDS * len(PROBLEMS)))
    options = ["--impl", ",".join(paths), "--problem", ",".join(PROBLEMS), "--blocks", str(blocks), "--threads", "1"]
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(
            [*command(folder, *options), *QUICKER],
            cwd=ROOT,
            env=environment(TMPDIR=str(scene.tmp), **NO_SEARCH),
            stdout=said,
            stderr=said,
        )
        most = 0
        while process.poll() is None:
            count, most = scene.finished(), max(most, descriptors(process.pid))
            if count >= (len(samples) + 1) * every and count < KINDS * len(PROBLEMS) * blocks:
                samples.append(sample(process.pid, count, most, scene.tmp))
                most = 0
            time.sleep(0.02)
    campaign = saved(scene.out).get("campaign", {})
    ends = len(saved(scene.out).get("benchmarks", [])), len(campaign.get("refused", []))
    right = (blocks * len(PROBLEMS), blocks * len(PROBLEMS))
    return samples, process.returncode, [f"{ends} rows and refusals, not {right}"] * (ends != right) + scene.litter()


def descriptors(pid: int) -> int:
    """How many it has open now; none where it has ended."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def sample(pid: int, cases: int, most: int, tmp: Path) -> Sample:
    """The process as it is now."""
    proc = Path(f"/proc/{pid}")
    lines = (proc / "smaps_rollup").read_text().splitlines()[1:]
    memory = {name: 1024 * int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    children = (proc / "task" / str(pid) / "children").read_text().split()
    threads = len(os.listdir(proc / "task"))
    return Sample(cases, memory["Pss"], memory["Rss"], most, threads, len(children), len(os.listdir(tmp)))


def grown(samples: list[Sample]) -> tuple[float, int]:
    """Bytes that were added between the first tenth and the end, and descriptors, by the most in each half."""
    first, last, half = samples[max(len(samples) // 10 - 1, 0)], samples[-1], len(samples) // 2
    most = [max(one.descriptors for one in part) for part in (samples[: half + 1], samples[half:])]
    return last.rss - first.rss, most[1] - most[0]


def table(samples: list[Sample], wrong: list[str], command: str, seconds: float) -> str:
    """In Markdown."""
    head = "| cases | memory (PSS), MB | memory (RSS), MB | descriptors | threads | children | temporary folders |"
    lines = []
    for one in samples:
        megabytes = f"{one.pss / 1e6:.1f} | {one.rss / 1e6:.1f}"
        counts = f"{one.descriptors} | {one.threads} | {one.children} | {one.files}"
        lines.append(f"| {one.cases:,} | {megabytes} | {counts} |")
    memory, added = grown(samples)
    said = f"Between {samples[max(len(samples) // 10 - 1, 0)].cases:,} and {samples[-1].cases:,} cases the process that"
    said += f" drives grew by {memory / 1e6:.1f} MB and {added} descriptors."
    told = ["# Soak", "", said, "", head, f"|{' ---: |' * 7}", *lines, "", *(f"- {words}" for words in wrong)]
    return "\n".join([*told, setting(command, seconds), ""])


def main() -> int:
    """Measure, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--every", type=int, default=50, help="cases between two samples")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where it takes place (default: build)")
    parser.add_argument("--out", type=Path, help="where the table goes")
    options = parser.parse_args()
    alone()
    began = time.monotonic()
    samples, code, wrong = soaked(options.cases, options.folder.absolute(), options.every)
    memory, added = grown(samples)
    wrong += [f"exit {code}, not 1"] * (code != 1) + ["memory grows"] * (memory >= MOST)
    wrong += ["descriptors grow"] * (added > SWING)
    words = f"python tests/endurance/soak.py --cases {options.cases}"
    told = table(samples, wrong, words, time.monotonic() - began)
    sys.stdout.write(told)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(told)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())

"""Faults while saved runs are reported: files that are no runs, places that cannot be written to, signals."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from aftermath import torn
from faulty import wait_until
from helpers import ROOT, Done, environment
from strikes import Fault, Struck, each, humble

GOOD = next(ROOT.glob("results/runs/*/*/0005_tall.json"))
OLD_PAGE = "<!doctype html><p>as it was</p></html>\n"
LIMIT = 300  # seconds that a report may take
PROGRAM = """
import os, sys, time
from pathlib import Path
from results.store import atomic
from results.__main__ import main

real = Path.replace
def replace(path, target):
    here = Path(os.environ["FAULTS_FOLDER"])
    if os.environ["FAULTS_AT"] and not (here / "reached").exists():
        (here / "reached").touch()
        until = time.monotonic() + 20
        while not (here / "go").exists() and time.monotonic() < until:
            time.sleep(0.01)
    return real(path, target)

Path.replace = replace
sys.exit(main(sys.argv[1:]))
"""


def bad(name: str, spoil: Callable[[Path], object]) -> Fault:
    """Among the saved runs there is something that is none: the others are reported, it is named, exit status 2."""
    return Fault(name, "r", strike=lambda scene: spoil(scene.saved / "0002_bad.json") and None)


def unreadable(path: Path) -> None:
    shutil.copy(GOOD, path)
    path.chmod(0)


def huge(path: Path) -> None:
    shutil.copy(GOOD, path)
    os.truncate(path, 2 << 30)


def cut(path: Path) -> None:
    path.write_bytes(GOOD.read_bytes()[:60_000])


def spoilt(**more: object) -> Callable[[Path], object]:
    """The good run with these things in the place of its own."""
    return lambda path: path.write_text(json.dumps(json.loads(GOOD.read_text()) | more))


FILES = [
    bad("file cut off", cut),
    bad("file empty", lambda path: path.touch()),
    bad("no JSON", lambda path: path.write_bytes(b"\x89PNG\r\n\x00\xff")),
    bad("JSON of something else", lambda path: path.write_text('["a", 1]')),
    bad("rows that are no rows", spoilt(benchmarks=[1, None, "a"])),
    bad("100,000 levels of brackets", lambda path: path.write_text("[" * 100_000)),
    bad("a file of 2 GiB", huge),
    bad("a folder with a file's name", lambda path: path.mkdir()),
    bad("a pipe with a file's name", lambda path: os.mkfifo(path)),
    bad("file that may not be read", unreadable),
    bad("link to nothing", lambda path: path.symlink_to("nowhere.json")),
    bad("link to itself", lambda path: path.symlink_to(path)),
]
PLACES = [
    Fault("no runs at all", "r", strike=lambda scene: shutil.rmtree(scene.storage), exits=each("r", 2)),
    Fault(
        "folder of the report read-only", "r", strike=lambda s: (s.folder / "report").chmod(0o500), exits=each("r", 2)
    ),
    Fault("a file where the report goes", "r", strike=lambda scene: in_the_way(scene), exits=each("r", 2)),
]


def shut(scene: Struck) -> None:
    (scene.folder / "report").chmod(0o500)


def in_the_way(scene: Struck) -> None:
    shutil.rmtree(scene.folder / "report")
    (scene.folder / "report").write_text(OLD_PAGE)


def reported(scene: Struck, fault: Fault) -> list[str]:
    """Strike a report; all that does not hold afterwards, in words."""
    shutil.copy(GOOD, scene.saved / "0001_older.json")
    page = (scene.disk or scene.folder) / "report" / "report.html"
    page.parent.mkdir()
    page.write_text(OLD_PAGE)
    during = fault not in FILES and fault not in PLACES
    if not during and fault.strike:
        fault.strike(scene)
    held = frozen(scene.storage)
    words = ["report", "all", "--baseline", "numba_fused", "--out"]
    where = [f"{page}.md", "--format", "md"] if fault in FILES else [str(page.parent)]
    done = struck(scene, fault, [*words, *where], during)
    right = fault.exits.get("r", {0})
    found = [f"exit {done.code}, not {right}: {done.err[-200:]}"] * (done.code not in right)
    found += ["a traceback"] * ("Traceback" in done.err)
    if page.exists() and page.read_text() != OLD_PAGE and not page.read_text().rstrip().endswith("</html>"):
        found.append("half a page")
    if fault in FILES:
        found += named(scene, done)
    if during:  # and once more, undisturbed: what a kill has left goes
        fault.repair(scene)
        again = struck(scene, fault, [*words, *where], False)
        found += [f"again: exit {again.code}: {again.err[-200:]}"] * (again.code != 0)
    found += ["a saved run was changed"] * (frozen(scene.storage) != held)
    return found + scene.litter() + (torn(scene.storage) if during else [])


def named(scene: Struck, done: Done) -> list[str]:
    """What is wrong with how a file that is no run is told, among others and when it is asked for."""
    found = [] if "0002_bad" in done.err or not (scene.saved / "0002_bad.json").is_file() else ["it is not named"]
    asked = struck(scene, PLACES[0], ["show", str(scene.saved / "0002_bad.json")], False)
    if asked.code != 2 or len(asked.err.strip().splitlines()) != 1:
        found.append(f"asked for: exit {asked.code}: {asked.err[-200:]}")
    return found


def frozen(folder: Path) -> dict[str, object]:
    """What the saved runs are, by name."""
    paths = [path for path in folder.rglob("*.json") if path.is_file() and os.access(path, os.R_OK)]
    return {path.name: path.stat().st_size if path.stat().st_size > 1 << 24 else path.read_bytes() for path in paths}


def struck(scene: Struck, fault: Fault, words: list[str], during: bool) -> Done:
    """`python -m results` with these words; struck when it is about to put its first file in its place."""
    env = environment(TMPDIR=str(scene.tmp), FAULTS_FOLDER=str(scene.folder), FAULTS_AT="during" * during)
    scene.process = subprocess.Popen(
        humble([sys.executable, "-c", PROGRAM, *words, "--runs", str(scene.storage)]),
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        if during and fault.strike:
            wait_until(lambda: scene.reached)
            fault.strike(scene)
            (scene.folder / "go").touch()
        if scene.process.stdout and scene.process.stdout.closed:
            scene.process.stdout = None
        out, err = scene.process.communicate(timeout=LIMIT)
        return Done(scene.process.returncode, out or "", err)
    except subprocess.TimeoutExpired:
        return Done(-99, "", f"still running after {LIMIT} seconds")
    finally:
        scene.process.kill()
        scene.process.wait()

"""Implementations that raise, die, hang, shout and litter, and Ctrl-C: the run goes on, or ends with what it has."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from faulty import fault, folders, running, wait_until, written
from helpers import HONEST, ROOT, Done, bench, command, environment, saved, write

FAULTS = {  # name: what prepare does, what run does, what the reason of each of its cases says
    "raises_in_prepare": (
        "raise RuntimeError('out of\\nluck')",
        "pass",
        "raised RuntimeError: out of luck (raises_in_prepare.py:15)",
    ),
    "raises_in_run": (
        "pass",
        "if len(calls) > 12: raise ValueError('enough')",
        "raised ValueError: enough (raises_in_run.py:18)",
    ),
    "raises_at_once": ("pass", "raise KeyError('w')", "raised KeyError: 'w' (raises_at_once.py:18)"),
    "takes_no_steps": ("return lambda start: start", "pass", "takes 1 positional argument but 2 were given (takes_no"),
    "prepares_nothing": ("return", "pass", "prepare returned nothing; return a function run(start, steps) (prepares_"),
    "prepares_weights": (
        "return problem.w0",
        "pass",
        "prepare returned a ndarray; return a function run(start, steps)",
    ),
    "gives_nan": ("pass", "return start * float('nan')", "they are not finite"),
    "gives_nan_late": ("pass", "if len(calls) > 12: return start * float('nan')", "run(start, 0) is not start"),
    "gives_infinity": ("pass", "return start + float('inf')", "they are not finite"),
    "gives_nothing": ("pass", "return None", "run returned a NoneType, not a NumPy array"),
    "exits": ("pass", "os._exit(3)", "exited with code 3"),
    "exits_well": ("sys.exit(0)", "pass", "exited with code 0"),
    "exits_late": ("pass", "if len(calls) > 12: os._exit(3)", "exited with code 3"),
    "kills_itself": ("pass", "os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL"),
    "aborts": ("pass", "os.abort()", "killed by SIGABRT"),
    "forks": ("os.fork() or time.sleep(300); os._exit(3)", "pass", "exited with code 3"),  # a child holds its pipes
    "last_words": ("print('all is lost', file=sys.stderr, flush=True); os._exit(4)", "pass", "code 4: all is lost"),
}
HARMLESS = {
    "shouts": (
        "print('{{\"seconds\": 0}}'); print('x' * 100_000); sys.stderr.write('\\xff\\n')",
        "print('{{}}'); os.write(1, b'\\xff\\xfe{{}}\\n' * 100); os.write(2, b'\\x00\\n'); sys.stdout.flush()",
    ),
    "has_children": (
        "HERE.joinpath('child').write_text(str(subprocess.Popen(['sleep', '300']).pid))",
        "pass",
    ),
    "has_threads": ("threading.Thread(target=time.sleep, args=(300,)).start()", "pass"),
    "never_leaves": ("atexit.register(time.sleep, 300); signal.signal(signal.SIGTERM, signal.SIG_IGN)", "pass"),
}
NO_CODE = {  # name: the text of the file, and the reason
    "no_python": ("def prepare(:\n", "raised SyntaxError: "),
    "no_prepare": ("x = 1\n", "no function prepare(problem, device)"),
}
REASONS = {name: says for name, (*_, says) in (FAULTS | NO_CODE).items()}
SCALAR = {("scalar", "float32")}
CASES = {("line", "float32"), ("scalar", "float32")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def done(folder: Path) -> Done:
    """All of them beside an honest implementation, in one run."""
    (folder / "tmp").mkdir()
    paths = [fault(folder, name, prepare, run) for name, (prepare, run, _) in FAULTS.items()]
    paths += [fault(folder, name, prepare, run) for name, (prepare, run) in HARMLESS.items()]
    paths += [write(folder, name, text) for name, (text, _) in NO_CODE.items()]
    paths.append(write(folder, "honest", HONEST))
    return bench(folder, "--impl", ",".join(paths), env={"TMPDIR": str(folder / "tmp")})


@pytest.mark.parametrize("name", REASONS)
def test_fault_is_the_reason_of_its_case(name: str, done: Done) -> None:
    reasons = done.reasons(name)
    assert set(reasons) == SCALAR
    assert done.timed(name) == set()
    for reason in reasons.values():
        assert REASONS[name] in reason
        assert reason.isprintable()


@pytest.mark.parametrize("name", ["honest", *HARMLESS])
def test_the_others_are_timed(name: str, done: Done) -> None:
    assert done.reasons(name) == {}
    assert done.timed(name) == SCALAR


def test_faults_fail_the_run_and_are_told(done: Done) -> None:
    assert done.code == 1
    assert not done.json["campaign"]["interrupted"]
    for name, says in REASONS.items():
        assert any(line.startswith(f"{name} ") and says in line for line in done.out.splitlines()), name


def test_nothing_is_left(folder: Path, done: Done) -> None:
    assert done.rows
    assert folders(folder) == []
    assert not running(int((folder / "child").read_text()))


def test_hang_is_killed_and_the_rest_goes_on(tmp_path: Path) -> None:
    """In prepare or in run of one problem, the other of which is timed; while it is imported for the first time.

    One of them closes its files first, its pipes among them: it answers no more, and is not waited for.
    """
    (tmp_path / "tmp").mkdir()
    note = "open(HERE / '{name}.pid', 'w').write(str(os.getpid())); {closes}time.sleep(300)"
    on_scalar = f"if len(problem.X) == 4: {note}"
    paths = [
        fault(tmp_path, "in_prepare", on_scalar.format(name="in_prepare", closes="")),
        fault(tmp_path, "in_run", "pass", on_scalar.format(name="in_run", closes="")),
        fault(tmp_path, "closes", on_scalar.format(name="closes", closes="os.closerange(0, 64); ")),
        fault(tmp_path, "in_import", "pass"),
    ]
    with Path(paths[-1]).open("a") as file:
        file.write("if not (HERE / 'in_import.pid').exists():\n    " + note.format(name="in_import", closes=""))
    done = bench(
        tmp_path, "--impl", ",".join([*paths, "numpy_manual"]), "--problem", "line,scalar", "--timeout", "4",
        env={"TMPDIR": str(tmp_path / "tmp")},
    )  # fmt: skip
    assert done.code == 1
    for name in ("in_prepare", "in_run", "closes", "in_import"):
        ((hangs, reason),) = done.reasons(name).items()
        assert hangs == ("scalar", "float32") or name == "in_import"
        assert "timed out" in reason and ("killed" in reason or name == "closes")
        assert done.timed(name) == CASES - {hangs}
        assert not running(int((tmp_path / f"{name}.pid").read_text()))
    assert done.timed("numpy_manual") == CASES
    assert folders(tmp_path) == []


HANG_ON = "if len(problem.X) == {rows}: HERE.joinpath('pid').write_text(str(os.getpid())); time.sleep(300)"


def interrupted(
    tmp_path: Path, path: str, *options: str, by: signal.Signals = signal.SIGINT
) -> tuple[int, dict[str, Any], str]:
    """A signal for pytest alone, as soon as the implementation has written its pid: exit code, JSON and output."""
    (tmp_path / "tmp").mkdir()
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            command(tmp_path, "--impl", path, *options, "-p", "tests.support.quicker"),
            cwd=ROOT,
            env=environment(TMPDIR=str(tmp_path / "tmp")),
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            pid = tmp_path / "pid"
            assert wait_until(lambda: written(pid) or process.poll() is not None)
            assert process.poll() is None, (tmp_path / "said").read_text()
            time.sleep(0.2)
            process.send_signal(by)
            code = process.wait(600)
        finally:
            process.kill()
            process.wait()
    return code, saved(tmp_path / "out.json"), (tmp_path / "said").read_text()


def timed(json: dict[str, Any]) -> list[str]:
    return [row["extra_info"]["problem"] for row in json["benchmarks"]]


@pytest.mark.parametrize(
    ("problems", "where", "by"),
    [  # in the middle and in the last case: every pair of values
        ("line,scalar,crops", "prepare", signal.SIGINT),
        ("line,scalar,crops", "run", signal.SIGTERM),
        ("line,scalar", "prepare", signal.SIGTERM),
        ("line,scalar", "run", signal.SIGINT),
    ],
)
def test_a_signal_during_a_hang_ends_the_run_with_the_rows_it_has(
    tmp_path: Path, problems: str, where: str, by: signal.Signals
) -> None:
    hang = HANG_ON.format(rows=4)  # scalar
    path = fault(tmp_path, "stops", *((hang, "pass") if where == "prepare" else ("pass", hang)))
    code, json, said = interrupted(tmp_path, path, "--problem", problems, by=by)
    assert code == 2, said
    assert timed(json) == ["line"]
    assert json["campaign"]["interrupted"] is True
    assert [(row["problem"], row["reason"]) for row in json["campaign"]["refused"]] == [("scalar", "interrupted")]
    assert wait_until(lambda: not running(int((tmp_path / "pid").read_text())))
    assert folders(tmp_path) == []


def test_ctrl_c_between_timed_rounds_keeps_no_half_row(tmp_path: Path) -> None:
    """Its runs on scalar last 0.3 s each once they are timed, many of them, so the signal comes amid them."""
    late = "if len(problem.X) == 4 and len(calls) > 16: time.sleep(0.3); len(calls) == 18 and "
    path = fault(tmp_path, "slow", "pass", late + "HERE.joinpath('pid').write_text(str(os.getpid()))")
    code, json, said = interrupted(
        tmp_path, path, "--problem", "line,scalar,crops", "--preset", "full", "--blocks", "1"
    )
    assert code == 2, said
    assert timed(json) == ["line", "line"]  # in both dtypes
    assert json["campaign"]["interrupted"] is True
    assert [(row["problem"], row["reason"]) for row in json["campaign"]["refused"]] == [("scalar", "interrupted")]
    assert folders(tmp_path) == []


def test_ctrl_c_before_any_row_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    path = fault(tmp_path, "stops", HANG_ON.format(rows=4))
    code, json, said = interrupted(tmp_path, path, "--problem", "scalar")
    assert code == 2, said
    assert json.get("benchmarks", []) == []
    assert "interrupted" in said.lower()
    assert "INTERNALERROR" not in said
    assert folders(tmp_path) == []

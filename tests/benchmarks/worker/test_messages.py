"""A worker's answers are data of a stranger: what no honest worker sends ends its case, with one printable line."""

import contextlib
import json
import os
import tempfile
import time
from dataclasses import asdict
from reprlib import repr as short
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.machine.roofline import Rates
from benchmarks.typed_json import FILE_CHARACTERS, WORDS_CHARACTERS, printable
from benchmarks.worker import probes
from benchmarks.worker.client import Refused, Worker
from benchmarks.worker.messages import Finished, Growth, Loaded, Prepared, Round, Source, check
from impls.interface import Timed, Unsupported

LEVEL = {"level": "L1", "holds": 49152, "bytes_per_s": 1e11, "kernel": "numpy"}
ANSWERS: dict[type, dict[str, Any]] = {
    Loaded: {"seconds": 0.5, "framework": "numpy", "version": "2.4.6", "step_reads": "X", "ranks": False}
    | {"gradient": "by hand", "style": "eager", "tuned": "as users write it"},
    Source: {"file": "impls/numpy_manual.py", "text": "import numpy\n", "digest": "0f1e2d3c"}
    | {"helpers": {"gradients.py": "import numpy\n"}},
    Prepared: {"seconds": 0.5, "transfer_seconds": None},
    Round: {"seconds": 0.5, "cpu_seconds": 0.5, "blocked_seconds": None, "compiles": 0, "gc_runs": 0}
    | {"weights": [1.0, float("nan")], "fixed_seconds": 1e-6},
    Growth: {"none": 0.0, "half": 0.5, "all": 1, "repeat": 1},
    Finished: {"framework": "numpy", "version": "2.4.6"}
    | {"rss_bytes": 2**30, "device_bytes": None, "event_s": None, "jit_cache": "fresh", "pools": {"torch": 2}}
    | {"framework_threads": None, "blas": "openblas 0.3", "cores": [0, 1], "matmul_bits": 23},
    Rates: {"levels": [LEVEL], "flops_per_s": {"float32": 1e10}, "matvec_flops_per_s": {}, "call_s": 1e-6},
}
DEEP: list[Any] = []
for _ in range(900):
    DEEP = [DEEP]
FORGED = [
    *(None, True, -1, -0.5, 1e300, 2**70, float("nan"), float("inf"), "1", "", "two\nlines", "\x1b[31mred", "\ud800"),
    *("x" * 10**6, [], [[]], [None], ["x"], [True], [[1.0]], [[[1.0]]], DEEP, {}, {"x": -1}, {"x": "y"}, {"\x1b": 1}),
    *(-5e-324, -(2**70), 2**53, 1e308, 10**400, "9" * 4000, "1e9", "NaN", "\u202e", "\u2028", "\r", "\0", "x ", "/etc"),
    *([1], [[1]], [10**400], [[], []], [[1.0], [2.0, 3.0]], [[1.0], 2.0], [[1.0], []], [{}], [-1], [0.5], [2**53]),
    *(list(range(10**5)), ["x"] * 10**4, {str(at): 1 for at in range(1000)}, {str(at): "x" for at in range(1000)}),
    *({"../x.py": "y"}, {"/x.py": "y"}, {"x": None}, {"x": True}, {"x": 0.5}, {"x": {}}, {"x": [1]}, {"x" * 1000: 1}),
    *([LEVEL] * 1000, [LEVEL | {"more": 1}], [LEVEL | {"bytes_per_s": 0}], [LEVEL | {"level": ["L1"]}], [[LEVEL]]),
]
HONEST = {  # values above that an honest worker may send in such a field
    bool: [True],
    "text": ["1", "", "1e9", "NaN", "/etc"],
    "pools": [{}, {"x": None}],
    "weights": [[0.5], [[1.0]]],
    "list": [[]],
    "dict": [{}],
    "optional": [None],
}


def allowed(kind: type, name: str) -> list[object]:
    value = ANSWERS[kind][name]
    if name == "text":
        return [one for one in FORGED if isinstance(one, str) and len(one) <= FILE_CHARACTERS]
    if name == "file":  # a path, with blanks as they are
        return [one for one in FORGED if isinstance(one, str) and one.isprintable() and len(one) <= WORDS_CHARACTERS]
    if name == "helpers":
        return [{}, {"x": "y"}]
    if name in HONEST:
        return HONEST[name]
    if name in ("flops_per_s", "matvec_flops_per_s"):
        return [{}, {"x": 0.5}]
    lists = {bool: HONEST[bool], str: HONEST["text"], list: HONEST["list"], dict: HONEST["dict"]}
    nullable = {"blocked_seconds", "transfer_seconds", "device_bytes", "event_s", "framework_threads"}
    nullable |= {"cores", "matmul_bits"}
    return [
        *lists.get(type(value), []),
        *(HONEST["optional"] if name in nullable else []),
        *([[1]] if name == "cores" else []),
    ]


@pytest.mark.parametrize("kind", ANSWERS, ids=lambda kind: kind.__name__)
def test_every_field_refuses_what_no_honest_worker_sends(kind: type) -> None:
    honest, tried = ANSWERS[kind], 0
    assert repr(asdict(kind(**check(kind, honest | {"more": 1})))) == repr(asdict(kind(**honest)))
    for name in honest:
        if name != "matmul_bits":
            with pytest.raises(ValueError, match=f"has no {name}"):
                check(kind, {field: honest[field] for field in honest if field != name})
        for value in FORGED:
            if any(type(value) is type(fine) and short(value) == short(fine) for fine in allowed(kind, name)):
                check(kind, honest | {name: value})
                continue
            tried += 1
            with pytest.raises(ValueError, match=f"impossible {name}: ") as caught:
                check(kind, honest | {name: value})
            assert str(caught.value).isprintable() and len(str(caught.value)) < 200
    assert tried > 50 * len(honest)


WALL = {
    Loaded: ["seconds"],
    Prepared: ["seconds", "transfer_seconds"],
    Round: ["seconds", "blocked_seconds", "fixed_seconds"],
    Growth: ["none", "half", "all", "repeat"],
    Finished: ["event_s"],
    Rates: ["call_s"],
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in WALL.items() for name in names])
def test_no_clock_counts_more_than_passed_here(kind: type, name: str) -> None:
    assert check(kind, ANSWERS[kind] | {name: 2.0}, elapsed=2.0)[name] == 2
    with pytest.raises(ValueError, match="its clock counts more seconds than passed here"):
        check(kind, ANSWERS[kind] | {name: 2.1}, elapsed=2.0)


@pytest.mark.parametrize("name", ["seconds", "all", "repeat"])
@pytest.mark.parametrize("value", [0, 0.0, -0.0, 5e-324, 1e-8])
def test_no_run_takes_no_time(name: str, value: float) -> None:
    kind = Round if name == "seconds" else Growth
    with pytest.raises(ValueError, match=f"impossible {name}: "):
        check(kind, ANSWERS[kind] | {name: value})


class Forger:
    """A member that answers with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self.alive, self.file = True, tempfile.TemporaryFile()  # noqa: SIM115
        self.file.write(answer.replace(b"{", b'{"number": 1, ', 1))
        self.file.seek(0)

    def fileno(self) -> int:
        return self.file.fileno()

    def send(self, request: bytes) -> None:
        pass

    def receive(self) -> bytes:
        return os.read(self.fileno(), 1 << 20)

    def exit_reason(self, deadline: float) -> str:
        self.close()
        return "exited with code 1"

    def where(self) -> str:
        return ""

    def close(self) -> None:
        self.alive = False
        self.file.close()


def forged(answer: bytes) -> Worker:
    worker = Worker.__new__(Worker)
    worker.members, worker.deadline = [Forger(answer)], time.monotonic() + 1
    return worker


LINES = [
    *(b"\n", b"null\n", b"3\n", b"[]\n", b'"x"\n', b"{\n", b"\xff\xfe\n", b"[" * 5000 + b"\n", b"9" * 5000 + b"\n"),
    *(b'{"seconds": 0.5}\n', b'{"a": 1}{"b": 2}\n', b'{"seconds": NaN}\n', b"ordinary print\n", b"no end of the line"),
    *(json.dumps(ANSWERS[kind]).encode() + b"\n" for kind in ANSWERS if kind is not Round),
    json.dumps(ANSWERS[Round] | {"seconds": 1e400}).encode() + b"\n",
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: repr(line[:24]))
def test_a_forged_answer_ends_its_case_and_its_worker(line: bytes) -> None:
    with contextlib.closing(forged(line)) as worker, pytest.raises(Refused) as caught:
        worker.round(np.zeros(2), np.zeros(2), 3)
    assert str(caught.value).isprintable() and 0 < len(str(caught.value)) < 300
    assert not worker.alive, "its next answer would be the forged one's rest"


@pytest.mark.parametrize(
    "weights",
    [[1.0], [1.0] * 3, [[1.0, 2.0]], [[1.0], [2.0]], [[1.0], [2.0, 3.0]], [], [[], []], [1.0, 2], [1.0, True]],
)
def test_weights_have_the_shape_of_the_start(weights: list[Any]) -> None:
    line = json.dumps(ANSWERS[Round] | {"weights": weights, "seconds": 1e-6, "cpu_seconds": 0.0}).encode() + b"\n"
    with contextlib.closing(forged(line)) as worker, pytest.raises(Refused, match="weights"):
        worker.round(np.zeros(2), np.zeros(2), 3)
    assert not worker.alive


def test_an_answer_may_be_as_long_as_its_request_needs() -> None:
    end = b'"seconds": 0.5}' + b" " * 2**23
    with contextlib.closing(forged(b"{" + end + b"\n")) as worker, pytest.raises(Refused, match="longer than 4,19"):
        worker.round(np.zeros(2), np.zeros(2), 3)
    weights = (np.random.default_rng(0).random(3 * 10**5) / 3).tolist()  # 6 MB, from starts of 3 MB
    line = json.dumps(ANSWERS[Round] | {"weights": weights, "seconds": 1e-6, "fixed_seconds": 1e-6}).encode() + b"\n"
    with contextlib.closing(forged(line)) as worker:
        worker.deadline += 60
        assert worker.round(np.zeros(len(weights)), np.zeros(len(weights)), 3).weights == weights


@pytest.mark.parametrize("kind", ["lost", "raised", "wrong", "unsupported"])
@pytest.mark.parametrize(
    "reason", ["\x1b]0;title\x07 \n::error::forged", "x" * 10**6, 3, ["y"], {"z": "\ud800"}], ids=str
)
def test_reasons_are_one_printable_line(kind: str, reason: object) -> None:
    worker = forged(json.dumps({kind: reason}).encode() + b"\n")
    refusal = Unsupported if kind == "unsupported" else Refused
    with contextlib.closing(worker), pytest.raises(refusal) as caught:
        worker.round(np.zeros(2), np.zeros(2), 3)
    assert str(caught.value) == printable(reason) and len(str(caught.value)) <= 300


def test_a_clock_that_two_modules_have_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    fetch: Timed[..., None] = Timed(lambda: None)
    fetch()
    modules = [SimpleNamespace(fetch=fetch), SimpleNamespace(fetch=fetch)]
    monkeypatch.setattr(probes, "shared", lambda: modules)
    spent = fetch.seconds
    assert spent is not None and probes.take_seconds("fetch") == spent
    assert probes.take_seconds("fetch") is None


def test_an_answer_to_another_request_does_not_count() -> None:
    line = json.dumps(ANSWERS[Round]).encode() + b"\n"
    with contextlib.closing(forged(line)) as worker:
        worker.requests = 1  # this one is the second
        with pytest.raises(Refused, match="belongs to another request"):
            worker.round(np.zeros(2), np.zeros(2), 3)
        assert not worker.alive


def test_the_deadline_holds_while_bytes_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(forged(b"")) as worker:
        monkeypatch.setattr(worker.members[0], "receive", lambda: b"more")
        began = time.monotonic()
        with pytest.raises(Refused, match="timed out and was killed"):
            worker.round(np.zeros(2), np.zeros(2), 3)
        assert time.monotonic() - began < 100

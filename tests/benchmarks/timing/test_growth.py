"""The time of a run must grow with its steps: honest runs show it on a busy machine, and hidden work never does."""

import math
from collections.abc import Callable
from itertools import count
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from helpers import bench, random_problem

from benchmarks.timing import growth
from benchmarks.timing.measure import TimedCase
from benchmarks.worker import probes
from benchmarks.worker.client import Clock, Refused, Worker
from benchmarks.worker.messages import Growth, Round, RunResult
from benchmarks.worker.server import WorkerServer
from impls.interface import Array


def grows(tried: list[Growth], least: float = 0.0) -> bool:
    return growth.shown(tried, least) is not None


def test_losing_the_core_is_not_taken_for_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine in use, the scheduler takes the core at the same place of each try: here from the runs of all."""
    host, taken = WorkerServer(), [0]
    host.problem, host.run = random_problem(9, 3, None, None), lambda start, steps: start

    def descend(start: list[float], steps: int) -> dict[str, object]:
        taken[0] += steps == 1000
        return {"wrong": "", "seconds": steps * 1e-6 + 0.005 * (steps == 1000), "cpu_seconds": steps * 1e-6}

    monkeypatch.setattr(host, "descend", descend)
    monkeypatch.setattr(probes, "switches", lambda: (taken[0], 0))
    assert Growth(**host.grow([0.0, 0.0, 0.0], 1000, 1)) == Growth(none=0, half=0.0005, all=0.001, repeat=0.001)
    monkeypatch.setattr(probes, "switches", lambda: (taken[0], taken[0]))  # it waited too: for other threads' work
    assert Growth(**host.grow([0.0, 0.0, 0.0], 1000, 1)) == Growth(none=0, half=0.0005, all=0.006, repeat=0.006)


def test_the_place_of_a_run_is_not_taken_for_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run of a try costs 4 µs more than the one before, and half of the steps take 1 µs."""
    host, place = WorkerServer(), count()
    host.problem, host.run = random_problem(9, 3, None, None), lambda start, steps: start

    def descend(start: list[float], steps: int) -> dict[str, object]:
        return {"wrong": "", "seconds": 1e-3 + steps * 2e-9 + next(place) % 4 * 4e-6, "cpu_seconds": 1e-3}

    monkeypatch.setattr(host, "descend", descend)
    monkeypatch.setattr(probes, "switches", lambda: (0, 0))
    tried = [Growth(**host.grow([0.0, 0.0, 0.0], 1000, 0)) for _ in range(400)]
    assert np.mean([times.all - times.half for times in tried]) == pytest.approx(1e-6)
    assert np.mean([times.half - times.none for times in tried]) == pytest.approx(1e-6)
    assert np.mean([times.repeat - times.all for times in tried]) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("times", "accepted"),
    [
        (Growth(0.0, 0.5, 1.0, 1.0), True),
        (Growth(0.5, 0.75, 1.0, 1.0), True),
        (Growth(0.0, 1.0, 1.0, 1.0), False),
        (Growth(0.9, 0.5, 1.0, 1.0), False),
        (Growth(0.98, 0.97, 1.0, 1.0), True),  # the calls' noise, not hidden work
    ],
)
def test_time_grows_with_the_steps(times: Growth, accepted: bool) -> None:
    assert grows([times]) == accepted


def busy(rng: np.random.Generator, none: float, half: float, full: float) -> Growth:
    """Times on a machine in use: each run waits for a core about as long as all steps take."""
    waits = rng.exponential(1.0, 4) * (rng.random(4) < 0.8)
    return Growth(*(np.array([none, half, full, full]) + waits).tolist())


@pytest.mark.parametrize(
    ("times", "accepted"),
    [
        ((0.01, 0.5, 1.0), True),
        ((0.9, 0.5, 1.0), False),  # work in no steps
        ((0.01, 1.0, 1.0), False),  # as long for half of the steps
    ],
)
def test_on_a_machine_in_use_the_shorter_runs_show_whether_time_grows(
    times: tuple[float, float, float], accepted: bool
) -> None:
    rng = np.random.default_rng(0)
    tries = [[busy(rng, *times) for _ in range(60)] for _ in range(200)]
    assert all(growth.unsteady(tried) for tried in tries)
    grown = sum(grows(tried) for tried in tries)
    assert grown == 200 if accepted else grown <= 10


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.3])
@pytest.mark.parametrize(("calls", "tries"), [(0.0, 5), (0.5, 60), (0.95, 60), (0.95, 2000), (0.98, 2000)])
def test_an_honest_row_is_never_called_a_cheat(spread: float, calls: float, tries: int) -> None:
    """Whatever part of a run the calls take, and however much equal runs differ. Short runs are tried most often."""
    rng = np.random.default_rng(0)
    for _ in range(30 if tries < 2000 else 10):
        noise = rng.lognormal(0, spread, (tries, 4))
        tried = [Growth(*row) for row in (noise * [calls, (1 + calls) / 2, 1, 1]).tolist()]
        assert grows(tried) or not growth.certain(tried)


@pytest.mark.parametrize(("none", "half"), [(1.0, 1.0), (0.01, 1.0), (0.9, 0.5)])  # knows, half the work, beforehand
def test_a_cheat_is_certain_on_an_idle_machine(none: float, half: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        tried = [Growth(*row) for row in (rng.lognormal(0, 0.02, (2000, 4)) * [none, half, 1, 1]).tolist()]
        assert not grows(tried) and growth.certain(tried)


@pytest.mark.parametrize(("half", "accepted"), [(0.98, True), (1.0, False)])
def test_beside_other_programs_short_steps_show_in_many_tries(half: float, accepted: bool) -> None:
    """Steps of 4 % of a run, or of nothing, where equal runs differ by more: half of them wait, each by itself."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        waits = rng.exponential(0.5, (480, 4)) * (rng.random((480, 4)) < 0.5)
        times = [2 * half - 1, half, 1, 1] * rng.lognormal(0, 0.02, (480, 4)) + waits
        tried = [Growth(*row) for row in times.tolist()]
        assert growth.spread(tried) > 0.1 and grows(tried) == accepted


def test_the_place_of_data_in_memory_is_not_taken_for_steps() -> None:
    """A result that is known beforehand takes 20 ns more where it lies for all steps: some 4 us a run, 600 steps."""
    rng, least = np.random.default_rng(0), growth.least_seconds(600)
    for _ in range(20):
        times = rng.normal([4.0e-6, 4.0e-6, 4.02e-6, 4.02e-6], 1e-8, (3000, 4))
        tried = [Growth(*row) for row in times.tolist()]
        assert not grows(tried, least) and growth.certain(tried, least)
    times = rng.normal([4.0e-6, 7.0e-6, 1.0e-5, 1.0e-5], 1e-8, (3000, 4))
    assert grows([Growth(*row) for row in times.tolist()], least)


@pytest.mark.parametrize("tries", [12, 30, 60, 100, 500, 3000])
def test_an_answer_known_beforehand_is_not_shown_to_grow(tries: int) -> None:
    """Where equal runs differ by 2 %, or by more than 10 %. Few tries cannot show that all steps take 0.3 % more."""
    rng, found, count = np.random.default_rng(0), 0, 100 if tries < 1000 else 20
    for full, waits in ((1.0, 0.0), (1.0, 0.5), (1.003 if tries < 480 else 1.0, 0.0)):
        for _ in range(count):
            times = [1, 1, full, full] * rng.lognormal(0, 0.02, (tries, 4))
            times += rng.exponential(waits, (tries, 4)) * (rng.random((tries, 4)) < 0.5)
            found += grows([Growth(*row) for row in times.tolist()])
    assert found <= 0.01 * 3 * count


def test_work_in_runs_of_no_steps_is_found_behind_waits() -> None:
    """Nearly all work is in runs of no steps, and three of five runs wait for much longer than they take."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        waits = rng.exponential(60, (500, 4)) * (rng.random((500, 4)) < 0.6)
        tried = [Growth(*row) for row in ([0.9, 0.5, 1, 1] * rng.lognormal(0, 0.02, (500, 4)) + waits).tolist()]
        assert not grows(tried)


def test_on_an_idle_machine_medians_decide() -> None:
    """An implementation that works in most of its runs of no steps has some short ones."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        tried = [Growth(0.9 * (rng.random() < 0.7), 0.5, 1.0, 1.0 + rng.normal(0, 0.02)) for _ in range(60)]
        assert not growth.unsteady(tried) and not grows(tried)


@pytest.mark.parametrize(
    ("steps", "batch", "seconds", "hidden"),
    [(20, 5, 1e-4, True), (1000, 5, 1e-4, False), (20, 1_000_000, 1e-3, False), (2, 1_000, 1e-3, True)],
)
def test_steps_that_nobody_could_measure_are_not_called_missing(
    steps: int, batch: int, seconds: float, hidden: bool
) -> None:
    assert growth.hidden({"batch": batch, "d": 4, "k": 2, "steps": steps}, "cpu", seconds) == hidden


def test_few_steps_ask_for_more_of_them(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    done = bench(tmp_path, "--impl", "jax_scan", "--problem", "crops", "--steps", "3")
    assert done.refused == [] and all(row["valid"] or "give more with --steps" in row["reason"] for row in done.rows)


def test_growth_is_the_median_of_tries() -> None:
    tried = [Growth(1.0, 6.0, 11.0, 11.0), Growth(2.0, 7.0, 12.0, 12.0), Growth(1.0, 6.0, 40.0, 40.0)]
    assert growth.ratio(tried) == pytest.approx(0.5)
    assert growth.ratio([Growth(1.0, 1.0, 1.0, 1.0)]) == 0
    assert growth.ratio([Growth(1.0, 1.0, 1.005, 1.005)]) == 0, "within the noise"
    assert growth.ratio([Growth(0.0, 4.9, 5.0, 5.0), *[Growth(0.0, 9.0, 8.0, 8.0)] * 2]) == 0


def test_many_tries_show_steps_that_are_a_small_part_of_a_call() -> None:
    """Half of the steps take 0.4 % of a run whose noise is 2 %: with a drift as large, nothing is shown."""
    rng = np.random.default_rng(0)
    runs = [Growth(*(seconds * rng.lognormal(0, 0.02) for seconds in (0.992, 0.996, 1.0, 1.0))) for _ in range(2400)]
    assert growth.ratio(runs[:400]) == 0 and growth.ratio(runs) > 0.3
    drifting = [Growth(none=0.992, half=0.996, all=1.0, repeat=1.004 + 1e-6 * at) for at in range(2400)]
    assert growth.ratio(drifting) == 0
    equal = [Growth(*rng.lognormal(0, 0.02, 4)) for _ in range(2400)]
    assert growth.ratio(equal) == 0


@pytest.mark.parametrize(("step", "accepted"), [(8.5, True), (0.0, False), (0.5, False)])
def test_steps_are_found_behind_calls_that_vary_more(step: float, accepted: bool) -> None:
    """A call of 250 us with steps of 17 us, and one of which no step takes time, or one too small to be a descent's."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        calls = 250 + rng.gamma(1.0, 20.0, (2500, 4))
        tried = [Growth(none, half + step, full + 2 * step, repeat + 2 * step) for none, half, full, repeat in calls]
        assert grows(tried) == accepted


class NoisyWorker:
    """A worker whose runs vary at random. run_s: the seconds of a run of so many steps, without noise."""

    def __init__(self, run_s: Callable[[int], float], noise: float, seed: int) -> None:
        self.run_s, self.noise, self.rng = run_s, noise, np.random.default_rng(seed)
        self.tries = 0

    def seconds(self, steps: int) -> float:
        return self.run_s(steps) * math.exp(self.rng.normal(0, self.noise))

    def run(self, start: Array, steps: int) -> RunResult:
        return RunResult(self.seconds(steps), 0.0, None, 0, 0, [])

    def grow(self, start: Array, steps: int, uncounted: int) -> Growth:
        self.tries += 1
        return Growth(self.seconds(0), self.seconds(steps // 2), self.seconds(steps), self.seconds(steps))


def growth_of(worker: NoisyWorker, earlier: bool = False) -> bool:
    """Return whether a case with five timed rounds is said to grow: not refused, and without a reason."""
    steps = 1000
    task: Any = SimpleNamespace(facts={"steps": steps, "batch": 1000, "d": 10, "k": 1})
    rounds = [Round(worker.seconds(steps), 0.0, None, 0, 0, [], worker.seconds(0)) for _ in range(5)]
    halves, any_worker = [worker.seconds(500) for _ in range(4)], cast(Worker, worker)
    fewer, facts = (500, worker.seconds(500)), {"device": "cpu"}
    case = TimedCase(any_worker, task, Clock(), worker.rng, 5, fewer, [], facts, rounds_done=rounds, halves=halves)
    case.new_run = lambda: (np.zeros(1), steps)  # type: ignore[method-assign]
    case.growth_shown = earlier
    middle = median(run.seconds for run in rounds), median(run.fixed_seconds for run in rounds)
    try:
        return case.growth(*middle)[1] == []
    except Refused:
        return False


@pytest.mark.parametrize("seconds", [0.002, 0.02, 0.2])
@pytest.mark.parametrize(("noise", "most"), [(0.02, 0), (0.1, 0.06), (0.2, 0.15)])
def test_a_run_that_takes_the_same_for_any_steps_seldom_passes(seconds: float, noise: float, most: float) -> None:
    """One run of half the steps decided before: with this noise, 20 to 35 % of such rows passed."""
    passed = [growth_of(NoisyWorker(lambda steps: seconds if steps else 1e-6, noise, seed)) for seed in range(100)]
    assert np.mean(passed) <= most


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.2])
def test_honest_runs_grow_after_a_few_tries(noise: float) -> None:
    workers = [NoisyWorker(lambda steps: 1e-6 + 2e-5 * steps, noise, seed) for seed in range(50)]
    assert all(growth_of(worker) for worker in workers)
    assert np.mean([worker.tries for worker in workers]) <= (0 if noise < 0.05 else 10)


def test_what_has_grown_before_needs_one_batch() -> None:
    """The noise of these runs hides their steps."""
    once, again = (NoisyWorker(lambda steps: 0.02 + 1e-6 * steps, 0.3, seed=1) for _ in range(2))
    assert not growth_of(once) and growth_of(again, earlier=True) and again.tries < once.tries

"""Choose the cases of the next block: those with open questions, the most questions per second first.

A question is an undecided comparison of two cases. conftest.py takes them from `results.page.standing.look`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from benchmarks.campaign.plan import Case


@dataclass(frozen=True)
class Question:
    """An undecided comparison of two cases, by `Case.place`. gain: 1 if one more block may decide it, 1/2 for two."""

    cases: tuple[str, str]
    gain: float


@dataclass(frozen=True)
class Costs:
    """Seconds of the start of each process, by `Case.process_name`, and of each case, by `Case.place`."""

    starts: Mapping[str, float]
    cases: Mapping[str, float]

    def of(self, cases: Collection[Case]) -> float:
        """Return the seconds of a block of these cases. Unmeasured cases and processes cost nothing."""
        started = {case.process_name for case in cases}
        measured = [self.cases.get(case.place, 0.0) for case in cases]
        return sum(measured) + sum(self.starts.get(name, 0.0) for name in started)


def choose(block: list[Case], questions: list[Question], costs: Costs, seconds_left: float) -> list[Case]:
    """Return the cases of a block that are worth measuring, in its order; [] if none is, or none fits.

    Processes are taken by their gain per second: first those of which all blocks fit that their nearest question may
    need, then those of which one block fits. Duplicates are added to their originals if all of them fit.
    """
    gains: dict[str, list[float]] = {}
    for question in questions:
        for place in question.cases:
            gains.setdefault(place, []).append(question.gain)
    processes: dict[str, list[Case]] = {}
    for case in block:
        if case.place in gains:
            processes.setdefault(case.process_name, []).append(case)
    seconds = {name: costs.of(cases) for name, cases in processes.items()}
    process_gains = {name: [gain for case in cases for gain in gains[case.place]] for name, cases in processes.items()}
    order = sorted(processes, key=lambda name: -sum(process_gains[name]) / max(seconds[name], 1e-3))
    charged: dict[str, float] = {}
    charges: tuple[Callable[[str], float], ...] = (
        lambda name: seconds[name] * max(1, round(1 / max(process_gains[name]))),
        lambda name: seconds[name],
    )
    for charge in charges:
        for name in order:
            if name not in charged and sum(charged.values()) + charge(name) <= seconds_left:
                charged[name] = charge(name)
    places = {case.place for name in charged for case in processes[name]}
    compared = {place for question in questions if places.issuperset(question.cases) for place in question.cases}
    originals = {case for case in block if case.place in compared}
    duplicates = {case for case in block if case.is_duplicate and replace(case, is_duplicate=False).place in compared}
    fits = costs.of(originals | duplicates) <= seconds_left
    return [case for case in block if case in originals or (fits and case in duplicates)]

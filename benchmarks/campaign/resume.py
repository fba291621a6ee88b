"""Resume a campaign after its process has ended. conftest.py registers this plugin: machine lock, journal, --resume."""

import hashlib
import json
import sys
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign import journal, options, storage
from benchmarks.campaign.campaign import Campaign, mark_invalid
from benchmarks.campaign.journal import FinishedCase, Journal
from benchmarks.campaign.plan import Case
from benchmarks.campaign.record import INTERRUPTED, Outcome, Record, Resumed, Status
from benchmarks.campaign.session import STREAMS, check_base, measures_benchmarks
from benchmarks.machine import identity
from benchmarks.machine.lock import Lock
from benchmarks.problems import catalogue
from benchmarks.problems.table_files import is_table
from benchmarks.worker.client import Refused
from benchmarks.worker.messages import Source
from benchmarks.worker.process import ROOT
from benchmarks.worker.server import source_text
from impls.interface import Unsupported

PROCESS_OPTIONS = ("wait", "resume")  # of pytest's process, not of the campaign
FOREIGN_OPTIONS = {  # of pytest and pytest-benchmark: what is measured, and how it is saved
    "keyword": "-k",
    "markexpr": "-m",
    "benchmark_save": "--benchmark-save",
    "benchmark_autosave": "--benchmark-autosave",
    "benchmark_json": "--benchmark-json",
    "benchmark_storage": "--benchmark-storage",
}
DAMAGED_JOURNAL = "--resume: {} is damaged ({}); delete it, and begin anew without --resume"


class ResumePlugin:
    """Writes each finished case to the journal until the run is saved."""

    campaign: Campaign
    journal: Journal | None = None
    faults: Sequence[str] = ()  # why a file could not be saved
    complete: bool = False  # every case has ended

    def __init__(self, config: pytest.Config) -> None:
        self.config, self.lock = config, Lock()
        suite_options = {option.attribute: option.name for option in options.OPTIONS}
        self.options = {
            name: word for name, word in (suite_options | FOREIGN_OPTIONS).items() if name not in PROCESS_OPTIONS
        }
        self.folder = Path(config.option.benchmark_storage.removeprefix("file://"))

    @property
    def is_saved(self) -> bool:
        """Return whether the run will be in a file."""
        option = self.config.option
        return bool(option.benchmark_save or option.benchmark_autosave or option.benchmark_json)

    @property
    def measures(self) -> bool:
        """Return whether this process measures anything, if there are cases."""
        option = self.config.option
        return not (option.collectonly or option.benchmark_disable or option.benchmark_skip)

    def acquire_machine_lock(self) -> None:
        """Become the only measurement on this machine. Raises UsageError if another one runs."""
        try:
            if self.config.option.wait:
                self.lock.wait(sys.stderr.write)
            elif holder := self.lock.take():
                reason = f"another measurement runs ({holder}): both would be slower"
                raise pytest.UsageError(f"{reason}. Use --wait to start after it")
        except OSError as error:
            message = f"no way to be the only measurement here: {error}"
            raise pytest.UsageError(f"{message}. Remove that file or make it writable") from error

    def load_checkpoint(self) -> None:
        """With --resume, load the last unfinished campaign and its options. Raises UsageError."""
        option, words = self.config.option, self.config.invocation_params.args
        given_names = {word.partition("=")[0] for word in words}  # on the command line, without their values
        if not option.resume:
            return
        self.acquire_machine_lock()  # first: the journal's writer may still run
        candidates = journal.unfinished(self.folder, option.benchmark_save or "")
        if not candidates:
            unfinished = "; ".join(map(journal.describe, journal.unfinished(self.folder))) or "none is in that folder"
            raise pytest.UsageError(f"--resume: no campaign to go on with in {self.folder} ({unfinished})")
        self.journal = candidates[-1]
        kinds = {entry.attribute: entry.kind for entry in options.OPTIONS}
        for name, word in self.options.items():
            saved = self.journal.head["options"].get(name)
            if saved is not None and type(saved) is not kinds.get(name, type(saved)):
                raise pytest.UsageError(DAMAGED_JOURNAL.format(self.journal.path, f"its {word} is {saved!r:.80}"))
            if word in given_names and _plain(getattr(option, name)) != saved:
                raise pytest.UsageError(f"--resume: the campaign keeps the options it began with; leave {word} out")
            setattr(option, name, Path(saved) if name == "benchmark_json" and saved else saved)

    @property
    def here(self) -> Path:
        """The folder where the campaign began: paths in its options start there."""
        return Path(self.journal.head["here"]) if self.journal else self.config.invocation_params.dir

    def pytest_report_header(self) -> str:
        """Name the campaign that can be resumed, or that is resumed."""
        if self.journal:  # a resumed one; a new journal begins later
            return f"resuming {journal.describe(self.journal)}"
        measures = self.measures and measures_benchmarks(self.config)
        unfinished = journal.unfinished(self.folder) if measures else []
        return f"cut short: {journal.describe(unfinished[-1])}; --resume goes on with it" if unfinished else ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Acquire the lock, then begin a journal or check that the resumed one fits this run. Raises UsageError."""
        if not self.measures or not any("campaign" in getattr(item, "fixturenames", ()) for item in session.items):
            return
        if not self.is_saved and (lost := self.output_lost()):
            raise pytest.UsageError(f"{lost}, and nothing would be saved: add --benchmark-save=NAME")
        self.acquire_machine_lock()
        option, campaign = self.config.option, self.campaign
        session_of_benchmarks = self.config.pluginmanager.get_plugin("pytest-benchmark")
        assert session_of_benchmarks is not None
        check_base(self.config, session_of_benchmarks)
        session_of_benchmarks.quiet |= not option.rounds_table
        self.faults = storage.install(session_of_benchmarks)
        plan = campaign.plan
        head = {
            "options": {name: _plain(getattr(option, name)) for name in self.options},
            "here": str(self.here),
            "plan": asdict(plan),
            "code": code(plan.impls, plan.problems),
            "machine": identity.facts(option.machine or identity.slug())["setup_hash"],
        }
        if self.journal is None:
            self._make_environments()
            self.journal = journal.named(self.folder, option.benchmark_save or "unsaved", **head)
            return
        if changes := differences(self.journal.head, json.loads(json.dumps(head))):
            advice = "go back to that, or begin anew, without --resume"
            raise pytest.UsageError(f"--resume: since it began, {changes} changed: {advice}")
        if missing := set(self.journal.loaded) - {item.nodeid for item in session.items}:
            raise pytest.UsageError(f"--resume: name the same files; {min(missing)} was measured and is not among them")
        if self.journal.loaded:
            try:
                campaign.restore(Record.of(self.journal.state))
            except ValueError as error:
                raise pytest.UsageError(DAMAGED_JOURNAL.format(self.journal.path, f"its state {error}")) from error
            if edited := edited_helpers(plan.impls, campaign.record.sources):
                raise pytest.UsageError(
                    f"--resume: {edited}, which an implementation imports, changed since the campaign began;"
                    " restore it, or start again without --resume"
                )
        self._make_environments()
        campaign.record.resumed.append(Resumed(journal.date(), len(self.journal.loaded)))

    def _make_environments(self) -> None:
        """Make the environments of --with before anything is measured. Raises UsageError."""
        reporter = self.config.pluginmanager.get_plugin("terminalreporter")
        try:
            self.campaign.make_environments(reporter.write_line if reporter else lambda line: None)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from error

    def has(self, item: pytest.Item) -> bool:
        """Return whether the journal has the case."""
        return self.journal is not None and item.nodeid in self.journal.loaded

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Replay a finished case: pytest-benchmark gets its rounds again."""
        if self.journal is None or not self.has(pyfuncitem):
            return None
        benchmark = cast(BenchmarkFixture, pyfuncitem.funcargs["benchmark"])
        replay(self.journal.loaded[pyfuncitem.nodeid], benchmark, self.campaign)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Write a case to the journal as soon as it has ended."""
        report = yield
        fixtures = item.funcargs if isinstance(item, pytest.Function) else {}
        case, benchmark = fixtures.get("case"), cast(BenchmarkFixture, fixtures.get("benchmark"))
        if self.journal and call.when == "call" and isinstance(case, Case) and not self.has(item):
            outcome = self.campaign.done.get(case, INTERRUPTED)
            if outcome != INTERRUPTED:
                benchmark.extra_info |= {name: storage.plain(value) for name, value in benchmark.extra_info.items()}
                rounds = list(benchmark.stats.stats.data) if benchmark.stats and not benchmark.has_error else []
                result = FinishedCase(str(outcome), dict(benchmark.extra_info), rounds)
                self.journal.add(item.nodeid, result, asdict(self.campaign.snapshot()))
        return report

    def is_complete(self, session: pytest.Session) -> bool:
        """Return whether every selected case has ended and has been saved."""
        cases = {item.nodeid for item in session.items if "case" in getattr(item, "fixturenames", ())}
        return self.journal is not None and cases <= self.journal.finished and not self.faults

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Remove the journal of a complete run that is saved. If saving failed, set exit status 3."""
        self.complete = self.is_complete(session)
        if self.journal and self.complete and self.is_saved:
            self.journal.remove()
        if self.faults:
            session.exitstatus = 3

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Report what could not be saved, and how to go on."""
        session = terminalreporter._session
        for message in [*self.faults, *([self.journal.error] if self.journal and self.journal.error else [])]:
            terminalreporter.write_line(message, red=True)
        if self.journal and self.journal.path.exists() and session and not self.is_complete(session):
            terminalreporter.write_line(f"kept: {journal.describe(self.journal)}; --resume goes on with it")

    def pytest_unconfigure(self) -> None:
        """Close the journal and release the machine lock. An unsaved run keeps its journal if output is lost."""
        if self.journal:
            lost = self.output_lost()
            if self.complete and not self.is_saved and not lost:
                self.journal.remove()
            if lost:
                self.config.stash[STREAMS].results = self.where()
            self.journal.close()
        self.lock.release()

    def output_lost(self) -> str:
        """Return why output is lost; "" if nothing is."""
        streams = self.config.stash.get(STREAMS, None)
        return streams.lost() if streams else ""

    def where(self) -> str:
        """Return where the results are, and what to do."""
        assert self.journal is not None
        benchmarks = self.config.pluginmanager.get_plugin("pytest-benchmark")
        path = storage.saved_file(benchmarks) if benchmarks and not self.faults else None
        if path:
            return f"the run is saved: python -m results answer {path}"
        return "; ".join([*self.faults, f"kept: {journal.describe(self.journal)}; --resume goes on with it"])


def replay(result: FinishedCase, benchmark: BenchmarkFixture, campaign: Campaign) -> None:
    """Replay a finished case: give pytest-benchmark its rounds and facts, or raise the reason why it has no time."""
    outcome = Outcome.parse(result.end)
    benchmark.extra_info.update(result.facts)
    if result.rounds:
        remaining = iter(result.rounds)
        benchmark.pedantic(
            lambda: campaign.clock.turn(next(remaining)), setup=campaign.clock.zero, rounds=len(result.rounds)
        )  # type: ignore[no-untyped-call]
    if outcome.status is Status.SKIPPED:
        raise Unsupported(outcome.reason)
    if outcome.status is Status.REFUSED:
        raise Refused(outcome.reason)
    if outcome.status is Status.INVALID:
        mark_invalid(benchmark, outcome.reason)


def _plain(value: Any) -> Any:
    return str(value.absolute()) if isinstance(value, Path) else value


def code(impls: list[str], tables: list[str]) -> str:
    """Return a hash over the suite's own code, implementations given by path, and tables."""
    suite_files = [ROOT / "conftest.py", *ROOT.glob("impls/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    names = [*impls, *(catalogue.parse(name)[0] for name in tables)]
    digest = hashlib.sha256()
    for path in [*sorted(suite_files), *(Path(name) for name in names if name.endswith(".py") or is_table(name))]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def edited_helpers(impls: list[str], sources: dict[str, Source]) -> str:
    """Return the names of modules beside implementations given by path that are no longer as they were saved."""
    paths = [Path(impl) for impl in impls if impl.endswith(".py")]
    modules = [
        (path, source.helpers)
        for path in paths
        for name, source in sources.items()
        if name == path.stem or name.startswith(f"{path.stem}@")  # an environment's label follows
    ]
    saved = [(path.resolve().parent / name, text) for path, texts in modules for name, text in texts.items()]
    return ", ".join(file.name for file, text in saved if source_text(file) != text)


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Describe what changed of the plan, the code and the machine; "" if nothing did."""
    plan = [name for name, value in new["plan"].items() if old["plan"].get(name) != value]
    changes = [f"the plan's {name}" for name in plan]
    changes += ["the code of the suite, of an implementation or a table"] * (old["code"] != new["code"])
    changes += ["the machine, its packages or settings"] * (old["machine"] != new["machine"])
    return ", ".join(changes)

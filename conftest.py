"""Hooks of pytest and pytest-benchmark. More are in benchmarks/campaign/: options.py, session.py and resume.py."""

import contextlib
import dataclasses
import io
import os
import shutil
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.campaign import options, progress, storage
from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Case
from benchmarks.campaign.record import INTERRUPTED, Outcome, Status
from benchmarks.campaign.resume import ResumePlugin
from benchmarks.campaign.session import (
    another_configuration,
    case_name,
    check,
    ignore_signals,
    in_plan_order,
    install_signal_handlers,
)
from benchmarks.campaign.until_decided import Question
from benchmarks.machine import identity, privacy
from benchmarks.worker.client import Invalid, Refused
from benchmarks.worker.workspace import Home
from impls.interface import Unsupported

if TYPE_CHECKING:  # it imports pandas
    from results.page.standing import Look

ROOT = Path(__file__).parent
FIRST_SHOWN_LOOK = 3  # blocks, from which on a run without --until-decided shows what is decided
CAMPAIGN = pytest.StashKey[Campaign]()
FOLDER = pytest.StashKey[Path]()
RESUME = pytest.StashKey[ResumePlugin]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    config = pluginmanager.get_plugin("pytestconfig")
    if config is None or pluginmanager.hasplugin(options.__name__):
        return
    if config.invocation_params.args:  # pytest takes `--impl mine.py` for a path: its conftest.py would be next
        raise another_configuration(config)
    options.pytest_addoption(parser, pluginmanager)  # for the command `pytest-benchmark compare`


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    check(config)
    try:
        name = identity.check_slug(config.option.machine or identity.slug())
        identity.check_slug(config.option.benchmark_save or "unsaved", "--benchmark-save")
        if config.option.benchmark_storage == "file://./.benchmarks":
            config.stash[FOLDER] = ROOT / "results" / "runs" / name
            config.option.benchmark_storage = f"file://{config.stash[FOLDER]}"
        resume_plugin = config.stash[RESUME] = ResumePlugin(config)
        config.pluginmanager.register(resume_plugin, "descentbench-resume")
        resume_plugin.load_checkpoint()
        config.stash[CAMPAIGN] = resume_plugin.campaign = Campaign(options.plan(config.option, resume_plugin.here))
    except (ValueError, Unsupported) as error:
        raise pytest.UsageError(str(error)) from error
    if config.option.dask_scheduler:
        os.environ["DASK_SCHEDULER_ADDRESS"] = config.option.dask_scheduler  # Dask reads it in the workers


@pytest.fixture
def case(request: pytest.FixtureRequest, campaign: Campaign) -> Case:
    """Return the case that the parameter names."""
    return campaign.selected[request.param]


@pytest.fixture
def campaign(pytestconfig: pytest.Config) -> Campaign:
    """Return the campaign of this pytest session."""
    return pytestconfig.stash[CAMPAIGN]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    campaign = metafunc.config.stash[CAMPAIGN]
    timer, has_timeout = campaign.clock.worker_seconds, metafunc.config.pluginmanager.hasplugin("timeout")
    no_timeout = [pytest.mark.timeout(0)] if has_timeout else []  # the worker has its own
    params = [
        pytest.param(str(case), marks=[*no_timeout, pytest.mark.benchmark(group=case.group, timer=timer)])
        for case in campaign.plan.cases()
    ]
    metafunc.parametrize("case", params, indirect=True)  # by name: saved parameters must be plain


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Restore the plan's order after all that changes it: plugins, and pytest's own --failed-first and --new-first."""
    campaign = session.config.stash[CAMPAIGN]
    session.items[:] = in_plan_order(session.items, campaign.plan)
    campaign.select({case_name(item) for item in session.items})
    if campaign.selected:
        install_signal_handlers()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Record the outcome of each case. Unsupported is a skip; Refused and Invalid are failures without a traceback."""
    case = pyfuncitem.funcargs.get("case")
    if not isinstance(case, Case):
        return (yield)
    campaign = pyfuncitem.config.stash[CAMPAIGN]
    campaign.done[case] = INTERRUPTED
    try:
        result = yield
        campaign.done[case] = Outcome(Status.TIMED)
        return result
    except (Unsupported, Refused, Invalid) as error:
        campaign.done[case] = outcome = Outcome.of(error)
    if outcome.status is Status.SKIPPED and not pyfuncitem.config.option.require:
        pytest.skip(outcome.reason)
    pytest.fail(f"{case}: {outcome.reason}", pytrace=False)  # a reason may be a workflow command


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Show what runs now, while pytest captures no output. Record the system load of each block."""
    reporter = item.config.pluginmanager.get_plugin("terminalreporter")
    campaign = item.config.stash[CAMPAIGN]
    case = campaign.selected.get(case_name(item))
    if case is None:
        return (yield)
    finished = item.config.stash[RESUME].has(item)
    if not finished:
        campaign.enter(case)
    try:
        if reporter is not None and not finished:
            progress.show(reporter, campaign, case)
            reporter.currentfspath = item.path  # pytest would name the file again
        return (yield)
    finally:
        if reporter is not None:
            progress.clear(reporter)
        later_items = item.session.items[item.session.items.index(item) + 1 :]
        next_case = campaign.selected.get(case_name(later_items[0])) if later_items else None
        if next_case is None or next_case.block != case.block:
            campaign.leave(case.block)
            if next_case is not None:
                drop(item.session, needless(item.config, later_items))


def needless(config: pytest.Config, later_items: list[pytest.Item]) -> list[Case]:
    """Return the cases after a block for which no time is left, or which have no open question.

    Without --until-decided, the finished cases of a resumed campaign stay.
    """
    campaign, resume_plugin = config.stash[CAMPAIGN], config.stash[RESUME]
    cases = cases_of(later_items, campaign)
    if campaign.plan.until_decided and Outcome(Status.TIMED) not in campaign.done.values():
        return cases  # failed cases are not tried again
    block = [case for case in cases if case.block == cases[0].block]
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    judged = campaign.plan.until_decided or block[0].block >= FIRST_SHOWN_LOOK
    look = look_now(config) if judged else None
    if look is None or not campaign.plan.until_decided:
        if look is not None and reporter is not None:
            progress.show_look(reporter, block[0].block, look.state, look.fastest, f"{len(block)} cases")
        if campaign.has_time():
            return []
        return cases_of([item for item in later_items if not resume_plugin.has(item)], campaign)
    replace_private = privacy.replacer(campaign.plan.hosts)  # as in the rows that were judged
    places = {privacy.clean(case.place, replace_private): case.place for case in block}
    open_pairs = [(pair, gain) for pair, gain in look.questions if places.keys() >= {*pair}]
    questions = [Question((places[first], places[second]), gain) for (first, second), gain in open_pairs]
    left_out = campaign.leave_out(block, look.comparisons, look.decided, questions)
    if reporter is not None:
        following = f"{len(block) - len(left_out)} of {len(block)} cases" if len(left_out) < len(block) else ""
        progress.show_look(reporter, block[0].block, look.state, look.fastest, following)
    return cases if len(left_out) == len(block) else left_out


def look_now(config: pytest.Config) -> "Look | None":
    """Return the verdicts of the rows so far; None if they cannot be judged."""
    from results.commands.report import default_baseline
    from results.page.standing import look
    from results.store.reading import RunError
    from results.store.runs import ROOT as RUNS
    from results.store.runs import find

    benchmarks = config.pluginmanager.get_plugin("pytest-benchmark")
    assert benchmarks is not None
    try:
        with Home() as folder:
            storage.write_unsaved(benchmarks, path := Path(folder) / "not-saved.json")
            run = find(str(path), RUNS)
            if config.option.benchmark_save or config.option.benchmark_autosave:  # follows all numbered runs
                run = dataclasses.replace(run, path=Path(benchmarks.storage.get("")) / "~.json")
            return look(run, default_baseline([run]))
    except (RunError, OSError, ValueError) as error:
        if reporter := config.pluginmanager.get_plugin("terminalreporter"):
            reporter.write_line(f"cannot judge this block, so the next one runs all cases: {error}")
        return None


def drop(session: pytest.Session, cases: list[Case]) -> None:
    """Take cases out of the session."""
    names = {str(case) for case in cases}
    session.items[:] = [item for item in session.items if case_name(item) not in names]
    campaign = session.config.stash[CAMPAIGN]
    campaign.selected = {name: case for name, case in campaign.selected.items() if name not in names}


def cases_of(items: list[pytest.Item], campaign: Campaign) -> list[Case]:
    """Return the cases of the test items that have one."""
    return [case for item in items if (case := campaign.selected.get(case_name(item))) is not None]


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """Print no dots for cases: the progress line says more."""
    if "bench_descent[" in report.nodeid and report.when == "call":
        return report.outcome, "", report.outcome.upper()
    return None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
    """Close the campaign before pytest-benchmark saves."""
    ignore_signals()
    session.config.stash[CAMPAIGN].interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    session.config.stash[CAMPAIGN].close()
    yield


def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any]:
    """Return pytest-benchmark's facts and more. The CPU is examined only once, because that is slow."""
    return identity.facts(config.option.machine or identity.slug())


def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    commit_info["project"] = "descentbench"  # not what somebody calls the folder
    commit_info.pop("branch", None)


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    campaign = config.stash[CAMPAIGN]
    from results.store.json_values import parse_json
    from results.store.schema import VERSION
    from results.store.seal import seal  # imported here, because it imports pandas

    machine = config.option.machine or identity.slug()
    campaign_facts = {"schema": VERSION, "machine": machine, "preset": config.option.preset, **campaign.summary()}
    replace = privacy.replacer(campaign.plan.hosts)
    code = privacy.clean(campaign_facts.pop("sources"), privacy.path_replacer())  # a word of it may be a user's name
    output_json["campaign"] = privacy.clean(campaign_facts, replace) | {"sources": code}
    for row in output_json["benchmarks"]:
        row["extra_info"] = privacy.clean(row["extra_info"], replace)
    output_json |= parse_json(storage.encoded(output_json, indent=None))  # as readers will see it: keys become text
    seal(output_json)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show for each implementation and device how many cases have a time, and why the others have none."""
    campaign = config.stash[CAMPAIGN]
    if campaign.workspace.removed:
        terminalreporter.write_line(campaign.workspace.summary())
    if not campaign.done:
        return
    terminalreporter.section("implementations")
    outcomes: dict[tuple[str, str], Counter[Outcome]] = {}
    for case, outcome in campaign.done.items():
        outcomes.setdefault((case.name, case.device), Counter())[outcome] += 1
    width = max(len(name) for name, _ in outcomes)
    for (name, device), counts in sorted(outcomes.items()):
        timed = counts[Outcome(Status.TIMED)]
        terminalreporter.write_line(f"{name:{width}}  {device}  {timed:3} timed  {reasons(counts)}".rstrip())
    for note in campaign.gpu_notes():
        terminalreporter.write_line(note)
    if cut := Counter(f"{case.name} ({case.device})" for case in campaign.not_run):
        terminalreporter.write_line(f"not run: {', '.join(f'{count} of {name}' for name, count in cut.items())}")
    write_answer(terminalreporter, config)


def write_answer(reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write the answer of `python -m results answer` about this run, saved or not."""
    benchmarks = config.pluginmanager.get_plugin("pytest-benchmark")
    assert benchmarks is not None
    if benchmarks.disabled or not benchmarks.benchmarks:
        return
    reporter.section("answer")
    try:
        from results.commands.show import answer_run
        from results.output import write
        from results.store.reading import RunError
        from results.store.runs import ROOT as RUNS
        from results.store.runs import find
    except ModuleNotFoundError as error:
        reporter.write_line(f"no verdicts: {error.name} is missing; pip install {error.name}, then: python -m results")
        for row in benchmarks.benchmarks:
            facts = row.extra_info
            reporter.write_line(f"{row.name}  {facts['per_step_s']:.3g} s per step" if facts.get("valid") else row.name)
        return
    encoding = getattr(sys.__stdout__, "encoding", None) or "utf-8"
    text = io.TextIOWrapper(io.BytesIO(), encoding, errors="backslashreplace", newline="\n")
    columns = shutil.get_terminal_size().columns if reporter.isatty else None
    try:
        with contextlib.ExitStack() as stack:
            path = storage.saved_file(benchmarks)
            if path is None:
                path = Path(stack.enter_context(Home()), "not-saved.json")
                storage.write_unsaved(benchmarks, path)
            write(answer_run(find(str(path), RUNS)), "table", text, columns)
    except (RunError, OSError, ValueError) as error:  # also: the folder for temporary files is gone
        reporter.write_line(f"no answer: {error}")
        return
    text.seek(0)
    reporter.write_line(text.read().rstrip())


def reasons(counts: Counter[Outcome]) -> str:
    """Return how many cases were skipped, refused or invalid, each with the first reason in full."""
    phrases = []
    for status in (Status.SKIPPED, Status.REFUSED, Status.INVALID):
        of_status = [outcome for outcome in counts if outcome.status is status]
        if of_status:
            more = " (and other reasons)" if len(of_status) > 1 else ""
            phrases.append(f"{sum(counts[outcome] for outcome in of_status)} {of_status[0]}{more}")
    return "; ".join(phrases)


def pytest_unconfigure(config: pytest.Config) -> None:
    if CAMPAIGN in config.stash:
        config.stash[CAMPAIGN].close()
    if FOLDER in config.stash:
        with contextlib.suppress(OSError):  # pytest-benchmark always makes the folder; remove it if it is empty
            config.stash[FOLDER].rmdir()

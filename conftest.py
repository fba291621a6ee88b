"""Options and hooks: the one place that ties pytest and pytest-benchmark to the house."""

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import limits, machine, options, progress
from benchmarks.campaign import Campaign
from benchmarks.plan import PRESETS, Case
from benchmarks.workers import Invalid, Refused
from impls.interface import Unsupported

ROOT = Path(__file__).parent
CAMPAIGN = pytest.StashKey[Campaign]()
FOLDER = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    group = parser.getgroup("descentbench", "gradient descent, framework against framework")

    def add(name: str, help: str, **more: Any) -> None:
        group.addoption(name, help=help, **more)

    add(
        "--preset",
        f"how much of everything: {', '.join(PRESETS)} (default: default)",
        default="default",
        metavar="NAME",
    )
    add("--impl", "implementations: names, or paths of your own files (default: all)", metavar="A,B,PATH.py")
    add("--problem", "problems, `small@32` for mini-batches of 32 rows, or your own table", metavar="P,Q,PATH.csv")
    add("--target", "which columns of your own table to predict", metavar="COL[,COL]")
    add("--device", "cpu, gpu or both (default: cpu)", default="cpu", metavar="cpu,gpu")
    add("--dtype", "float32, float64 or both (default: the preset's)", metavar="float32,float64")
    add("--blocks", "repeat everything in so many fresh processes (default: the preset's)", type=int, metavar="K")
    add("--minutes", "as many blocks as fit into so many minutes, one at least", type=float, metavar="M")
    add("--aa", "which runs twice in every block, or none (default: numpy_manual, or the first)", metavar="NAME")
    add("--precision", "products of float32: highest, or tf32 (default: highest)", default="highest", metavar="NAME")
    add("--threads", "threads and cores for every implementation (default: all cores)", type=int, metavar="N")
    add(
        "--ranks",
        "so many processes that are one descent, on cores of their own (default: 0, off)",
        type=int,
        default=0,
        metavar="N",
    )
    add("--oversubscribe", "more ranks than threads: they share cores", action="store_true")
    add("--seed", "seed of data and of mini-batches' order (default: 0)", type=int, default=0, metavar="N")
    add("--steps", "updates in a run (default: the problem's own number)", type=int, metavar="N")
    add("--lr", "learning rate (default: the problem's own, 1/L for most)", type=float, metavar="LR")
    add("--machine", "name of this machine in results/runs (default: CPU, cores, GPU, a hash)", metavar="NAME")
    add("--dask-scheduler", "address of a cluster's scheduler (default: a cluster in the worker)", metavar="ADDRESS")
    if not pluginmanager.hasplugin("timeout"):  # pytest-timeout, where it is installed, has the same option
        add("--timeout", "seconds after which a case is killed (default: 300)", type=float, metavar="S")
    add("--require", "a skip is an error", action="store_true")
    add("--no-limits", "do not measure what the machine could do: saves some seconds a block", action="store_true")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None) and any("benchmarks" in Path(arg).parts for arg in config.args):
        raise pytest.UsageError("-n: benchmarks that run at the same time disturb one another; leave -n out")
    try:
        config.stash[CAMPAIGN] = Campaign(options.plan(config.option, config.invocation_params.dir))
        name = machine.check_slug(config.option.machine or machine.slug())
        machine.check_slug(config.option.benchmark_save or "unsaved", "--benchmark-save")
    except (ValueError, Unsupported) as error:
        raise pytest.UsageError(str(error)) from error
    if config.option.dask_scheduler:
        os.environ["DASK_SCHEDULER_ADDRESS"] = config.option.dask_scheduler  # Dask reads it in the workers
    if config.option.benchmark_storage == "file://./.benchmarks":
        config.stash[FOLDER] = ROOT / "results" / "runs" / name
        config.option.benchmark_storage = f"file://{config.stash[FOLDER]}"


@pytest.fixture
def case(request: pytest.FixtureRequest, campaign: Campaign) -> Case:
    """The case of that name."""
    return campaign.selected[request.param]


@pytest.fixture
def campaign(pytestconfig: pytest.Config) -> Campaign:
    """The campaign that this pytest session carries out."""
    return pytestconfig.stash[CAMPAIGN]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    campaign = metafunc.config.stash[CAMPAIGN]
    timer = campaign.clock.worker_seconds
    own = (
        [pytest.mark.timeout(0)] if metafunc.config.pluginmanager.hasplugin("timeout") else []
    )  # the worker has its own
    params = [
        pytest.param(str(case), marks=[*own, pytest.mark.benchmark(group=case.group, timer=timer)])
        for case in campaign.plan.cases()
    ]
    metafunc.parametrize("case", params, indirect=True)  # by name: what is saved of a parameter must be plain


def pytest_collection_finish(session: pytest.Session) -> None:
    campaign = session.config.stash[CAMPAIGN]
    names = {item.callspec.params.get("case") for item in session.items if hasattr(item, "callspec")}
    campaign.selected = {str(case): case for case in campaign.plan.cases() if str(case) in names}
    if campaign.selected and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: keep what is complete, leave nothing


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Keep how each case ended; Unsupported is a skip, Refused and Invalid are failures that need no traceback."""
    case = pyfuncitem.funcargs.get("case")
    if not isinstance(case, Case):
        return (yield)
    campaign = pyfuncitem.config.stash[CAMPAIGN]
    campaign.done[case] = "refused: interrupted"
    error: Exception | None = None
    try:
        result = yield
    except (Unsupported, Refused, Invalid) as refusal:
        error = refusal
    if error is None:
        campaign.done[case] = "timed"
        return result
    how = {Unsupported: "skipped", Refused: "refused", Invalid: "invalid"}[type(error)]
    campaign.done[case] = f"{how}: {error}"
    if how == "skipped" and not pyfuncitem.config.option.require:
        pytest.skip(str(error))
    pytest.fail(str(error), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Say what runs now, while pytest does not capture what is written; note the machine's state block by block."""
    reporter = item.config.pluginmanager.get_plugin("terminalreporter")
    campaign = item.config.stash[CAMPAIGN]
    case = case_of(item, campaign)
    if case is None:
        return (yield)
    campaign.enter(case)
    try:
        if reporter is not None:
            progress.show(reporter, campaign, case)
            reporter.currentfspath = item.path  # pytest would name the file again
        return (yield)
    finally:
        if reporter is not None:
            progress.clear(reporter)
        items = item.session.items
        later = items.index(item) + 1
        after = case_of(items[later], campaign) if later < len(items) else None
        if after is None or after.block != case.block:
            campaign.leave()
            if after is not None and not campaign.has_time():
                for left in items[later:]:
                    campaign.selected.pop(left.name.partition("[")[2].removesuffix("]"), None)
                del items[later:]


def case_of(item: pytest.Item, campaign: Campaign) -> Case | None:
    """The case that an item is about."""
    return campaign.selected.get(item.callspec.params.get("case")) if hasattr(item, "callspec") else None


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """No dots for cases: the progress line says more."""
    if "bench_descent[" in report.nodeid and report.when == "call":
        return report.outcome, "", report.outcome.upper()
    return None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Generator[None, None, None]:
    """Before pytest-benchmark saves."""
    session.config.stash[CAMPAIGN].interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
    yield


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info |= machine.facts(config.option.machine or machine.slug())
    for fluctuating in ("hz_actual", "hz_actual_friendly"):  # else every comparison warns of another machine
        machine_info.get("cpu", {}).pop(fluctuating, None)


def pytest_benchmark_update_commit_info(commit_info: dict[str, Any]) -> None:
    commit_info["project"] = "descentbench"  # not what somebody calls the folder


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    campaign = config.stash[CAMPAIGN]
    for row in output_json["benchmarks"]:
        facts = row["extra_info"]
        facts |= limits.told(facts, campaign.limits.get(facts.get("device"), {}).get(facts.get("block"), {}))
    from results.digest import seal  # not before: pandas comes along
    from results.schema import VERSION

    output_json["campaign"] = {
        "schema": VERSION,
        "machine": config.option.machine or machine.slug(),
        "preset": config.option.preset,
        **campaign.summary(),
    }
    seal(output_json)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Implementation x device: how many cases have a time, and why the others have none."""
    campaign = config.stash[CAMPAIGN]
    if not campaign.done:
        return
    terminalreporter.section("implementations")
    ends: dict[tuple[str, str], Counter[str]] = {}
    for case, end in campaign.done.items():
        ends.setdefault((case.name, case.device), Counter())[end] += 1
    width = max(len(name) for name, _ in ends)
    for (name, device), counts in sorted(ends.items()):
        others = [end for end in counts if end != "timed"]
        terminalreporter.write_line(
            f"{name:{width}}  {device}  {counts['timed']:3} timed  {reasons(counts, others)}".rstrip()
        )


def reasons(counts: Counter[str], ends: list[str]) -> str:
    """How many were skipped, refused or invalid, and why: the first reason in full, others by their number."""
    said = []
    for how in ("skipped", "refused", "invalid"):
        mine = [end for end in ends if end.startswith(how)]
        if mine:
            more = " (and other reasons)" if len(mine) > 1 else ""
            said.append(f"{sum(counts[end] for end in mine)} {mine[0]}{more}")
    return "; ".join(said)


def pytest_unconfigure(config: pytest.Config) -> None:
    if CAMPAIGN in config.stash:
        config.stash[CAMPAIGN].close()
    if FOLDER in config.stash:
        with contextlib.suppress(OSError):  # pytest-benchmark makes it in any case; it goes unless something is in it
            config.stash[FOLDER].rmdir()

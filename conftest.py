"""Options and hooks: the one place that ties pytest and pytest-benchmark to the house."""

import shutil
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import impls
from benchmarks import machine, problems
from benchmarks.campaign import PRESETS, Campaign, Case, Plan
from benchmarks.workers import Refused
from impls.interface import Unsupported

ROOT = Path(__file__).parent
TIMEOUT = 300.0  # seconds a case
CAMPAIGN = pytest.StashKey[Campaign]()


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
    add("--threads", "threads and cores for every implementation (default: all cores)", type=int, metavar="N")
    add("--seed", "seed of data and of mini-batches' order (default: 0)", type=int, default=0, metavar="N")
    add("--lr", "learning rate (default: the problem's own, 1/L for most)", type=float, metavar="LR")
    add("--machine", "name of this machine in results/runs (default: CPU, cores, GPU, a hash)", metavar="NAME")
    if not pluginmanager.hasplugin("timeout"):  # pytest-timeout, where it is installed, has the same option
        add("--timeout", "seconds after which a case is killed (default: 300)", type=float, metavar="S")
    add("--require", "a skip is an error", action="store_true")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None) and any("benchmarks" in Path(arg).parts for arg in config.args):
        raise pytest.UsageError("-n: benchmarks that run at the same time disturb one another; leave -n out")
    try:
        config.stash[CAMPAIGN] = Campaign(plan(config))
        name = machine.check_slug(config.option.machine or machine.slug())
    except (ValueError, Unsupported) as error:
        raise pytest.UsageError(str(error)) from error
    if config.option.benchmark_storage == "file://./.benchmarks":
        config.option.benchmark_storage = f"file://{ROOT / 'results' / 'runs' / name}"


def plan(config: pytest.Config) -> Plan:
    """What the options ask for. Raises ValueError for what does not exist, with the nearest name that does."""
    option = config.option
    preset = PRESETS[choose("preset", option.preset, list(PRESETS))[0]]
    threads = machine.cores() if option.threads is None else option.threads
    for name, value, low, high in (
        ("--threads", threads, 1, machine.cores()),
        ("--blocks", preset.blocks if option.blocks is None else option.blocks, 1, 10_000),
        ("--timeout", option.timeout or TIMEOUT, 0.1, 1e6),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name} must be between {low} and {high}, not {value:g}")
    target = option.target.split(",") if option.target else []
    return Plan(
        impls=implementations(option.impl, config.invocation_params.dir),
        devices=choose("device", option.device, ["cpu", "gpu"]),
        problems=tables(option.problem, config.invocation_params.dir, target) or preset.problems,
        dtypes=choose("dtype", option.dtype, ["float32", "float64"]) if option.dtype else preset.dtypes,
        blocks=preset.blocks if option.blocks is None else option.blocks,
        seconds=preset.seconds,
        threads=threads,
        seed=option.seed,
        timeout=option.timeout or TIMEOUT,
        lr=option.lr,
        target=target,
    )


def choose(what: str, given: str, known: list[str]) -> list[str]:
    """The comma-separated words, each of which must be known."""
    for word in words(given):
        if word not in known:
            raise ValueError(f"no {what} {word!r}{impls.nearest(word, known)}")
    return words(given)


def words(given: str) -> list[str]:
    """Comma-separated words, each once."""
    return list(dict.fromkeys(word.strip() for word in given.split(",") if word.strip()))


def implementations(given: str | None, here: Path) -> list[str]:
    """Names and absolute paths. Raises ValueError for an unknown name, a missing file, or two of one name."""
    if not given:
        return impls.names()
    paths = [str(here / word) if word.endswith(".py") else word for word in words(given)]
    names = Counter(Path(path).stem for path in paths)
    for path in paths:
        if names[Path(path).stem] > 1:
            raise ValueError(f"two implementations are called {Path(path).stem!r}; rename one file")
        if path.endswith(".py") and not Path(path).is_file():
            raise ValueError(f"no file {path!r}")
        if not path.endswith(".py"):
            choose("implementation", path, impls.names())
    return paths


def tables(given: str | None, here: Path, target: list[str]) -> list[str]:
    """Problems' names, tables by absolute path. Raises ValueError for unknown names and tables that cannot be used."""
    names = []
    for word in words(given or ""):
        base, batch = problems.parse(word)
        if base.endswith(".csv"):
            word = str(here / base) + (f"@{batch}" if batch else "")
            problems.build(word, target=target)
        names.append(word)
    return names


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
        pytest.param(case, marks=[*own, pytest.mark.benchmark(group=case.group, timer=timer)])
        for case in campaign.plan.cases()
    ]
    metafunc.parametrize("case", params, ids=str)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Keep how each case ended; Unsupported is a skip, Refused a failure that needs no traceback."""
    case = pyfuncitem.funcargs.get("case")
    if not isinstance(case, Case):
        return (yield)
    campaign = pyfuncitem.config.stash[CAMPAIGN]
    campaign.done[case] = "refused: interrupted"
    try:
        result = yield
    except Unsupported as error:
        campaign.done[case] = f"skipped: {error}"
        (pytest.fail if pyfuncitem.config.option.require else pytest.skip)(str(error))
    except Refused as error:
        campaign.done[case] = f"refused: {error}"
        pytest.fail(str(error), pytrace=False)
    campaign.done[case] = "timed"
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Say what runs now, while pytest does not capture what is written."""
    reporter = item.config.pluginmanager.get_plugin("terminalreporter")
    case = item.callspec.params.get("case") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    if reporter is not None and isinstance(case, Case):
        show_progress(reporter, item.config.stash[CAMPAIGN], case)
        reporter.currentfspath = item.path  # pytest would name the file again
    return (yield)


def show_progress(reporter: pytest.TerminalReporter, campaign: Campaign, case: Case) -> None:
    """What runs now and how much is left: one line that is rewritten on a terminal, a line a process elsewhere."""
    total, done = len(campaign.plan.cases()), len(campaign.done)
    seconds = (time.monotonic() - campaign.started) / max(done, 1) * (total - done)
    left = f", about {round(seconds / 60)} min left" if seconds >= 90 else f", about {round(seconds, -1):.0f} s left"
    left = left if done >= 9 else ""
    where = f"[{done + 1}/{total}] {case.name} on {case.device}"
    block = f", block {case.block + 1} of {campaign.plan.blocks}"
    if reporter.isatty:
        line = f"{where}: {case.title} {case.dtype}{left}{block}"
        reporter.rewrite(line[: shutil.get_terminal_size().columns - 1], erase=True)
    elif not campaign.done or next(reversed(campaign.done)).host != case.host:
        reporter.write(f"{where}{block}{left}\n")


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> tuple[str, str, str] | None:
    """No dots for cases: the progress line says more."""
    if "bench_descent[" in report.nodeid and report.when == "call":
        return report.outcome, "", report.outcome.upper()
    return None


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    machine_info |= machine.facts(config.option.machine or machine.slug())
    for fluctuating in ("hz_actual", "hz_actual_friendly"):  # else every comparison warns of another machine
        machine_info.get("cpu", {}).pop(fluctuating, None)


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    campaign = config.stash[CAMPAIGN]
    planned = len(campaign.plan.cases())
    output_json["campaign"] = {
        "machine": config.option.machine or machine.slug(),
        "preset": config.option.preset,
        "planned": planned,
        **campaign.summary(interrupted=len(campaign.done) < planned),
    }


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
        timed = counts.pop("timed", 0)
        reasons = "; ".join(f"{end} ({count} case{'s' * (count > 1)})" for end, count in counts.items())
        terminalreporter.write_line(f"{name:{width}}  {device}  {timed:3} timed  {reasons}".rstrip())


def pytest_unconfigure(config: pytest.Config) -> None:
    if CAMPAIGN in config.stash:
        config.stash[CAMPAIGN].close()

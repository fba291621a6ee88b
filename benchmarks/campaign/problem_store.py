"""The problems of a campaign, on disk for its workers: each is made when a case first needs it."""

from dataclasses import asdict
from pathlib import Path

from benchmarks.campaign.plan import Plan
from benchmarks.problems import catalogue
from benchmarks.problems.tables import check_dtype
from benchmarks.timing.prepared import PreparedProblem, prepare_problem
from benchmarks.worker import memory
from benchmarks.worker.client import Refused
from benchmarks.worker.workspace import Workspace, remove_tree
from impls.interface import Problem, Unsupported

NO_MEMORY = "out of memory while the problem was made; give fewer rows or columns"
NO_ROOM = "the problem cannot be written to the temporary folder: {}; free some space, or set TMPDIR to another folder"


class ProblemStore:
    """The prepared problems by name, dtype and precision, or the errors of those that cannot be made."""

    def __init__(self, plan: Plan, workspace: Workspace) -> None:
        self.plan, self.workspace = plan, workspace
        self.folder: Path | None = None
        self.tasks: dict[tuple[str, str, str], PreparedProblem | Unsupported | Refused] = {}

    def get(self, name: str, dtype: str, precision: str) -> PreparedProblem:
        """Return a problem, built when first needed. Raises Unsupported or Refused."""
        if (name, dtype, precision) not in self.tasks:
            self._build(name, precision)
        task = self.tasks[name, dtype, precision]
        if isinstance(task, Exception):
            raise task
        return task

    def close(self) -> None:
        """Remove the problems from the disk."""
        if self.folder is not None:
            self.workspace.remove(self.folder)
        self.folder = None

    def _build(self, name: str, precision: str) -> None:
        """Build a problem in the dtypes that fit, write it for the workers, and compute its reference solution."""
        plan = self.plan
        dtypes = self._fitting(name, precision, *catalogue.numbers(name, plan.steps))
        if not dtypes:
            return
        try:
            exact, data = catalogue.build(
                name, seed=plan.seed, target=plan.target, lr=plan.lr, steps=plan.steps, reading=plan.reading
            )
        except (Unsupported, ValueError, MemoryError) as error:
            self.tasks |= {(name, dtype, precision): no_problem(error) for dtype in dtypes}
            return
        for dtype in self._fitting(name, precision, *catalogue.counted(exact)):
            try:
                check_dtype(catalogue.parse(name)[0], exact.y, data.targets, catalogue.host_dtype(dtype))
                self.tasks[name, dtype, precision] = self._prepare(name, catalogue.cast(exact, dtype), dtype, precision)
            except (ValueError, MemoryError, OSError) as error:
                self.tasks[name, dtype, precision] = no_problem(error)

    def _fitting(self, name: str, precision: str, floats: int, indices: int) -> list[str]:
        """Return the plan's dtypes in which the problem fits into memory. Record the reason for the others."""
        for dtype in self.plan.dtypes:
            try:
                memory.require(floats, indices, catalogue.host_dtype(dtype), self.plan.memory)
            except Unsupported as error:
                self.tasks[name, dtype, precision] = error
        return [dtype for dtype in self.plan.dtypes if (name, dtype, precision) not in self.tasks]

    def _prepare(self, name: str, problem: Problem, dtype: str, precision: str) -> PreparedProblem:
        plan, recipe = self.plan, None
        if len(plan.hosts) > 1:  # other hosts make a problem from its recipe, and have no check of rows
            arguments = {"name": name, "seed": plan.seed, "target": plan.target, "steps": plan.steps}
            recipe = arguments | {"reading": asdict(plan.reading)}
        self.folder = self.folder or self.workspace.new("problems")
        folder = self.folder / f"{len(self.tasks)}-{dtype}"
        try:
            return prepare_problem(name, problem, folder, precision=precision, made=recipe)
        except OSError:
            remove_tree(folder)  # makes room for the next problem
            raise


def no_problem(error: Exception) -> Unsupported | Refused:
    """Return the error for the cases of a problem that could not be made or written."""
    if isinstance(error, Unsupported):
        return error
    if isinstance(error, MemoryError):
        return Refused(NO_MEMORY)
    return Refused(NO_ROOM.format(error.strerror or error) if isinstance(error, OSError) else str(error))

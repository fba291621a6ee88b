"""Turn an implementation's exception into one line with its file and line."""

import traceback
from pathlib import Path

import impls
from benchmarks.typed_json import printable
from impls.interface import Prepare, Run

ERROR_CHARACTERS = 220  # of an error's text


def raised(error: Exception, impl: str) -> str:
    """Return "raised ValueError: its text (mine.py:12)".

    The place is the innermost frame in the implementation's folder, which may be a module beside it. Without such a
    frame, as in a call with the wrong number of arguments, the place is the file.
    """
    text = printable(error, ERROR_CHARACTERS)
    return f"raised {type(error).__name__}{f': {text}' if text else ''} ({place(error, impls.file(impl))})"


def place(error: Exception, file: Path) -> str:
    """Return the file name and the line of the innermost frame in the folder of `file`; without one, its name."""
    folder = file.resolve().parent
    frames = [(Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    places = [f"{path.name}:{line}" for path, line in frames if path.resolve().parent == folder]
    return places[-1] if places else file.name


def no_run(prepared: Run | object, prepare: Prepare) -> str:
    """Return what is wrong with the result of `prepare`, "" if it can be called."""
    if callable(prepared):
        return ""
    kind = "nothing" if prepared is None else f"a {type(prepared).__name__}"
    code = getattr(prepare, "__code__", None)
    place = f" ({Path(code.co_filename).name}:{code.co_firstlineno})" if code else ""
    return f"prepare returned {kind}; return a function run(start, steps){place}"

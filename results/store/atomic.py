"""Files that are there when they are complete: until then, what was there before stays as it was."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A stream for the bytes of a file, which appears when the block is left without an error. Raises OSError."""
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        with path.open("wb") as stream:
            yield stream
        return
    path = path.resolve()
    new = path.with_name(f".{path.name}.tmp")  # the next one replaces what a kill has left
    try:
        with new.open("wb") as stream:
            yield stream
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def put(path: Path, content: str | bytes) -> None:
    """Write all of a file; text as UTF-8. Raises OSError."""
    with whole(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)

"""Write files atomically: the old content stays until the new content is complete."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def atomic_open(path: Path) -> Iterator[BinaryIO]:
    """Open a binary stream. Replace the file when the `with` block ends without an error. Raises OSError."""
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe
        with path.open("wb") as stream:
            yield stream
        return
    path = path.resolve()
    new = path.with_name(f".{path.name}.tmp")  # the next writer overwrites one that a killed process left behind
    try:
        with new.open("wb") as stream:
            yield stream
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def atomic_write(path: Path, content: str | bytes) -> None:
    """Write a file atomically, text as UTF-8. Raises OSError."""
    with atomic_open(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)

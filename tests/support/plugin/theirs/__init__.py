"""Somebody else's package; it notes by which programs it is imported."""

import os
import sys
from pathlib import Path

if "THEIRS_IMPORTED_BY" in os.environ:
    with Path(os.environ["THEIRS_IMPORTED_BY"]).open("a") as notes:
        notes.write(f"{sys.modules['__main__'].__spec__.name}\n")

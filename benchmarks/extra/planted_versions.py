"""Make two versions of a package whose step differs by 5 % more work.

usage: python -m benchmarks.extra.planted_versions FOLDER

Three environments hold the package `planted`, a framework with one loop. `old` and `same` hold version 1.0, the loop of
`numpy_manual`. `new` holds version 2.0, the same loop with 5 % more steps. All else is shared with this interpreter.
Prints what `--python` takes. `make acceptance-environments` looks for the difference.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import impls

OLD_VERSION, NEW_VERSION = "1.0", "2.0"
ENVIRONMENTS = {"old": OLD_VERSION, "same": OLD_VERSION, "new": NEW_VERSION}  # by name: the version
LOOPS = {
    OLD_VERSION: impls.HERE / "numpy_manual.py",
    NEW_VERSION: Path(__file__).parent / "loops" / "five_per_cent_numpy.py",
}
METADATA = "Metadata-Version: 2.1\nName: planted\nVersion: {}\n"


def make(folder: Path) -> list[str]:
    """Make the environments anew in a folder. Return `NAME=PYTHON` of each."""
    shutil.rmtree(folder, ignore_errors=True)
    return [f"{name}={_environment(folder / name, version)}" for name, version in ENVIRONMENTS.items()]


def _environment(folder: Path, version: str) -> Path:
    """Make an environment with a version of the package and the packages of this interpreter. Return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    metadata = site / f"planted-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(METADATA.format(version), encoding="utf-8")
    loop = LOOPS[version].read_text(encoding="utf-8")
    (site / "planted.py").write_text(f'{loop}\n__version__ = "{version}"\n', encoding="utf-8")
    return folder / "bin" / "python"


if __name__ == "__main__":
    sys.stdout.write(",".join(make(Path(sys.argv[1]).absolute())) + "\n")

"""Execute a notebook in place, without dates or machine facts: `python tests/project/notebooks.py FILE.ipynb`."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with new outputs, run from the top of the repository; ids and metadata are the same every time."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, record_timing=False, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.create_kernel_manager().transport = "ipc"  # no port is opened
    client.execute()
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", nbformat.from_dict({})
    return notebook


if __name__ == "__main__":
    for name in sys.argv[1:]:
        nbformat.write(executed(Path(name)), name)

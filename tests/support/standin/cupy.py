"""Not CuPy: a stand-in, by which our code for it is tried where there is no GPU. Arrays are NumPy's behind a wall."""

import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np

__version__ = f"a stand-in, TF32 {os.environ['CUPY_TF32']}"
cuda = SimpleNamespace(is_available=lambda: os.environ.get("STANDIN_GPUS") == "1")


class ndarray:  # noqa: N801
    """An array that, as CuPy's, meets no array of the host and does not turn into one by itself."""

    def __init__(self, held):
        self.held, self.size = held, held.size

    def __array__(self, *how, **more):
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __matmul__(self, other):
        compiled("matmul")
        return ndarray(self.held @ other.held)

    def __sub__(self, other):
        return ndarray(self.held - other.held)

    def __isub__(self, other):
        self.held -= other.held
        return self

    def __rmul__(self, factor):
        return ndarray(float(factor) * self.held)

    def __getitem__(self, rows):
        return ndarray(self.held[rows.held if isinstance(rows, ndarray) else rows])

    @property
    def T(self):  # noqa: N802
        return ndarray(self.held.T)


def asarray(array, *, blocking):
    assert blocking, "CuPy would return before the array is on the device"
    return ndarray(np.array(array))


def asnumpy(array):
    return array.held.copy()


def compiled(kernel):
    """As CuPy's compiler does, which keeps what it has compiled."""
    Path(os.environ["CUPY_CACHE_DIR"]).mkdir(exist_ok=True)
    Path(os.environ["CUPY_CACHE_DIR"], f"{kernel}.cubin").touch()

"""Shared by the Keras implementations: the model, and probes by the backend that this process has.

Keras reads KERAS_BACKEND when it is imported. A worker sets it for `keras_<backend>`.
"""

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from impls.interface import Array, Device, Problem, Unsupported, hidden

BACKENDS = ("jax", "torch")
if "keras" not in sys.modules:  # TensorFlow may have loaded it
    if find_spec("keras") is None:  # before its backend is looked at
        raise ModuleNotFoundError("no module named 'keras'", name="keras")
    backend = os.environ.get("KERAS_BACKEND", "")
    if backend not in BACKENDS:
        raise Unsupported(f"set KERAS_BACKEND to {' or '.join(BACKENDS)} before Keras is imported")
    import_module(f"impls._{backend}")
    with hidden(*BACKENDS, "matplotlib", "pandas", "sklearn", "tensorflow"):
        import_module("keras")

import keras  # noqa: E402


def need(backend: str, dtype: str) -> None:
    """Raise Unsupported if Keras has another backend in this process, or for float64, which it rounds on these."""
    if (here := keras.backend.backend()) != backend:
        raise Unsupported(f"Keras runs on {here} in this process; set KERAS_BACKEND={backend} before it is imported")
    if dtype == "float64":
        raise Unsupported(f"Keras on {backend} is not exact in float64: weights are 1e-9 to 1e-8 off after a few steps")


def model(problem: Problem) -> Any:
    """Return a linear layer without a bias, compiled for `train_on_batch`, in the problem's dtype."""
    keras.config.set_dtype_policy(problem.X.dtype.name)  # of the layer
    keras.config.set_floatx(problem.X.dtype.name)  # of the loss and the learning rate
    layer = keras.layers.Dense(problem.y[0].size, use_bias=False)  # X has its column of ones
    made = keras.Sequential([keras.Input(problem.X.shape[1:]), layer])
    made.compile(keras.optimizers.SGD(problem.lr), "mse")
    return made


def product(a: Array, b: Array, device: Device) -> Array:
    """Return a @ b as the backend computes it, to probe its precision."""
    result: Array = import_module(f"impls._{keras.backend.backend()}").product(a, b, device)
    return result


def threads() -> None:
    """Return None: the backend says it."""


def compilations() -> int:
    """Return 0: the backend counts them."""
    return 0

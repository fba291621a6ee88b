"""Shared by the TensorFlow implementations: device, precision and loss, and probes of TensorFlow."""

import os
from typing import Any

from impls.interface import PRECISION, Array, Device, Timed, Unsupported, hidden

THREADS = int(os.environ.get("OMP_NUM_THREADS", 0))  # TensorFlow does not look for itself; 0: it decides
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no news of the CPU: the last words of a worker are its own
with hidden("jax", "pandas", "scipy", "sklearn"):
    import tensorflow as tf

tf.config.experimental.enable_tensor_float_32_execution(PRECISION == "tf32")
tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)
for gpu in tf.config.list_physical_devices("GPU"):
    tf.config.experimental.set_memory_growth(gpu, True)  # else it takes all that there is

graphs: list[str] = []  # an entry for each graph that has been traced in this process
_new_graph = tf.Graph.__init__


def _note(graph: Any, *args: Any, **more: Any) -> None:
    graphs.append(type(graph).__name__)
    _new_graph(graph, *args, **more)


tf.Graph.__init__ = _note


@Timed
def place(array: Array, device: Device) -> tf.Tensor:
    """Return the array on the device. Raises Unsupported if there is no such device."""
    if device == "gpu" and not tf.config.list_physical_devices("GPU"):
        raise Unsupported("TensorFlow sees no gpu")
    with tf.device(device):
        return tf.constant(array)


@Timed
def fetch(w: Any) -> Array:
    """Return the tensor or variable on the host when it is ready. It is a copy."""
    return w.numpy().copy()


def mse(w: tf.Tensor, X: tf.Tensor, y: tf.Tensor, rows: tf.Tensor | None) -> tf.Tensor:
    """Return the mean squared error over all elements of X w - y, or over those of some rows."""
    X_t, y_t = (X, y) if rows is None else (tf.gather(X, rows), tf.gather(y, rows))
    return tf.reduce_mean((tf.tensordot(X_t, w, 1) - y_t) ** 2)


def product(a: Array, b: Array, device: Device) -> Array:
    """Return a @ b as TensorFlow computes it, to probe its precision."""
    return tf.tensordot(place(a, device), place(b, device), 1).numpy()


def threads() -> int | None:
    """Return the threads that TensorFlow uses for one operation; None if it chooses them."""
    return tf.config.threading.get_intra_op_parallelism_threads() or None


def compilations() -> int:
    """Return the number of graphs that have been traced in this process."""
    return len(graphs)

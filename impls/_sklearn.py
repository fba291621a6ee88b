"""Shared by the scikit-learn implementations: its import without pandas, and probes of scikit-learn."""

from impls.interface import Array, Device, hidden

with hidden("pandas"):
    from sklearn.linear_model import SGDRegressor as SGDRegressor
    from sklearn.utils.extmath import safe_sparse_dot


def product(a: Array, b: Array, device: Device) -> Array:
    """Return a @ b as the linear models of scikit-learn compute it."""
    result: Array = safe_sparse_dot(a, b)
    return result


def threads() -> int:
    """Return 1: the loop over the rows runs on one thread."""
    return 1


def compilations() -> int:
    """Return 0: nothing is compiled."""
    return 0

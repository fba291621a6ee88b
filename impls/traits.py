"""How each implementation is written: its gradient, its style, and whether it is tuned beyond what users write."""

import dataclasses
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Traits:
    """How an implementation is written. Two that differ in one trait measure the effect of that trait.

    gradient: written "by hand", or by the framework's "autograd".
    style: "eager" dispatches each operation, "compiled" each step as a whole, "one launch" many steps at once.
    tuned: "as users write it", or "expert-tuned" for this problem or its hardware.
    """

    gradient: Literal["by hand", "autograd"]
    style: Literal["eager", "compiled", "one launch"]
    tuned: Literal["as users write it", "expert-tuned"] = "as users write it"


TRAITS = {
    "cupy_manual": Traits("by hand", "eager"),
    "dask_manual": Traits("by hand", "eager"),
    "jax_blocked": Traits("by hand", "one launch", "expert-tuned"),
    "jax_grad": Traits("autograd", "eager"),
    "jax_jit": Traits("autograd", "compiled"),
    "jax_optax": Traits("autograd", "compiled"),
    "jax_optax_eager": Traits("autograd", "eager"),
    "jax_scan": Traits("autograd", "one launch"),
    "jax_sharded": Traits("by hand", "one launch"),
    "keras_jax": Traits("autograd", "compiled"),
    "keras_torch": Traits("autograd", "eager"),
    "mlx_compile": Traits("autograd", "compiled"),
    "numba_fused": Traits("by hand", "one launch", "expert-tuned"),
    "numpy_blocked": Traits("by hand", "eager", "expert-tuned"),
    "numpy_gram": Traits("by hand", "eager", "expert-tuned"),
    "numpy_manual": Traits("by hand", "eager"),
    "sklearn_sgd": Traits("by hand", "one launch"),
    "tensorflow_function": Traits("autograd", "compiled"),
    "tensorflow_keras": Traits("autograd", "compiled"),
    "tensorflow_xla": Traits("autograd", "one launch"),
    "tinygrad_autograd": Traits("autograd", "compiled"),
    "torch_autograd": Traits("autograd", "eager"),
    "torch_compile": Traits("by hand", "compiled"),
    "torch_compile_autograd": Traits("autograd", "compiled"),
    "torch_compile_graphs": Traits("by hand", "compiled"),
    "torch_dataloader": Traits("autograd", "eager"),
    "torch_ddp": Traits("by hand", "eager"),
    "torch_graph": Traits("by hand", "one launch", "expert-tuned"),
    "torch_manual": Traits("by hand", "eager"),
    "torch_nn": Traits("autograd", "eager"),
    "triton_descent": Traits("by hand", "one launch", "expert-tuned"),
    "triton_fused": Traits("by hand", "compiled", "expert-tuned"),
}


def traits(name: str) -> dict[str, str]:
    """Return the fields of an implementation's `Traits`, each "" for one that is not of this folder."""
    return {field.name: str(getattr(TRAITS.get(name), field.name, "")) for field in dataclasses.fields(Traits)}

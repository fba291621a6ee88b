"""Compile every Triton kernel for an H100 (sm_90) without one, exactly as it would be launched; print what each uses.

A line is: problem, dtype, rows of a batch, kernel, programs, warps, registers a thread, stack bytes, shared bytes.
"""

import functools
import itertools
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from impls import _triton
from impls.interface import Unsupported

SIZES = {
    "two": (2, 1),  # what the worker asks a GPU with, before there is a problem
    "tiny": (100, 2),
    "small": (1_000, 10),
    "medium": (10_000, 100),
    "large": (100_000, 100),
    "huge": (1_000_000, 100),
    "odd": (10_000, 101),
    "wide": (2_000, 1_000),
    "long": (1_000, 10_000),
    "square": (128, 128),
}
HALVED = ("medium", "wide")  # sizes that are compiled for X in 16 bits as well
EVERY = ("tiny", "small", "medium")  # sizes for which both batches are compiled in both dtypes
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


class Card:
    """What Triton asks of a driver before it compiles."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def report(*words: object) -> None:
    sys.stdout.write("\t".join(map(str, words)) + "\n")


@functools.cache
def usage(code: bytes, cubin: Path) -> list[str]:
    """Return the registers of a thread and the bytes of its stack, which holds what registers do not."""
    cubin.write_bytes(code)
    words = [str(CUOBJDUMP), "-res-usage", str(cubin)]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [number for what in ("REG", "STACK") for number in re.findall(rf"{what}:(\d+)", printed)]


def main(cubin: Path) -> None:
    driver.set_active(Card())
    _triton.multiprocessors = lambda X: 132
    run, launched = JITFunction.run, []

    def compile_only(self: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        launched.append((self.__name__, grid, run(self, *args, grid=grid, warmup=True, **options)))

    JITFunction.run = compile_only
    for name, (n, d) in SIZES.items():
        for dtype in (torch.float32, torch.float64, *([torch.bfloat16] if name in HALVED else [])):
            batches = (None, min(n, 256))
            for b in batches if name in EVERY else batches[dtype == torch.float64 :][:1]:
                own = torch.float64 if dtype == torch.float64 else torch.float32
                X, y, w = torch.empty(n, d, dtype=dtype), torch.empty(n, dtype=own), torch.empty(d, dtype=own)
                order = None if b is None else torch.empty(5, b, dtype=torch.int32)
                _triton.fused(X, y, w, order, 0.1)[1]()
                try:
                    _triton.descent(X, y, order, 0.1)(w, 5)
                except Unsupported as reason:
                    report(name, str(dtype)[6:], b, "unsupported", reason)
                report_all(launched, cubin, name, str(dtype)[6:], b)
    _triton.need_device = lambda device: None
    _triton._torch.place = lambda array, device: torch.from_numpy(array)
    for dtype, shape in itertools.product(("float32", "float64"), ((256, 256), (256,))):
        _triton.product(np.empty((256, 256), dtype), np.empty(shape, dtype), "gpu")  # as the probes of precision do
        report_all(launched, cubin, "product", dtype, None)


def report_all(launched: list[Any], cubin: Path, *words: object) -> None:
    """Print a line for each kernel that was launched, and forget them."""
    for kernel, grid, compiled in launched:
        registers, stack = usage(compiled.asm["cubin"], cubin)
        at = compiled.metadata
        report(*words, kernel, math.prod(grid), at.num_warps, registers, stack, at.shared)
    launched.clear()


if __name__ == "__main__":
    main(Path(sys.argv[1]) / f"{os.getpid()}.cubin")

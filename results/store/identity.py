"""Identify code and machines by their content, not by their names."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

HARDWARE = ("isa", "cores", "physical_cores", "ram_bytes", "gpu")  # facts that stay with a machine
OPENBLAS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "BLIS_ARCH_TYPE", "NPY_DISABLE_CPU_FEATURES")
MKL = ("MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "MKL_CBWR")
ONEDNN = ("ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE")
KERNELS = {  # environment variables that choose the kernels of one framework
    "numpy": OPENBLAS,
    "dask": OPENBLAS,
    "torch": (*MKL, *ONEDNN, "ATEN_CPU_CAPABILITY"),
    "jax": ("XLA_FLAGS",),
    "tensorflow": ("XLA_FLAGS", "TF_XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS", *ONEDNN),
    "numba": ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "NUMBA_ENABLE_AVX", "NUMBA_SLP_VECTORIZE"),
}
SINCE_1 = ("cores", "ram_bytes", "gpu")  # those that every file has


def code_hashes(sources: dict[str, Any]) -> dict[str, str]:
    """Return a hash of each implementation's code by name: with the modules beside it, or of the saved text alone.

    Hashes of the two kinds begin with another letter, so they are never equal.
    """
    hashes = {}
    for impl, entry in sources.items():
        source = entry if isinstance(entry, dict) else {}
        if isinstance(source.get("digest"), str) and source["digest"]:
            hashes[impl] = f"c{source['digest'][:8]}"
        elif isinstance(source.get("text"), str) and source["text"]:
            hashes[impl] = f"t{hashlib.sha256(source['text'].encode('utf-8', 'replace')).hexdigest()[:8]}"
    return hashes


def differing_code(codes: Iterable[dict[str, str]], impls: Iterable[str]) -> list[str]:
    """Return the implementations with two hashes of one kind among these hashes by implementation."""
    by_run = list(codes)
    hashes = {impl: {code[impl] for code in by_run if code.get(impl)} for impl in impls}
    return [impl for impl, found in hashes.items() if len(found) > len({code[0] for code in found})]


def kernel_settings(environment: dict[str, Any], framework: str | None) -> str:
    """Return the variables that chose a framework's kernels: `OPENBLAS_CORETYPE=Haswell`, or ""."""
    return " ".join(f"{name}={environment[name]}" for name in KERNELS.get(framework or "", ()) if name in environment)


def hardware(machine_info: dict[str, Any]) -> dict[str, Any]:
    """Return what is recorded of the processor, its instructions, cores, memory (in 1/8 GiB) and GPU."""
    cpu = machine_info.get("cpu")
    facts = {name: machine_info.get(name) for name in HARDWARE}
    facts["processor"] = cpu.get("brand_raw") if isinstance(cpu, dict) else None
    memory = facts["ram_bytes"]
    if isinstance(memory, (int, float)) and 0 < memory < 1e18:
        facts["ram_bytes"] = round(memory / 2**27)
    return {name: value for name, value in facts.items() if value is not None}


def hardware_hash(machine_info: dict[str, Any]) -> str:
    """Return a hash over the facts that files of every version have; "" if none is recorded."""
    facts = {name: value for name, value in hardware(machine_info).items() if name in (*SINCE_1, "processor")}
    if not any(facts.values()):
        return ""
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:8]

"""Identify code and machines by their content, not by their names."""

import hashlib
import json
import re
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
MAX_HELPERS = 20  # modules beside an implementation whose text is saved
CUT_MARK = "# cut here: "  # ends a text that is cut
ORIGINAL_FACTS = ("cores", "memory", "gpu")  # in files of every version


def code_hashes(sources: dict[str, Any]) -> dict[str, str]:
    """Return a hash of each implementation's code by name.

    It begins with its kind. c: of the text and of the modules beside it. d: the digest, if these texts are not saved in
    full. t: of the text alone, before version 6. Hashes of two kinds are never equal.
    """
    hashes = {}
    for impl, entry in sources.items():
        source = entry if isinstance(entry, dict) else {}
        text, helpers, digest = (source.get(name) for name in ("text", "helpers", "digest"))
        all_helpers = isinstance(helpers, dict) and len(helpers) < MAX_HELPERS
        complete = all_helpers and CUT_MARK not in json.dumps([text, helpers])
        if complete and isinstance(text, str) and text:
            hashes[impl] = f"c{_short_hash(json.dumps([text, helpers], sort_keys=True))}"
        elif isinstance(digest, str) and digest:
            hashes[impl] = f"d{digest[:8]}"
        elif isinstance(text, str) and text:
            hashes[impl] = f"t{_short_hash(text)}"
    return hashes


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]


def kernel_settings(environment: dict[str, Any], framework: str | None) -> str:
    """Return the variables that chose a framework's kernels: `OPENBLAS_CORETYPE=Haswell`, or ""."""
    return " ".join(f"{name}={environment[name]}" for name in KERNELS.get(framework or "", ()) if name in environment)


def hardware(machine_info: dict[str, Any]) -> dict[str, Any]:
    """Return the recorded facts of the processor, its instructions, cores, memory (to 1/8 GiB) and GPU."""
    facts = {name: machine_info.get(name) for name in HARDWARE}
    facts["processor"] = processor(machine_info.get("cpu")) or None
    memory = facts.pop("ram_bytes")
    if isinstance(memory, (int, float)) and 0 < memory < 1e18:
        facts["memory"] = f"{round(memory / 2**27) / 8:g} GiB"
    return {name: value for name, value in facts.items() if value is not None}


def processor(cpu: object) -> str:
    """Return a processor's name, with family and model if it has no number: `AMD EPYC (family 25, model 1)`."""
    cpu_facts = cpu if isinstance(cpu, dict) else {}
    name = cpu_facts.get("brand_raw")
    if not isinstance(name, str):
        return "" if name is None else json.dumps(name)
    numbers = [f"{key} {cpu_facts[key]}" for key in ("family", "model") if isinstance(cpu_facts.get(key), int)]
    return f"{name} ({', '.join(numbers)})" if numbers and not re.search(r"\d", name) else name


def hardware_hash(machine_info: dict[str, Any]) -> str:
    """Return a hash over the facts that files of every version have; "" if none is recorded."""
    facts = {name: value for name, value in hardware(machine_info).items() if name in (*ORIGINAL_FACTS, "processor")}
    return _short_hash(json.dumps(facts, sort_keys=True, default=str)) if any(facts.values()) else ""

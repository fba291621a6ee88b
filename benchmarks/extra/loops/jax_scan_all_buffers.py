"""`jax_scan` with the loop in the command buffer too, however few kernels a step has: one launch for all steps."""

from benchmarks.extra.loops.jax_scan_no_buffers import compiled_with
from impls.interface import Device, Problem, Run

HALF = True
OPTIONS = {
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,CONDITIONAL,WHILE",
    "xla_gpu_graph_min_graph_size": "1",
}


def prepare(problem: Problem, device: Device) -> Run:
    return compiled_with(OPTIONS, problem, device)

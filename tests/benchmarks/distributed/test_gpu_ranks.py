"""Ranks with a GPU each, by NCCL; CUDA and NCCL are played by fakes."""

from types import SimpleNamespace
from typing import Any

import pytest

from impls.interface import Unsupported

RANK = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture(autouse=True)
def second_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (RANK | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}).items():
        monkeypatch.setenv(name, value)


def torch_calls(monkeypatch: pytest.MonkeyPatch, gpus: int) -> list[tuple[str, Any]]:
    """Let torch see so many GPUs. Return what `join` asks of it, in order."""
    pytest.importorskip("torch")
    from impls import _torch

    calls: list[tuple[str, Any]] = []
    cuda = SimpleNamespace(
        is_available=lambda: gpus > 0, device_count=lambda: gpus, set_device=lambda at: calls.append(("device", at))
    )
    distributed = SimpleNamespace(
        is_initialized=lambda: False, init_process_group=lambda backend: calls.append(("group", backend))
    )
    monkeypatch.setattr(_torch, "distributed", distributed)
    monkeypatch.setattr(_torch, "place", lambda array, device: calls.append(("tensor", device)))
    monkeypatch.setattr(_torch.torch, "cuda", cuda)
    return calls


def test_a_rank_of_torch_takes_its_own_gpu_before_its_first_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = torch_calls(monkeypatch, gpus=2)
    from impls import _torch

    _torch.join("gpu")
    assert calls == [("device", 1), ("tensor", "gpu"), ("group", "nccl")]


def test_a_rank_of_torch_without_a_gpu_of_its_own_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = torch_calls(monkeypatch, gpus=1)
    from impls import _torch

    with pytest.raises(Unsupported, match=r"^rank 1 has no gpu of its own: 1 here$"):
        _torch.join("gpu")
    assert calls == []


def test_a_rank_of_jax_takes_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = pytest.importorskip("jax")
    from impls import _jax

    calls: list[Any] = []
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: False)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *how, **more: calls.append(how))
    monkeypatch.setattr(_jax, "put", lambda array, device: calls.append(device))
    gpus = [SimpleNamespace(process_index=rank, id=rank) for rank in (0, 1)]
    monkeypatch.setattr(jax, "devices", lambda device: gpus)
    monkeypatch.setattr(_jax, "Mesh", lambda devices, axis: (devices, axis))
    assert _jax.join("gpu") == (gpus, "ranks")  # type: ignore[comparison-overlap]
    assert calls == [("127.0.0.1:1", 2, 1, [1]), "gpu"]


def test_a_rank_of_jax_without_a_gpu_of_its_own_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = pytest.importorskip("jax")
    from impls import _jax

    def absent(backend: str) -> None:
        raise RuntimeError("invalid device ordinal 1")

    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(jax, "local_devices", absent)
    with pytest.raises(Unsupported, match=r"^rank 1 has no gpu of its own: invalid device ordinal 1$"):
        _jax.join("gpu")

"""What `train.deterministic` does: kernels on a card that add in any order are replaced by slower ones that do not, or refused by name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from voicelathe.config import schema
from voicelathe.errors import WorkerError

WITHOUT = "does not have a deterministic implementation"  # torch's words
CUBLAS, REPEATS = (
    "CUBLAS_WORKSPACE_CONFIG",
    (":4096:8", ":16:8"),
)  # torch reads it at the first product, so the worker sets it when it starts


@contextmanager
def repeatable(train: schema.Train) -> Iterator[None]:
    """Inside, equal steps on one card give equal bytes, where `train.deterministic` asks for it. Raises WorkerError for an operation that cannot, and where the
    environment asks cuBLAS for what does not.

    torch's flash attention then adds query gradients in order, the memory-efficient one does not split its keys, and cuDNN's is not used
    (aten/src/ATen/native/transformers/cuda of PyTorch). On a CPU steps repeat in any case, and their bytes are the same.
    """
    if not train.deterministic:
        yield
        return
    if (asked := os.environ.get(CUBLAS)) not in (None, *REPEATS):
        raise WorkerError(
            f"train.deterministic = true: {CUBLAS} = {asked!r} lets products of matrices differ. Unset it, or set {' or '.join(REPEATS)}."
        )
    memory: Any = torch.utils.deterministic
    strict, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    fills = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # for finding faults; it costs a pass over all memory
    try:
        yield
    except RuntimeError as problem:
        if WITHOUT not in str(problem):
            raise
        raise WorkerError(
            f"train.deterministic = true: {str(problem).partition(WITHOUT)[0].strip()} has no way that repeats here. Nothing of this step was saved. "
            "Set train.deterministic: false; docs/memory.md has what repeats without it."
        ) from None
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warns)
        memory.fill_uninitialized_memory = fills

"""How the layers of a model are run in training: plain or as programs of torch.compile, and with what kept for backward."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from voicelathe.errors import WorkerError, first_line

KINDS = 64  # of layers, at most, for which one function may be compiled anew; torch's own 8 is too few where several models share a process
WHOLE = "run_whole"  # attribute of a layer that lies in pieces: whole(function, *given) runs function(layer, *given) while it is whole
_COMPILED: ContextVar[bool] = ContextVar("compiled", default=False)


@contextmanager
def compiled_layers(wanted: bool) -> Iterator[None]:
    """Inside, `run_layer` runs what torch.compile made of a layer: the same arithmetic in fewer kernels, so the last digits differ.

    Raises WorkerError when torch.compile cannot. Backward belongs inside, too: its programs are made when it first runs.
    """
    before = _COMPILED.set(wanted)
    try:
        with torch._dynamo.config.patch(recompile_limit=KINDS) if wanted else nullcontext():
            yield
    except (RuntimeError, ImportError) as problem:
        if not wanted:
            raise
        if _is_half_written(problem):
            raise WorkerError(
                f"train.compile_layers: a program in the compiler's cache cannot be read: {first_line(problem)}. A run that was killed while it compiled "
                f"leaves such a file. Delete {_programs()}, which holds nothing else, and start again."
            ) from problem
        if not type(problem).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        raise WorkerError(
            f"train.compile_layers: torch.compile could not compile a layer: {first_line(problem)} If a compiler is missing, install "
            "it (Debian: apt-get install g++; on CUDA Triton is needed, too); for anything else set train.compile_layers: false."
        ) from problem
    finally:
        _COMPILED.reset(before)


def _is_half_written(problem: Exception) -> bool:
    """torch takes whatever lies there under a program's name; what it cannot load is raised as it is, or inside an error of its own."""
    return (
        isinstance(problem, ImportError) or "ImportError" in first_line(problem)
    ) and _programs() in first_line(problem)


def _programs() -> str:
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    return cache_dir()


def run_layer(function: Callable[..., Tensor], layer: nn.Module, *given: object, recompute: bool) -> Tensor:
    """function(layer, *given); with `recompute` only what is given is kept and the rest is computed again in backward.

    `function` is one of a module, never a lambda: it is compiled once and then serves all layers that are built alike, at any length.
    It calls parts of the layer, or `layer.forward`, never the layer itself: hooks that make a layer whole run here, once.
    """
    run, first = _compiled(function) if _COMPILED.get() else function, (layer,)
    if (whole := getattr(layer, WHOLE, None)) is not None:
        run, first = whole, (run,)
    if recompute and torch.is_grad_enabled():
        result: Tensor = checkpoint(run, *first, *given, use_reentrant=False)
        return result
    return run(*first, *given)


def listed(core: nn.Module, names: Sequence[str]) -> list[nn.Module]:
    """The members of these lists of modules (`FamilySpec.layers`), in order."""
    return [layer for name in names for layer in core.get_submodule(name).children()]


@cache
def _compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Whole or not at all: a layer that falls apart into graphs would be slower and say nothing. Dropout draws what it draws uncompiled."""
    return torch.compile(function, fullgraph=True, dynamic=True, options={"fallback_random": True})

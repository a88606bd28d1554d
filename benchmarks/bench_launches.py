"""What a step costs the host when the card needs no time: VoxCPM 2's layers and settings, widths so small that arithmetic is free.

Usage:  python -m benchmarks.bench_launches [--compile] [recipe ...]
Process CPU time of one thread for forward, backward and update of the shipped recipes, beside the operations that the plan counts. An
operation on a CPU is dispatched as on CUDA and then also computed, so the time for one is an upper bound of what this core would need.

`--compile` adds the passes with `train.compile_layers`: what the profiler sees run, programs of torch.compile and operations that are
neither views nor bookkeeping, plain and compiled. Inductor's programs for a CPU are fused by the same scheduler as its Triton kernels, not into the
same number of them; on a card this is not verified.
"""

import os

os.environ.update(OMP_NUM_THREADS="1")
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks import bench_plan
from tests.factories import training, voxcpm2_base
from voicelathe.families.shared import layers
from voicelathe.families.voxcpm.published import VOXCPM2
from voicelathe.train import memory, rehearsal

FUSED = "cpp_fused"  # in the name of every program that Inductor writes for a CPU
NOTHING_RUNS = (  # of ATen's operations that the profiler shows: they make a view, or memory without content
    "as_strided", "view", "reshape", "t", "transpose", "permute", "expand", "select", "slice", "narrow", "unsqueeze", "squeeze", "detach", "alias",
    "unflatten", "flatten", "split", "chunk", "unbind", "empty", "resize_", "result_type", "to", "contiguous", "lift_fresh", "set_", "numel", "resolve_conj", "resolve_neg", "new_empty", "_reshape_alias", "expand_as",
)  # fmt: skip
RECIPES = ("voxcpm2-full", "voxcpm2-full-reference", "voxcpm2-lora")
TEXT_TOKENS, POSITIONS, ROUNDS = 3, 2, 5  # of a clip; after one round to warm up


def overrides() -> dict[str, Any]:
    """The real number of layers, heads of 16, widths of 32."""
    language = {
        **VOXCPM2["lm_config"], "hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_key_value_heads": 1, "kv_channels": 16,
        "vocab_size": voxcpm2_base.VOCABULARY, "max_position_embeddings": 1024,
        "rope_scaling": {"type": "longrope", "long_factor": [1.0] * 8, "short_factor": [1.0] * 8, "original_max_position_embeddings": 1024},
    }  # fmt: skip
    narrow = {"hidden_dim": 32, "ffn_dim": 32, "num_heads": 2, "kv_channels": 16}
    local = {**VOXCPM2["encoder_config"], **narrow}
    return {
        "lm_config": language, "residual_lm_num_layers": VOXCPM2["residual_lm_num_layers"], "encoder_config": local,
        "dit_config": {**VOXCPM2["dit_config"], **narrow}, "scalar_quantization_latent_dim": 32,
    }  # fmt: skip


def measured(base: Path, name: str) -> str:
    """One row of the table."""
    train = bench_plan.settings_of(name).recipes[name].train
    model, trainable, lows = training.real_model(base, train)
    made = memory.optimizer(train, model.core, trainable, lows, 1, on_card=True)
    clips = train.clips_per_pass
    batch, noise = model.example([TEXT_TOKENS] * clips, [POSITIONS] * clips)

    def passes() -> None:
        for _ in range(train.clips_per_step // clips):
            with torch.autocast("cpu", torch.bfloat16, enabled=train.autocast or train.weights != "fp32"):
                losses = model.losses(batch, noise)
                (torch.stack(list(losses.values())).sum() / train.clips_per_step).backward()

    def update() -> None:
        norm = memory.global_norm(memory.gradient_norms(trainable))
        if train.max_grad_norm is not None:
            memory.clip(made, trainable, norm, train.max_grad_norm * 1e-9)  # a step that is clipped
        made.step()
        made.zero_grad(set_to_none=True)

    taken = [(seconds_of(passes), seconds_of(update)) for _ in range(ROUNDS + 1)][1:]
    account = rehearsal.Account(on_card=True)
    with account:
        passes()
        update()
    found = [statistics.median(column) for column in zip(*taken, strict=True)]
    count = account.kernels.total()
    milliseconds = (f"{1000 * one:.0f}" for one in (*found, sum(found)))
    return f"| {' | '.join([name, f'{count:,}', *milliseconds, f'{1e6 * sum(found) / count:.1f}'])} |"


def compiled(base: Path, name: str) -> str:
    """One row of the table of compiled passes; the first ones make the programs, or find them in the compiler's cache."""
    from torch._inductor import config

    train = bench_plan.settings_of(name).recipes[name].train
    model, _, _ = training.real_model(base, train)
    clips = train.clips_per_pass
    batch, noise = model.example([TEXT_TOKENS] * clips, [POSITIONS] * clips)

    def passes(as_programs: bool) -> None:
        for _ in range(train.clips_per_step // clips):
            with (
                torch.autocast("cpu", torch.bfloat16, enabled=train.autocast or train.weights != "fp32"),
                layers.compiled_layers(as_programs),
            ):
                losses = model.losses(batch, noise)
                (torch.stack(list(losses.values())).sum() / train.clips_per_step).backward()

    found: list[str] = []
    with config.patch({"cpp.enable_kernel_profile": True}):
        for as_programs in (False, True):
            began = time.monotonic()
            passes(as_programs)
            first_s = time.monotonic() - began
            taken = [seconds_of(partial(passes, as_programs)) for _ in range(ROUNDS + 1)][1:]
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
                passes(as_programs)
            found += [f"{runs(seen.events()):,}", f"{1000 * statistics.median(taken):.0f}"]
    return f"| {' | '.join([name, *found, f'{first_s:.0f}'])} |"


def runs(events: Any) -> int:
    """Programs and operations that compute something: the innermost ones."""

    def computes(event: Any) -> bool:
        name = event.name.removeprefix("aten::").removeprefix("_unsafe_")
        return FUSED in event.name or (
            event.name.startswith("aten::") and not name.startswith("empty") and name not in NOTHING_RUNS
        )

    def count(event: Any) -> int:
        inside = sum(count(child) for child in event.cpu_children)
        return inside or int(computes(event))

    return sum(count(event) for event in events if event.cpu_parent is None)


def seconds_of(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    torch.set_num_threads(1)
    print(
        "| recipe | operations a step | passes, ms | update, ms | step, ms | us an operation |\n|---|--:|--:|--:|--:|--:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        voxcpm2_base.write(Path(folder), overrides())
        names = [one for one in sys.argv[1:] if one != "--compile"] or list(RECIPES)
        for name in names:
            print(measured(Path(folder), name), flush=True)
        if "--compile" in sys.argv:
            print(
                "| passes of a step | plain: run | ms | compiled: run | ms | first, s |\n|---|--:|--:|--:|--:|--:|"
            )
            for name in names:
                print(compiled(Path(folder), name), flush=True)


if __name__ == "__main__":
    main()

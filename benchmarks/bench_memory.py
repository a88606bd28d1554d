"""What training holds: persistent bytes a parameter, bytes saved for backward, final losses of every stack, time lost to saving.

Usage:  python -m benchmarks.bench_memory [bytes|saved|losses|saving]
`bytes` and `saved` use the 20 M parameter model of bench_step; `losses` and `saving` train the embedded base on random encodings.
Sizes are counted, not sampled: every distinct storage that is alive, once.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_CBWR="AVX2,STRICT")
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import bench_step
from tests.factories import training, voxcpm2_base
from tests.families import upstream_voxcpm as upstream
from voicelathe import families, records, rng, settings
from voicelathe.data import latents
from voicelathe.families import packing, voxcpm_packed
from voicelathe.train import loop, memory, precision

STACKS = {
    "fp32, AdamW (upstream)": {"optimizer": "adamw", "weights": "fp32"},
    "fp32, 8-bit AdamW (reference)": {"optimizer": "adamw8bit", "weights": "fp32"},
    "bf16 + 16 bits, 8-bit AdamW": {"optimizer": "adamw8bit", "weights": "bf16_split16"},
    "bf16 + 8 bits, 8-bit AdamW": {"optimizer": "adamw8bit", "weights": "bf16_split8"},
    "bf16 stochastic, 8-bit AdamW": {"optimizer": "adamw8bit", "weights": "bf16_stochastic"},
}
SEEDS, STEPS, LAST = (1, 2, 3), 60, 4  # LAST: passes of frozen noise over the clips when training is over
FULL = training.train_settings("full", steps=STEPS, every=STEPS)


def model(base: Path) -> Any:
    voxcpm2_base.write(base, bench_step.overrides())
    family = families.find("voxcpm2")
    loaded = family.load(base, family.describe(base, "", False), settings.Machine("cpu", 1, 1), "core")
    loaded.core.train()
    return loaded


def clips() -> tuple[list[Tensor], list[Tensor]]:
    draw = torch.Generator().manual_seed(0)
    width = (bench_step.FRAMES, bench_step.WIDTH)
    texts = [torch.randint(105, bench_step.TEXT_IDS, (text,), generator=draw) for text, _ in bench_step.CLIPS]
    return texts, [torch.randn((audio, *width), generator=draw) for _, audio in bench_step.CLIPS]


def ours(loaded: Any, recompute: Any = "none") -> Tensor:
    texts, audio = clips()
    pack = voxcpm_packed.pack(texts, audio, [None] * len(texts), torch.device("cpu"))
    keys = [rng.key(0, "bench", number) for number in range(len(texts))]
    noise = voxcpm_packed.draw(pack, keys, 0.1, "log-norm", None)
    found = voxcpm_packed.losses(loaded.core, pack, noise, recompute)
    return (found["diff"] + found["stop"]).mean()


def size_bytes(tensors: Iterable[Any]) -> int:
    """Distinct storages, each once."""
    found = {
        t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors if torch.is_tensor(t)
    }
    return sum(found.values())


def persistent() -> str:
    lines = [
        "| stack | weights | gradients | optimizer | autocast copies | bytes a parameter |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, stack in STACKS.items():
        with tempfile.TemporaryDirectory() as folder:
            loaded = model(Path(folder))
        train = replace(FULL, **stack)
        trained = families.find("voxcpm2").trainable(loaded, "full").trainable
        count = sum(parameter.numel() for parameter in trained.values())
        lows = precision.narrow(loaded.core, train.weights, trained)
        optimizer = memory.optimizer(train, loaded.core, trained, lows, 1)
        with torch.autocast("cpu", torch.bfloat16):
            ours(loaded, "all").backward()
        gradients = size_bytes(p.grad for p in trained.values())
        memory.prepare(optimizer, 1, 1e-5)
        optimizer.step()
        linear = sum(m.weight.numel() for m in loaded.core.modules() if isinstance(m, torch.nn.Linear))
        parts = [
            size_bytes(trained.values()), gradients, size_bytes(t for e in optimizer.state.values() for t in e.values()),
            2 * linear if train.weights == "fp32" else 0,
        ]  # fmt: skip
        shown = " | ".join(f"{part / count:.2f}" for part in parts)
        lines.append(f"| {name} | {shown} | **{sum(parts) / count:.2f}** |")
    return "\n".join(lines)


def saved_bytes(loaded: Any, forward: Callable[[], Tensor], monitor: list[Tensor]) -> int:
    """Distinct storages kept for backward that are neither weights nor bf16 copies of weights; `monitor` has inputs of recomputed blocks."""
    weights = {p.untyped_storage().data_ptr() for p in loaded.core.parameters()}
    shapes = {tuple(p.shape) for p in loaded.core.parameters()} | {
        tuple(p.T.shape) for p in loaded.core.parameters() if p.ndim == 2
    }
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        copy = tensor.dtype == torch.bfloat16 and tuple(tensor.shape) in shapes
        if tensor.untyped_storage().data_ptr() not in weights and not copy:
            kept.append(tensor)
        return tensor

    monitor.clear()
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16),
    ):
        loss = forward()
    found = size_bytes([*kept, *monitor])
    del loss
    return found


def activations() -> str:
    texts, audio = clips()
    inputs: list[Tensor] = []
    checkpoint = packing.checkpoint

    def noted(block: Any, hidden: Tensor, **options: Any) -> Any:
        inputs.append(hidden)
        return checkpoint(block, hidden, **options)

    packing.checkpoint = noted
    with tempfile.TemporaryDirectory() as folder:
        loaded = model(Path(folder))
    one_by_one = [
        saved_bytes(loaded, lambda t=t, a=a: sum(upstream.losses(loaded.core, upstream.sequence(t, a, None), 0)), inputs)
        for t, a in zip(texts, audio, strict=True)
    ]  # fmt: skip
    found = {"upstream, one clip at a time, sum of 8": sum(one_by_one)}
    trained = families.find("voxcpm2").trainable(loaded, "full").trainable
    precision.narrow(loaded.core, "bf16_stochastic", trained)
    for which in ("none", "decoder", "all"):
        found[f"ours, bf16, 8 clips packed, recomputed: {which}"] = saved_bytes(
            loaded, lambda w=which: ours(loaded, w), inputs
        )
    lines = ["| forward | MB saved for 8 clips | of upstream's |", "|---|--:|--:|"]
    lines += [f"| {name} | {size / 1e6:.1f} | {size / sum(one_by_one):.3f} |" for name, size in found.items()]
    return "\n".join(lines)


def final_loss(job: Any) -> float:
    """The trained model on all its clips with frozen noise."""
    family = families.find("voxcpm2")
    loaded = family.load(
        training.BASE, family.describe(training.BASE, "", False), settings.Machine("cpu", 1, 1), "core"
    )
    family.load_full(loaded, Path(job.directory) / f"step_{STEPS:07d}")
    loaded.core.eval()
    items = list(latents.items(Path(job.clips), Path(job.latents)).values())
    total = 0.0
    for number in range(LAST):
        batch = family.collate(loaded, items)
        noise = family.draw(
            loaded, batch, [rng.key(0, "final", i.clip_id, number) for i in items], (number, LAST)
        )
        with torch.no_grad():
            total += sum(float(v.double().mean()) for v in family.losses(loaded, batch, noise).values())
    return total / LAST


def losses() -> str:
    lines = [
        f"| stack | final loss of seeds {SEEDS}, {STEPS} steps | mean | spread of the seeds (standard deviation) |",
        "|---|---|--:|--:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        corpus = training.corpus(Path(folder))
        for number, (name, stack) in enumerate(STACKS.items()):
            found = []
            for seed in SEEDS:
                train = replace(
                    FULL, learning_rate=1e-3, warmup_steps=5, probe_every=STEPS, clips_per_pass=4, **stack
                )
                job = replace(training.train_job(corpus, Path(folder) / f"{number}-{seed}", train), seed=seed)
                loop.run(job, lambda *_: None)
                found.append(final_loss(job))
            shown = ", ".join(f"{value:.4f}" for value in found)
            lines.append(
                f"| {name} | {shown} | {statistics.mean(found):.4f} | {statistics.stdev(found):.4f} |"
            )
    return "\n".join(lines)


def saving() -> str:
    lines = [
        "| mode | steps between saves | saves | blocked, share of the time between saves | writing, the same |",
        "|---|--:|--:|--:|--:|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        corpus = training.corpus(Path(folder))
        for mode, stack in (
            ("lora", STACKS["fp32, AdamW (upstream)"]),
            ("full", STACKS["bf16 + 16 bits, 8-bit AdamW"]),
        ):
            train = replace(training.train_settings(mode, steps=60, every=20), probe_every=60, **stack)
            job = training.train_job(corpus, Path(folder) / mode, train)
            loop.run(job, lambda *_: None)
            steps = sum(
                t.seconds for t in records.read(Path(job.directory) / "timings.jsonl", records.StepTiming)
            )
            saves = [
                json.loads(line) for line in (Path(job.directory) / "saves.jsonl").read_text().splitlines()
            ]
            blocked, took = (sum(save[key] for save in saves) for key in ("blocked_s", "took_s"))
            lines.append(
                f"| {mode} | 20 ({steps / 3:.1f} s) | {len(saves)} | {blocked / steps:.2%} | {took / steps:.1%} |"
            )
    return "\n".join(lines)


TABLES = {"bytes": persistent, "saved": activations, "losses": losses, "saving": saving}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or list(TABLES):
        print(f"\n{TABLES[chosen]()}", flush=True)

"""What training holds: persistent bytes a parameter, bytes saved for backward, bytes of a run directory, time lost to saving.

Usage:  python -m benchmarks.bench_memory [bytes|saved|disk|saving]
The 20 M parameter model of bench_step; `disk` and `saving` train it on random encodings through the trainer's own loop.
Sizes are counted, not sampled: every distinct storage that is alive, once.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_CBWR="AVX2,STRICT")
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmarks import bench_step
from tests.factories import training, voxcpm2_base
from tests.families.voxcpm import upstream_voxcpm as upstream
from voicelathe import families, records, rng
from voicelathe.config import schema
from voicelathe.families.shared import packing
from voicelathe.families.voxcpm import losses
from voicelathe.train import adapters, loop, memory, precision

STACKS = {
    "fp32, AdamW (upstream)": {"optimizer": "adamw", "weights": "fp32"},
    "fp32, 8-bit AdamW (reference)": {"optimizer": "adamw8bit", "weights": "fp32"},
    "bf16 + 16 bits, 8-bit AdamW": {"optimizer": "adamw8bit", "weights": "bf16_split16"},
    "bf16 + 8 bits, 8-bit AdamW": {"optimizer": "adamw8bit", "weights": "bf16_split8"},
    "bf16 stochastic, 8-bit AdamW": {"optimizer": "adamw8bit", "weights": "bf16_stochastic"},
}
FULL = training.train_settings("full")


def opened(base: Path) -> Any:
    voxcpm2_base.write(base, bench_step.overrides())
    family = families.find("voxcpm2")
    model = family.open_model(base, family.describe(base, "", False), schema.Machine("cpu", 1, 1))
    model.core.train()
    return model


def clips() -> tuple[list[Tensor], list[Tensor]]:
    draw = torch.Generator().manual_seed(0)
    width = (bench_step.FRAMES, bench_step.WIDTH)
    texts = [torch.randint(105, bench_step.TEXT_IDS, (text,), generator=draw) for text, _ in bench_step.CLIPS]
    return texts, [torch.randn((audio, *width), generator=draw) for _, audio in bench_step.CLIPS]


def ours(model: Any, recompute: Any = "none") -> Tensor:
    texts, audio = clips()
    pack = losses.pack(texts, audio, [None] * len(texts), torch.device("cpu"))
    keys = [rng.key(0, "bench", number) for number in range(len(texts))]
    noise = losses.draw(pack, keys, 0.1, "log-norm", None)
    found = losses.losses(model.core, pack, noise, recompute)
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
            model = opened(Path(folder))
        train = replace(FULL, **stack)
        trained = model.trainable("full").trainable
        count = sum(parameter.numel() for parameter in trained.values())
        lows = precision.narrow(model.core, train.weights, trained)
        optimizer = memory.optimizer(train, model.core, trained, lows, 1)
        with torch.autocast("cpu", torch.bfloat16):
            ours(model, "all").backward()
        gradients = size_bytes(p.grad for p in trained.values())
        memory.prepare(optimizer, 1, 1e-5)
        optimizer.step()
        linear = sum(m.weight.numel() for m in model.core.modules() if isinstance(m, torch.nn.Linear))
        parts = [
            size_bytes(trained.values()), gradients, size_bytes(t for e in optimizer.state.values() for t in e.values()),
            2 * linear if train.weights == "fp32" else 0,
        ]  # fmt: skip
        shown = " | ".join(f"{part / count:.2f}" for part in parts)
        lines.append(f"| {name} | {shown} | **{sum(parts) / count:.2f}** |")
    return "\n".join(lines)


def saved_bytes(model: Any, forward: Callable[[], Tensor], monitor: list[Tensor]) -> int:
    """Distinct storages kept for backward that are neither weights nor bf16 copies of weights; `monitor` has inputs of recomputed blocks."""
    weights = {p.untyped_storage().data_ptr() for p in model.core.parameters()}
    shapes = {tuple(p.shape) for p in model.core.parameters()} | {
        tuple(p.T.shape) for p in model.core.parameters() if p.ndim == 2
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
    checkpoint = packing.checkpoint  # type: ignore[attr-defined]

    def noted(block: Any, hidden: Tensor, **options: Any) -> Any:
        inputs.append(hidden)
        return checkpoint(block, hidden, **options)

    packing.checkpoint = noted  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        model = opened(Path(folder))
    one_by_one = [
        saved_bytes(model, lambda t=t, a=a: sum(upstream.losses(model.core, upstream.sequence(t, a, None), 0)), inputs)
        for t, a in zip(texts, audio, strict=True)
    ]  # fmt: skip
    found = {"upstream, one clip at a time, sum of 8": sum(one_by_one)}
    trained = model.trainable("full").trainable
    precision.narrow(model.core, "bf16_stochastic", trained)
    for which in ("none", "decoder", "all"):
        found[f"ours, bf16, 8 clips packed, recomputed: {which}"] = saved_bytes(
            model, lambda w=which: ours(model, w), inputs
        )
    lines = ["| forward | MB saved for 8 clips | of upstream's |", "|---|--:|--:|"]
    lines += [f"| {name} | {size / 1e6:.1f} | {size / sum(one_by_one):.3f} |" for name, size in found.items()]
    return "\n".join(lines)


def disk() -> str:
    """What stays of a run of 9 numbered checkpoints, hard links counted once and files of the base not at all."""
    lines = [
        "| run of 9 intervals | upstream's optimizer | upstream, its published run: 12 copies | its present script: 10 | ours | of 12 | of 10 |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    shipped = (
        ("full, bf16 + 16 bits", "full", {"optimizer": "adamw8bit", "weights": "bf16_split16"}),
        ("full, bf16 stochastic", "full", {"optimizer": "adamw8bit", "weights": "bf16_stochastic"}),
        ("lora r=32, AdamW", "lora", {"optimizer": "adamw", "weights": "bf16", "lora": bench_step.LORA}),
    )
    with tempfile.TemporaryDirectory() as folder:
        root = training.corpus(Path(folder))
        base = voxcpm2_base.write(root / "base", bench_step.overrides())
        for name, mode, stack in shipped:
            train = replace(
                training.train_settings(mode, steps=9, every=1), probe_every=9, clips_per_step=2, **stack
            )
            job = training.train_job(root, root / name, train)
            loop.run(replace(job, target=replace(job.target, base=str(base))), lambda *_: None)
            own = kept_bytes(root / name, base)
            for optimizer in ("adamw", "adamw8bit"):
                copy = upstream_checkpoint_bytes(base, mode, optimizer)
                sizes = " | ".join(f"{size / 1e6:.1f} MB" for size in (12 * copy, 10 * copy, own))
                lines.append(
                    f"| {name} | {optimizer} | {sizes} | {own / 12 / copy:.3f} | {own / 10 / copy:.3f} |"
                )
    return "\n".join(lines)


def kept_bytes(directory: Path, base: Path) -> int:
    """Bytes of the files under a directory that are not the base's own."""
    files = {
        (f.stat().st_dev, f.stat().st_ino): f.stat().st_size for f in directory.rglob("*") if f.is_file()
    }
    linked = {(f.stat().st_dev, f.stat().st_ino) for f in base.rglob("*") if f.is_file()}
    return sum(size for inode, size in files.items() if inode not in linked)


def upstream_checkpoint_bytes(base: Path, mode: str, optimizer: str) -> int:
    """One directory as upstream's trainer saves it: fp32 weights (or the adapter), optimizer.pth, copies of codec and tokenizer."""
    family = families.find("voxcpm2")
    model = family.open_model(base, family.describe(base, "", False), schema.Machine("cpu", 1, 1))
    if mode == "lora":
        adapters.inject(model.core, bench_step.LORA, model.adapter_targets(bench_step.LORA.scope), 0)
    trained = model.trainable(mode).trainable
    made = memory.optimizer(replace(FULL, optimizer=optimizer), model.core, trained, {}, 1)
    for parameter in trained.values():
        parameter.grad = torch.zeros_like(parameter)
    made.step()
    tensors = trained if mode == "lora" else model.core.state_dict()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        save_file(
            {name: t.detach().float().contiguous() for name, t in tensors.items()}, out / "model.safetensors"
        )
        torch.save(made.state_dict(), out / "optimizer.pth")
        size = sum(file.stat().st_size for file in out.iterdir())
    others = [f for f in base.rglob("*") if f.is_file() and f.name != "model.safetensors"]
    return size + (sum(f.stat().st_size for f in others) if mode == "full" else 0)


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


TABLES = {"bytes": persistent, "saved": activations, "disk": disk, "saving": saving}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or list(TABLES):
        print(f"\n{TABLES[chosen]()}", flush=True)

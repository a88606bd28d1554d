"""Processes that share the weights (train.shard) against one process and against processes that each hold everything.

Usage:  python -m benchmarks.bench_shards
Two gloo processes on the CPU, a small random VoxCPM 2, fp32, AdamW, 12 clipped steps of 8 clips in 4 passes; about a minute.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.factories import training
from tests.train.test_peers import shared, steps_of, together
from tests.train.test_sharded import joined, settings
from voicelathe.records import StepRecord
from voicelathe.train import loop

STEPS = 12


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        corpus, train = (
            training.corpus(root / "corpus"),
            replace(settings(), steps=STEPS, checkpoint_every=STEPS),
        )
        whole = replace(train, shard=False)
        loop.run(training.train_job(corpus, root / "one", whole), lambda *_: None)
        for place, how in (("each", whole), ("pieces", train)):
            ended = together(shared(corpus, root / place, how), root / f"{place}.log", lambda *_: None)
            if any(ended):
                raise SystemExit((root / f"{place}.log").read_text()[-3000:])
        print(
            "| | losses, relative | gradient norm, relative | weights in fp32 | values of the bf16 checkpoint that differ |\n|---|--:|--:|--:|--:|"
        )
        for what, (one, other) in {
            "sharded, against one process": ("pieces", "one"),
            "sharded, against two processes that each hold everything": ("pieces", "each"),
            "two processes that each hold everything, against one": ("each", "one"),
        }.items():
            print(f"| {what} | {' | '.join(compared(root / one, root / other))} |")


def compared(one: Path, other: Path) -> Iterator[str]:
    """The largest differences of two runs."""
    steps = list(zip(steps_of(one), steps_of(other), strict=True))

    def relative(value: Callable[[StepRecord], float]) -> str:
        return f"{max(abs(value(mine) / value(theirs) - 1.0) for mine, theirs in steps):.1e}"

    yield relative(lambda step: step.total)
    yield relative(lambda step: step.grad_norm)
    ours, theirs = weights(one), weights(other)
    yield f"{max(float((ours[name] - theirs[name]).abs().max()) for name in theirs):.1e}"
    low, wanted = (load_file(run / f"step_{STEPS:07d}/model.safetensors") for run in (one, other))
    apart = [(low[name].float() - wanted[name].float()).abs() for name in wanted]
    differ, worst = sum(int((one > 0).sum()) for one in apart), max(float(one.max()) for one in apart)
    yield f"{differ} of {sum(one.numel() for one in apart):,}, the largest by {worst:.1e}"


def weights(run: Path) -> dict[str, Tensor]:
    """What a run trained, in fp32, as one process has it."""
    whole = run / f"state_{STEPS:07d}/parameters.safetensors"
    held = load_file(whole) if whole.is_file() else joined(run, STEPS)
    return {name: tensor for name, tensor in held.items() if "::" not in name}


if __name__ == "__main__":
    main()

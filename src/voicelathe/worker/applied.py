"""Is this adapter really in the model? Shown before its losses are compared, because an adapter that was not applied looks like a tie.

Published sweeps over LoRA scales were made with adapters whose names did not fit: they were skipped without a word, and every
LoRA scale sounded like the base. So four things must hold, and the first that does not is an error: every tensor of the file is
in the model with the file's values; at LoRA scale 0 the losses are the base's, to the last bit; at LoRA scale 1 they are not; and
the larger the LoRA scale, the further every layer's output moves.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from voicelathe import rng
from voicelathe.errors import CheckpointError
from voicelathe.families.base import ClipItem, Model
from voicelathe.process import jobs
from voicelathe.records import AdapterProof
from voicelathe.train import adapters
from voicelathe.worker.weights import Swapper

SCALES = (0.25, 0.5, 1.0)
NUM_CLIPS = 2  # the shortest: what is shown does not depend on how many


def prove(
    swapper: Swapper[Model], ref: jobs.WeightsRef, items: Sequence[ClipItem], seed: int
) -> AdapterProof:
    """The evidence for the adapter that is in place; its LoRA scale is as before afterwards. Raises CheckpointError."""
    model, shortest = swapper.opened, sorted(items, key=_length)[:NUM_CLIPS]
    num_weights = _require_weights(swapper, ref)
    with torch.inference_mode():
        batch = model.collate(shortest)
        keys = [rng.key(seed, "proof", item.clip_id) for item in shortest]
        noise = model.draw(batch, keys, (0, 1))

        def losses() -> torch.Tensor:
            found = model.losses(batch, noise)
            return torch.stack([found[name] for name in sorted(found)]).double()

        with adapters.disabled(model.core):
            base = losses()
        swapper.scale(0.0)
        at_zero = losses()
        rows = adapters.shifts(model.core, losses, SCALES)
        swapper.scale(1.0)
        at_one = losses()
    swapper.scale(ref.candidate.lora_scale or 0.0)
    if not torch.equal(base, at_zero):
        raise _error(ref, "at LoRA scale 0 its losses are not exactly the base's")
    if not (moved := [row for row in rows if any(row)]):
        raise _error(ref, f"each of its {len(rows)} layers gives what it gives without it")
    shifts = [sum(row[place] for row in moved) / len(moved) for place in range(len(SCALES))]
    if any(low >= high for low, high in itertools.pairwise(shifts)):
        raise _error(
            ref, f"its layers do not move further at LoRA scales {_shown(SCALES)}, but by {_shown(shifts)}"
        )
    if torch.equal(base, at_one):
        raise _error(ref, "at LoRA scale 1 its losses are the base's")
    shift = float((at_one - base).abs().max())
    figures = [float(f"{one:.6g}") for one in shifts]
    return AdapterProof(num_weights, len(moved), list(SCALES), figures, float(f"{shift:.6g}"))


def _require_weights(swapper: Swapper[Model], ref: jobs.WeightsRef) -> int:
    """Nothing skipped, nothing left over from the adapter before. Gives the number of tensors."""
    stored = swapper.family.load_adapter(Path(ref.path))
    here = adapters.tensors(swapper.opened.core)
    if wrong := sorted(set(stored) ^ set(here)):
        raise _error(
            ref, f"{wrong[0]} is {'in the file only' if wrong[0] in stored else 'in the model only'}"
        )
    for name, tensor in stored.items():
        if not torch.equal(here[name], tensor.to(here[name].dtype)):
            raise _error(ref, f"{name} in the model is not what the file holds")
    return len(stored)


def _error(ref: jobs.WeightsRef, said: str) -> CheckpointError:
    return CheckpointError(
        f"{ref.path}: the adapter is not applied as it should be: {said}. No LoRA scale of it can be judged. If its training "
        "never moved it, raise recipes.*.train.learning_rate and train again; else this is a bug of voicelathe."
    )


def _shown(numbers: Sequence[float]) -> str:
    return ", ".join(f"{one:.3g}" for one in numbers)


def _length(item: ClipItem) -> Any:
    return max(tensor.shape[0] for tensor in item.tensors.values()), item.clip_id

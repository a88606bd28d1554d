"""What the optimizer and the files of a run weigh, from the sizes of what is trained. Tests compare it with real state and files."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from voicelathe.config import schema
from voicelathe.train import optimizers, precision
from voicelathe.train.sharded import sizes


@dataclass(frozen=True)
class State:
    """Bytes that the optimizer keeps."""

    masters: int
    moments: int
    paged: int  # of the moments


def state(train: schema.Train, trainable: Mapping[str, nn.Parameter], processes: int = 1) -> State:
    """What the optimizer keeps after its first step, in each of the processes that share a model."""
    low = precision.LOW_DTYPES.get(train.weights) if train.mode == "full" else None
    taken, own = (
        optimizers.find(train.optimizer).footprint,
        [sizes.rows(p, processes) for p in trainable.values()],
    )
    masters = sum(own) * (low.itemsize if low else 0)
    return State(masters, sum(map(taken.kept, own)), sum(map(taken.paged, own)))


def checkpoint_bytes(train: schema.Train, core: nn.Module, trainable: Mapping[str, nn.Parameter]) -> int:
    """Weights of one numbered checkpoint: the adapter in fp32, or the whole model in bf16; other files are links."""
    if train.mode == "lora":
        return 4 * sum(p.numel() for p in trainable.values())
    return 2 * sum(p.numel() for p in core.parameters())


def state_files(trainable: Mapping[str, nn.Parameter], kept: State) -> int:
    """One resume state: what is trained as it lies on the device, and all the optimizer keeps."""
    return sum(p.numel() * p.element_size() for p in trainable.values()) + kept.masters + kept.moments

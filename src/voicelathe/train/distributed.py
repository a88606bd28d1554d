"""The processes that train one model together, one GPU each: torchrun starts them, and they meet three times a step.

Every process holds the whole model and takes its share of a step's passes. Gradients are added up before the norm is taken, so the
update is computed everywhere from the same numbers and the weights stay the same without being sent. The first process alone writes.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from voicelathe.config import schema
from voicelathe.errors import VoiceLatheError

PATIENCE = timedelta(hours=1)  # the first process may have to write a whole state while the others wait
T = TypeVar("T")


@dataclass(frozen=True)
class Peers:
    """This process among `count`."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of this tensor over all processes, in place."""
        if self.count > 1:
            distributed.all_reduce(tensor)
        return tensor

    def any(self, raised: bool) -> bool:
        """Whether any process says so: all of them go on, or none does."""
        return bool(self.add(torch.tensor(int(raised)))) if self.count > 1 else raised

    def first_alone(self, work: Callable[[], T]) -> T:
        """Work that tidies up a directory: the others do the same only when the first is through."""
        if self.count == 1:
            return work()
        if not self.is_first:
            distributed.barrier()
        result = work()
        if self.is_first:
            distributed.barrier()
        return result

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Make every gradient the sum over all processes, added in fp32 and rounded once to its own precision.

        A parameter without a gradient anywhere keeps none; one without it here counts as zero.
        """
        if self.count == 1:
            return
        listed = list(parameters)
        used = self.add(torch.tensor([int(parameter.grad is not None) for parameter in listed]))
        for parameter, is_used in zip(listed, used.tolist(), strict=True):
            if not is_used:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.copy_(self.add(parameter.grad.float().contiguous()))


ALONE = Peers()


@contextmanager
def joined(machine: schema.Machine) -> Iterator[Peers]:
    """Meet the others that torchrun has started. Raises VoiceLatheError when there are fewer GPUs than processes."""
    if machine.processes == 1:
        yield ALONE
        return
    distributed.init_process_group(
        "gloo" if machine.device == "cpu" else "cpu:gloo,cuda:nccl", timeout=PATIENCE
    )
    try:
        yield Peers(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def choose_device(machine: schema.Machine) -> None:
    """From now on `cuda` is this process's own GPU."""
    if machine.processes == 1 or machine.device == "cpu":
        return
    place, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if place >= found:
        raise VoiceLatheError(
            f"machine.processes = {machine.processes}: torch finds {found} CUDA devices and each process needs its own. "
            f"Set machine.processes: {max(1, found)}."
        )
    torch.cuda.set_device(place)

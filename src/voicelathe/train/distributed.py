"""The processes that train one model together, one GPU each, on one machine or several: torchrun starts them, and they meet three times a step.

Every process holds the whole model and takes its share of a step's passes. Gradients are added up before the norm is taken, so the
update is computed everywhere from the same numbers and the weights stay the same without being sent. The first process alone writes.
With train.shard they hold one model together, and meet at every layer: `sharded`.
"""

import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from voicelathe import records
from voicelathe.config import schema
from voicelathe.errors import CheckpointError, VoiceLatheError
from voicelathe.parallel import heartbeat
from voicelathe.process import jobs

PATIENCE = timedelta(hours=1)  # the first process may have to write a whole state while the others wait
T = TypeVar("T")


@dataclass(frozen=True)
class Peers:
    """This process among `count`."""

    rank: int = 0
    count: int = 1
    pulse: heartbeat.Heartbeat | None = None  # of processes on several machines

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def add(self, tensor: Tensor) -> Tensor:
        """The sum of this tensor over all processes, in place."""
        if self.count > 1:
            self._meet(lambda: distributed.all_reduce(tensor))
        return tensor

    def any(self, raised: bool) -> bool:
        """Whether any process says so: all of them go on, or none does."""
        return bool(self.add(torch.tensor(int(raised)))) if self.count > 1 else raised

    def all_said(self, text: str | None) -> list[str]:
        """What the processes say, in the order of their ranks, each text once."""
        said: list[str | None] = [text] * self.count
        if self.count > 1:
            self._meet(lambda: distributed.all_gather_object(said, text))
        return list(dict.fromkeys(one for one in said if one))

    def first_alone(self, work: Callable[[], T]) -> T:
        """Work that tidies up a directory: the others do the same only when the first is through."""
        if self.count == 1:
            return work()
        if not self.is_first:
            self._meet(distributed.barrier)
        result = work()
        if self.is_first:
            self._meet(distributed.barrier)
        return result

    def meet(self) -> None:
        """Until all are here."""
        if self.count > 1:
            self._meet(distributed.barrier)

    def require_same_step(self, step: int) -> int:
        """The step, which all processes have found. Raises CheckpointError where another machine sees an older file system."""
        if self.count == 1:
            return step
        steps = torch.zeros(self.count, dtype=torch.int64)
        steps[self.rank] = step
        if len(set(found := self.add(steps).tolist())) > 1:
            raise CheckpointError(
                f"The processes of this run would go on from different steps: {', '.join(map(str, found))}, in the order of their ranks. "
                "Their machines do not see the same files: mount one file system on all of them, wait until it shows the newest state, "
                "and start the same commands again."
            )
        return step

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

    def _meet(self, together: Callable[[], object]) -> None:
        met(together, self.pulse)


ALONE = Peers()


def met(together: Callable[[], object], pulse: heartbeat.Heartbeat | None) -> None:
    """Something that all processes do at once. Raises ClusterError where another machine ended meanwhile, with what it said."""
    try:
        together()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as problem:  # gloo's and NCCL's
        if pulse is None:
            raise
        raise pulse.broken(problem) from None


@contextmanager
def watched(
    node: records.NodePlace | None, emit: Callable[[str, dict[str, Any]], None]
) -> Iterator[heartbeat.Heartbeat | None]:
    """Tell processes on other machines that this one lives and how it ends, and end it where one of them is lost."""
    if node is None:
        yield None
        return

    def connect() -> Any:
        patience = timedelta(seconds=heartbeat.STORE_S)
        store = distributed.TCPStore(node.host, node.port, timeout=patience, wait_for_workers=False)  # type: ignore[attr-defined]
        return distributed.PrefixStore(node.token, store)  # type: ignore[attr-defined]

    def lost(text: str) -> None:
        emit(jobs.FAILED, {"error": "ClusterError", "message": text})
        heartbeat.leave()

    count = int(os.environ["WORLD_SIZE"])
    pulse = heartbeat.Heartbeat(connect, int(os.environ["RANK"]), count, node.silent_s, lost)
    try:
        yield pulse
    except BaseException as problem:
        pulse.end(*heartbeat.state_of(problem))
        raise
    pulse.end()


@contextmanager
def joined(machine: schema.Machine, pulse: heartbeat.Heartbeat | None = None) -> Iterator[Peers]:
    """Meet the others that torchrun has started.

    A process that fails leaves by its end: to take leave in order would wait for processes that wait for it.
    """
    if machine.processes == 1:
        yield ALONE
        return
    backend = "gloo" if machine.device == "cpu" else "cpu:gloo,cuda:nccl"
    met(lambda: distributed.init_process_group(backend, timeout=PATIENCE), pulse)
    if pulse is not None:
        pulse.has_joined = True
    yield Peers(distributed.get_rank(), distributed.get_world_size(), pulse)
    distributed.destroy_process_group()


def choose_device(machine: schema.Machine) -> None:
    """From now on `cuda` is this process's own GPU. Raises VoiceLatheError when this machine has fewer GPUs than processes."""
    if machine.processes == 1 or machine.device == "cpu":
        return
    place, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if place >= found:
        here = int(os.environ.get("LOCAL_WORLD_SIZE", machine.processes))
        machines = machine.processes // here
        where = "" if machines == 1 else f" on {machines} machines, {here} on each"
        raise VoiceLatheError(
            f"machine.processes = {machine.processes}{where}: torch finds {found} CUDA devices on {socket.gethostname()} and each process "
            f"needs its own. Set machine.processes: {max(1, found) * machines}."
        )
    torch.cuda.set_device(place)


class Flag:
    """Set by a signal handler, read at step boundaries."""

    def __init__(self) -> None:
        self.raised = False

    def is_set(self) -> bool:
        return self.raised


def stop_on_sigterm() -> Flag:
    """From now on the signal raises a flag."""
    flag = Flag()

    def handle(_number: int, _frame: Any) -> None:
        # More than one may arrive: when a parent with several threads is killed, the kernel sends the death signal as each
        # of them goes, because the child passes from thread to thread. Who cannot wait for the step sends SIGKILL.
        flag.raised = True

    signal.signal(signal.SIGTERM, handle)
    return flag

"""What work does otherwise in a process of a cluster: nobody sees its phases, and nobody has set its threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from voicelathe.errors import VoiceLatheError, WorkerError

_HERE: ContextVar[bool] = ContextVar("on_node", default=False)


@contextmanager
def entered() -> Iterator[None]:
    """Inside, this is a process of a cluster."""
    before = _HERE.set(True)
    try:
        yield
    finally:
        _HERE.reset(before)


def use_threads(number: int) -> None:
    """As many for torch as the machine of the settings has; the worker of this machine has set its own."""
    import torch

    if _HERE.get():
        torch.set_num_threads(number)


@contextmanager
def named(content: str) -> Iterator[None]:
    """An error inside says at what it was met. Elsewhere than on a node it passes as it is: the worker has told its phase."""
    try:
        yield
    except Exception as problem:
        if not _HERE.get():
            raise
        if isinstance(problem, VoiceLatheError):
            problem.args = (f"{problem}\nMet at {content}.",)
            raise
        raise WorkerError(
            f"{content}: {type(problem).__name__}: {problem}\nRun the same command with engine.kind: serial to see what it does; what is "
            "finished stays."
        ) from None

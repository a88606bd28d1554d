"""Where a worker stands among the machines that train one run together."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NodePlace:
    """One machine's place; everything but `rank` is the same on all of them."""

    rank: int  # of this machine; 0 owns the stage and its files
    count: int  # machines
    host: str  # of machine 0, as the others reach it
    port: int
    token: (
        str  # of this meeting, new for every one: a process of another meeting is not taken for one of this
    )
    silent_s: float = 120.0  # so long nothing is heard of a process before it counts as lost

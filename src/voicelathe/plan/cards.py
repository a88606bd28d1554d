"""How much memory a card has and how fast it is: named cards, a size such as 24GiB, or the card that is in the machine.

Speeds are the makers' figures for dense 16-bit arithmetic with 32-bit accumulation, and for memory; none was measured here.
"""

import os
import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from voicelathe.config import schema
from voicelathe.errors import RequestError

GIB, MIB = 2**30, 2**20
CUDA_CONTEXT_BYTES = 550_000_000  # driver, kernels and handles of one process: the only number in a plan that is not counted; an assumption
TERA, GIGA = 1e12, 1e9


@dataclass(frozen=True)
class Card:
    """A device to plan for. `context` is what a process takes before its first tensor."""

    name: str
    bytes: int
    half_flops: float  # a second
    single_flops: float
    bandwidth: float  # bytes a second
    host_bandwidth: float  # to host memory, one way
    context: int = CUDA_CONTEXT_BYTES
    is_host: bool = False  # the CPU's own memory: nothing is paged out of it


NAMED = {
    "rtx3090": Card("RTX 3090", 24 * GIB, 71 * TERA, 35.6 * TERA, 936 * GIGA, 25 * GIGA),
    "rtx3090ti": Card("RTX 3090 Ti", 24 * GIB, 80 * TERA, 40 * TERA, 1008 * GIGA, 25 * GIGA),
    "rtx4090": Card("RTX 4090", 24 * GIB, 165 * TERA, 82.6 * TERA, 1008 * GIGA, 25 * GIGA),
    "a10": Card("A10", 24 * GIB, 125 * TERA, 31.2 * TERA, 600 * GIGA, 25 * GIGA),
    "h100": Card("H100", 79 * GIB, 989 * TERA, 67 * TERA, 3350 * GIGA, 50 * GIGA),  # SXM
    "h200": Card("H200", 141 * 10**9, 989 * TERA, 67 * TERA, 4800 * GIGA, 50 * GIGA),  # SXM
}
DRIVERS_NAMES = {"h10080gbhbm3": "h100"}  # where a driver says more than the name
PUBLISHED = NAMED[
    "rtx3090ti"
]  # the card of the published run; its speed stands in where only a size is known
CPU_SPEED = Card("CPU", 0, 0.05 * TERA, 0.05 * TERA, 10 * GIGA, 10 * GIGA, context=0, is_host=True)


def named(name: str) -> Card | None:
    """The card of that name, however a driver or a person writes it; a 3090 Ti is no 3090."""
    key = re.sub(r"[\s_-]|geforce|nvidia", "", name.lower())
    return NAMED.get(DRIVERS_NAMES.get(key, key))


def parse(text: str) -> tuple[Card, str]:
    """A card and the name of the card whose speed it has. Raises RequestError with what can be said."""
    if (known := named(text)) is not None:
        return known, known.name
    match = re.fullmatch(r"\s*([\d.]+)\s*(GiB|GB|MiB)\s*", text, re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise RequestError(f"--card {text}: give a size such as 24GiB, or one of {', '.join(sorted(NAMED))}.")
    unit = {"gib": GIB, "gb": 10**9, "mib": MIB}[match[2].lower()]
    size = int(float(match[1]) * unit)
    return replace(PUBLISHED, name=f"a card with {text.strip()}", bytes=size), PUBLISHED.name


def present(machine: schema.Machine) -> Card | None:
    """What the worker would run on: the first visible GPU, or the memory the CPU has available. None when nobody can tell.

    Of a GPU's memory the driver keeps a part (some 300 MiB of 24 GiB) that no process gets: torch counts without it, nvidia-smi with it.
    """
    if machine.device == "cpu":
        return _host()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"
    fields = "--query-gpu=name,memory.total,memory.reserved"
    query = ["nvidia-smi", "-i", visible, fields, "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
        name, total, reserved = (part.strip() for part in said.strip().splitlines()[0].rsplit(",", 2))
        mebibytes = int(total) - (int(reserved) if reserved.isdigit() else 0)  # it may answer [N/A]
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return Card(**{**vars(named(name) or PUBLISHED), "name": name, "bytes": mebibytes * MIB})


def _host() -> Card | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return Card(**{**vars(CPU_SPEED), "name": "this machine's memory", "bytes": kibibytes * 1024})

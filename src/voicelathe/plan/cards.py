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
CUDA_CONTEXT_BYTES = 550_000_000  # driver, kernels and handles of one process: an assumption, where nearly all of a plan is counted
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
    has_bf16: bool = True  # Ampere and later; older ones compute it by emulation, many times slower
    can_page: bool = True  # managed memory may be larger than the card; not on Windows, so not in WSL2 (NVIDIA, CUDA on WSL, "Known Limitations")


# Memory is what the driver shows: cards that correct errors keep a part for that.
NAMED = {
    "rtx3060": Card("RTX 3060", 12 * GIB, 25.6 * TERA, 12.7 * TERA, 360 * GIGA, 25 * GIGA),
    "rtx4070ti": Card("RTX 4070 Ti", 12 * GIB, 80 * TERA, 40.1 * TERA, 504 * GIGA, 25 * GIGA),
    "rtx4060ti": Card(
        "RTX 4060 Ti 16 GB", 16 * GIB, 44 * TERA, 22.1 * TERA, 288 * GIGA, 12 * GIGA
    ),  # eight lanes
    "rtx4080": Card("RTX 4080", 16 * GIB, 97.5 * TERA, 48.7 * TERA, 717 * GIGA, 25 * GIGA),
    "t4": Card("T4", 15 * GIB, 65 * TERA, 8.1 * TERA, 300 * GIGA, 12 * GIGA, has_bf16=False),
    "rtx3090": Card("RTX 3090", 24 * GIB, 71 * TERA, 35.6 * TERA, 936 * GIGA, 25 * GIGA),
    "rtx3090ti": Card("RTX 3090 Ti", 24 * GIB, 80 * TERA, 40 * TERA, 1008 * GIGA, 25 * GIGA),
    "rtx4090": Card("RTX 4090", 24 * GIB, 165 * TERA, 82.6 * TERA, 1008 * GIGA, 25 * GIGA),
    "a10": Card("A10", 23_028 * MIB, 125 * TERA, 31.2 * TERA, 600 * GIGA, 25 * GIGA),
    "l4": Card("L4", 23_034 * MIB, 121 * TERA, 30.3 * TERA, 300 * GIGA, 25 * GIGA),
    "rtx5090": Card("RTX 5090", 32 * GIB, 209 * TERA, 105 * TERA, 1792 * GIGA, 50 * GIGA),
    "rtxa6000": Card("RTX A6000", 48 * GIB, 155 * TERA, 38.7 * TERA, 768 * GIGA, 25 * GIGA),
    "l40s": Card("L40S", 46_068 * MIB, 362 * TERA, 91.6 * TERA, 864 * GIGA, 25 * GIGA),
    "h100": Card("H100", 79 * GIB, 989 * TERA, 67 * TERA, 3350 * GIGA, 50 * GIGA),  # SXM
    "h200": Card("H200", 141 * 10**9, 989 * TERA, 67 * TERA, 4800 * GIGA, 50 * GIGA),  # SXM
}
DRIVERS_NAMES = {
    "h10080gbhbm3": "h100",
    "teslat4": "t4",
    "a6000": "rtxa6000",
}  # where a driver says more than the name
BF16_SINCE = 8.0  # compute capability
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
    found = Card(**{**vars(named(name) or PUBLISHED), "name": name, "bytes": mebibytes * MIB})
    return replace(found, has_bf16=_has_bf16(visible, found.has_bf16), can_page=not in_wsl())


def refusal(card: Card, train: schema.Train) -> str | None:
    """Why a recipe cannot be trained on this kind of card, whatever its memory; None where it can."""
    if card.has_bf16 or card.is_host or (train.weights == "fp32" and not train.autocast):
        return None
    said = "autocast: true" if train.weights == "fp32" else f"weights: {train.weights}"
    return (
        f"{card.name} has no bf16 arithmetic, which {said} needs, and fp16 with loss scaling is not built. With weights: fp32 and "
        "autocast: false it can train; that takes more memory. Cards since Ampere (RTX 30, A10) have bf16"
    )


def in_wsl(version: Path = Path("/proc/version")) -> bool:
    """Whether this Linux runs inside Windows."""
    try:
        return "microsoft" in version.read_text(encoding="utf-8").lower()
    except OSError:
        return False


def _has_bf16(visible: str, otherwise: bool) -> bool:
    """By the card's compute capability; drivers older than 2021 do not tell it."""
    query = ["nvidia-smi", "-i", visible, "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
        return float(said.strip().splitlines()[0]) >= BF16_SINCE
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return otherwise


def _host() -> Card | None:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return Card(**{**vars(CPU_SPEED), "name": "this machine's memory", "bytes": kibibytes * 1024})

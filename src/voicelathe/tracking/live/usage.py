"""How busy was the machine while it trained? Sampled every few seconds beside the journals, charted by step on MLflow's page of system metrics.

The stage looks at the processes it started, so the worker neither pays for it nor knows of it. The file lies beside the weights, not
among a stage's outputs: it is about this machine.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from voicelathe import digest, records
from voicelathe.errors import RecordError
from voicelathe.tracking.curves import Point
from voicelathe.tracking.live.tail import Tail

FILE = "usage.jsonl"
SECTION = "system"  # what MLflow shows under "System metrics", apart from the model's
EVERY_S = 10.0
GIGA = 1e9


@dataclass(frozen=True)
class Usage:
    """One look at the machine, at the step that was last taken."""

    step: int
    at_ms: int
    worker_gb: float  # resident memory of the stage's processes
    worker_cores: float  # that they kept busy since the look before
    host_free_gb: float  # memory that can be had without swapping
    disk_free_gb: float
    device_gb: float | None  # in use on the GPU, by anybody; None without one
    device_busy_share: float | None


class Sampler:
    """`with Sampler(directory, is_cuda):` around a training; at most one line a step. Whatever goes wrong inside ends it silently."""

    def __init__(self, directory: Path, is_cuda: bool, every_s: float = EVERY_S) -> None:
        self._directory, self._is_cuda, self._every_s = directory, is_cuda, every_s
        self._steps = Tail(directory / "steps.jsonl")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="usage", daemon=True)
        self._last, self._busy_s, self._looked_s = 0, 0.0, time.monotonic()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def _work(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._look()
            except Exception:  # a machine that cannot be looked at trains as well
                return

    def _look(self) -> None:
        _, lines = self._steps.read()
        step = json.loads(lines[-1])["step"] if lines else self._last
        memory, busy_s = processes()
        now = time.monotonic()
        cores = max(0.0, busy_s - self._busy_s) / (now - self._looked_s)
        self._busy_s, self._looked_s = busy_s, now
        if step == self._last:
            return
        self._last = step
        device, share = gpu() if self._is_cuda else (None, None)
        free = shutil.disk_usage(self._directory).free
        line = Usage(
            step, round(time.time() * 1000), round(memory / GIGA, 4), round(cores, 3), round(host_free() / GIGA, 4),
            round(free / GIGA, 4), device, share,
        )  # fmt: skip
        with (self._directory / FILE).open("ab") as file:
            file.write(digest.canonical_json(records.to_json(line)).encode() + b"\n")


def points(lines: Iterable[bytes]) -> Iterator[Point]:
    """Points of the first look at each step; a step that a resumed run took again had one already. A torn line is left out."""
    seen: set[int] = set()
    for line in lines:
        try:
            one = records.from_json(Usage, json.loads(line), FILE)
        except (ValueError, RecordError):
            continue
        if one.step in seen:
            continue
        seen.add(one.step)
        for name, value in records.to_json(one).items():
            if name not in ("step", "at_ms") and value is not None:
                yield Point(f"{SECTION}/{name}", value, one.step, one.at_ms)


def of(directory: Path) -> list[Point]:
    """All of a run's; none for one that was trained without."""
    path = directory / FILE
    return list(points(path.read_bytes().splitlines())) if path.is_file() else []


def began_ms(directory: Path) -> int | None:
    """When a training was first looked at; None for one that never was, or on another machine."""
    return min((one.at_ms for one in of(directory)), default=None)


def ended_ms(directory: Path) -> int | None:
    """When it was last looked at."""
    return max((one.at_ms for one in of(directory)), default=None)


def processes() -> tuple[int, float]:
    """Resident bytes and processor seconds of everything this process started."""
    import psutil

    memory, busy_s = 0, 0.0
    for child in psutil.Process(os.getpid()).children(recursive=True):
        try:
            times = child.cpu_times()
            memory, busy_s = memory + child.memory_info().rss, busy_s + times.user + times.system
        except psutil.Error:  # it has just ended
            continue
    return memory, busy_s


def host_free() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def gpu() -> tuple[float | None, float | None]:
    """GB in use and the share of time in which something ran, of the first visible card; None when nvidia-smi does not say."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"
    query = [
        "nvidia-smi",
        "-i",
        visible,
        "--query-gpu=memory.used,utilization.gpu",
        "--format=csv,noheader,nounits",
    ]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        mebibytes, percent = said.strip().splitlines()[0].split(",")
        return round(int(mebibytes) * 2**20 / GIGA, 4), int(percent) / 100
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None, None

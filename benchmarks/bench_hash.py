"""How near is `digest.of_file` to what this processor hashes at all? `python -m benchmarks.bench_hash [MIB]`

One file in the page cache, CPU time of each process, interleaved: ours beside other ways to read it, coreutils' sha256sum, and the
ceiling, which is OpenSSL over one small block in memory again and again (what `openssl speed` measures).
"""

import hashlib
import mmap
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from voicelathe import digest

ROUNDS = 7
BLOCK = 16 << 10
CEILING = "OpenSSL, one block of 16 KiB in memory"


def main() -> None:
    size = int(sys.argv[1] if len(sys.argv) > 1 else "512") << 20
    with tempfile.TemporaryDirectory(dir=".") as made:
        path = Path(made) / "weights"
        path.write_bytes(os.urandom(1 << 20) * (size >> 20))
        cases = _cases(path, size)
        assert len({work() for name, work in cases.items() if name != CEILING}) == 1, "not the same sha256"
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, work in cases.items():
                began = _cpu_s()
                work()
                seconds[name].append(_cpu_s() - began)
    print("| case | GiB/s, median | lowest .. highest | of the ceiling |\n|---|--:|--:|--:|")
    for name, took in seconds.items():
        rates = [size / 2**30 / one for one in took]
        share = statistics.median(there / here for here, there in zip(took, seconds[CEILING], strict=True))
        print(
            f"| {name} | {statistics.median(rates):.2f} | {min(rates):.2f} .. {max(rates):.2f} | {share:.2f} |"
        )


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _cases(path: Path, size: int) -> dict[str, Callable[[], str]]:
    return {
        CEILING: lambda: _repeated(size),
        "ours, `digest.of_file`": lambda: digest.of_file(path),
        "`sha256sum`": lambda: _said(["sha256sum", str(path)]).split()[0],
        "`openssl dgst`": lambda: _said(["openssl", "dgst", "-sha256", "-r", str(path)]).split()[0],
        "memory map": lambda: _mapped(path),
        **{
            f"read, {kib} KiB at a time": lambda kib=kib: _read(path, kib << 10)  # type: ignore[misc]
            for kib in (32, 64, 128, 1024, 4096)
        },
    }


def _repeated(size: int) -> str:
    sha, block = hashlib.sha256(), os.urandom(BLOCK)
    for _ in range(size // BLOCK):
        sha.update(block)
    return sha.hexdigest()


def _mapped(path: Path) -> str:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
        return hashlib.sha256(content).hexdigest()


def _read(path: Path, size: int) -> str:
    sha, buffer = hashlib.sha256(), memoryview(bytearray(size))
    with path.open("rb", buffering=0) as file:
        while got := file.readinto(buffer):
            sha.update(buffer[:got])
    return sha.hexdigest()


def _said(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()

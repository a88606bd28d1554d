"""Reading lock files as pip does."""

import re
from pathlib import Path


def blocks(lock: Path) -> list[str]:
    """One text for each package: its version, its marker and its hashes."""
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines).strip())


def assert_hashed(lock: Path) -> None:
    found = blocks(lock)
    assert found
    for block in found:
        assert re.match(
            r"[\w.-]+(\[[\w,-]+\])?==[^\s;]+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+$", block
        ), block

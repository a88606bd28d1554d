"""What the Makefile's recipes run in."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_bytecode_is_kept_where_the_environment_forbids_it() -> None:
    """Images set PYTHONDONTWRITEBYTECODE; without bytecode `import torch` takes twice the CPU (benchmarks/RESULTS.md, bytecode)."""
    asked = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    show = "include Makefile\nshow-environment:\n\t@env\n"
    done = subprocess.run(
        ["make", "-f", "-", "show-environment"],
        cwd=ROOT,
        env=asked,
        input=show,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PYTHONDONTWRITEBYTECODE" not in done.stdout and "DVC_NO_ANALYTICS=1" in done.stdout

"""Run drawn sequences: `python -m tests.sequences.lab FOLDER SEED...`. Prints a line for each that holds, and a whole one that does not."""

import os
import shutil
import sys
import time
from pathlib import Path

from tests.sequences import operations, project
from tests.sequences.model import Model, Violation
from tests.sequences.operations import World
from tests.sequences.shell import Shell, warm

LENGTH = 30


def run(start: Path, template: Path, folder: Path, seed: int, length: int = LENGTH) -> str | None:
    """One sequence in a copy of the project; None when everything held, else all that was typed and what did not hold."""
    root = Path(shutil.copytree(start, folder / "voice", symlinks=True))
    shutil.copytree(start.parent / "store", folder / "store")
    environment = project.environment(root, template)
    os.environ.update({name: environment[name] for name in ("PYTHONPATH", "LOGNAME")})
    shell = Shell(root, environment)
    world = World(shell, Model(), folder / "archive")
    shell.after = world.follow
    number = -1
    try:
        for number in range(length):
            operation, own = operations.drawn(seed, number)
            shell.note(f"[{number + 1}] {operation.__name__}, branch {world.model.branch}")
            operation(world, own)
            world.check()
            if log := os.environ.get("SEQUENCE_LOG"):
                Path(log, f"{seed}.txt").write_text("\n".join(shell.log))
    except Violation as problem:
        return f"seed {seed}, operation {number + 1}\n" + "\n".join(shell.log) + f"\nVIOLATION: {problem}"
    return None


def main() -> None:
    folder, seeds = Path(sys.argv[1]).resolve(), [int(one) for one in sys.argv[2:]]
    length = int(os.environ.get("SEQUENCE_LENGTH", LENGTH))
    start, template = folder / "start/voice", folder / "start/template.safetensors"
    if not start.is_dir():
        (folder / "start").mkdir(parents=True)
        project.make(folder / "start")
    warm()
    failed = 0
    for seed in seeds:
        began = time.monotonic()
        own = folder / f"seed-{seed}"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        problem = run(start, template, own, seed, length)
        failed += problem is not None
        print(
            problem or f"seed {seed}: {length} operations, every invariant held",
            f"({time.monotonic() - began:.0f} s)",
            flush=True,
        )
        if problem is None:
            shutil.rmtree(own)
    sys.exit(failed)


if __name__ == "__main__":
    main()

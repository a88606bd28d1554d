"""What `voicelathe doctor` says of the machines that ran this project's stages."""

from __future__ import annotations

from collections.abc import Iterator

from voicelathe.cli.machine.machine import OK, MachineFinding


def made() -> Iterator[MachineFinding]:
    """One line for each machine, or machines that trained together: the stages whose last run was theirs."""
    from voicelathe.runs import makers

    by_machines: dict[tuple[str, ...], list[makers.StageNote]] = {}
    for one in makers.read():
        by_machines.setdefault(tuple(one.machines), []).append(one)
    for machines, notes in sorted(by_machines.items()):
        last = max(one.at for one in notes)
        seen = f"{', '.join(one.stage for one in notes)} (last {last})"
        yield MachineFinding(f"made on {' with '.join(machines)}", OK, seen)

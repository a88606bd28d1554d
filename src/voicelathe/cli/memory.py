"""Commands on memory: what ran out of it, from a log."""

from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen
from voicelathe.errors import RecordError

LogFile = Annotated[
    Path, typer.Argument(metavar="LOGFILE", help="What a training printed: stderr, a launcher's log, dmesg.")
]
MAX_LOG_BYTES = 200_000_000  # read from the end: what killed a run is there


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("triage")(triage)


def triage(log: LogFile) -> None:
    """Say which memory ran out in a training's log, what the log shows of it, what can help and what cannot."""
    from voicelathe.triage import logs

    screen.say(logs.read(_end_of(log)).text())


def _end_of(path: Path) -> str:
    """The last part of a file as text. Raises RecordError when it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - MAX_LOG_BYTES))
            return file.read().decode("utf-8", errors="replace")
    except OSError as problem:
        raise RecordError(
            f"{path} cannot be read ({problem.strerror}). Give the file a training's output was written to."
        ) from None

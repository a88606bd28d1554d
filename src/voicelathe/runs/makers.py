"""Which machine made what? A note for each stage, beside its outputs and in none of them: their bytes must not know a machine.

The notes lie in the cache, which is not in git. They name the last run of a stage in this project; what `dvc pull` or `dvc checkout`
brought from elsewhere has no note, or one of an earlier run.
"""

import socket
from dataclasses import dataclass
from datetime import UTC, datetime

from voicelathe import digest, layout, records
from voicelathe.errors import RecordError
from voicelathe.parallel import meeting

PLACE = layout.CACHE / "made"
NAMES = {"selection": "select"}  # scripts whose stage has another name


@dataclass(frozen=True)
class StageNote:
    """One stage's last run that ended well."""

    stage: str  # as dvc names it: train@mini-lora
    machines: list[str]  # the first ran the stage; the others trained with it
    at: str  # UTC


def note(script: str, items: list[str]) -> None:
    """This machine has run a stage."""
    stage = "@".join([NAMES.get(script, script), *items])
    trained = script in ("train", "preflight")
    others = meeting.others(items[0]) if trained and items else []
    at = datetime.now(UTC).isoformat(timespec="seconds")
    made = StageNote(stage, [socket.gethostname(), *others], at)
    digest.write_json(PLACE / f"{stage}.json", records.to_json(made))


def read() -> list[StageNote]:
    """Every note, by stage; one that cannot be read is none."""
    found = []
    for path in sorted(PLACE.glob("*.json")):
        try:
            found.append(records.read_one(path, StageNote))
        except RecordError:
            continue
    return found

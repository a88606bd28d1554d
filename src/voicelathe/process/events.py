"""What a worker says while it works: JSON lines on its stdout, nothing else."""

import json
from dataclasses import dataclass
from typing import Any

from voicelathe.errors import WorkerError


@dataclass(frozen=True)
class Event:
    """One thing a worker says. `kind` is one of the constants below; `values` are plain JSON."""

    kind: str
    values: dict[str, Any]


PHASE = (
    "phase"  # name, step, micro: announced BEFORE the phase begins, so that a dead worker can be diagnosed
)
PROGRESS = "progress"  # done, total, unit; of a training also waited_s
NOTICE = "notice"  # text: something a person should look at; the work goes on
SAMPLE = "sample"  # request_id, sample: the SampleRecord that answers a SpeakRequest; None for an empty text
READY = "ready"  # an interactive speak worker takes requests now
DONE = "done"  # results of the job
FAILED = "failed"  # error class, message; in an answer to a SpeakRequest also request_id


def decode(line: bytes) -> Event:
    """Parse one event line. Raises WorkerError on anything else: the worker's stdout carries events only."""
    try:
        value = json.loads(line)
        return Event(value["kind"], value["values"])
    except (ValueError, KeyError, TypeError):
        raise WorkerError(
            f"The worker wrote something that is not an event: {line[:200]!r}. This is a bug of voicelathe."
        ) from None

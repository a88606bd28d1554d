"""One metric in a process of its own that stays alive between questions, so that its models are loaded once.

Whatever it does, crash, hang or answer nonsense, becomes part of the answer.
"""

import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from voicelathe import digest, records
from voicelathe.errors import RecordError
from voicelathe.records import Figure, MetricJob, MetricRun
from voicelathe.redaction import harmless

TAIL_CHARS = 300
CRASHED, TIMED_OUT = "crashed", "timed_out"


class _Nonsense(ValueError):
    """The answer of a plug-in is not what the protocol says."""


class _Hangs(Exception):
    """No answer in time."""


@dataclass(frozen=True)
class MetricAnswer:
    """What one metric measured."""

    metric: str
    figures: list[Figure]
    limits: dict[str, tuple[float | None, float | None]]
    real: list[dict[str, float | None]]
    values: list[dict[str, float | None]]
    said: list[str | None]  # what a recogniser heard in each clip; empty for other metrics


@dataclass(frozen=True)
class Told:
    """How one metric took a question, and its answer when it gave a valid one."""

    run: MetricRun
    answer: MetricAnswer | None


class MetricProcess:
    """A metric that is asked again and again. After a crash or a hang the next question starts it anew."""

    def __init__(self) -> None:
        self._process: _Process | None = None

    def ask(self, job: MetricJob, timeout_s: float) -> Told:
        """One question. Nothing is raised for what a plug-in does."""
        told = self._ask(job, timeout_s)
        if told.run.status in (TIMED_OUT, CRASHED):
            self.end()
        return told

    def _ask(self, job: MetricJob, timeout_s: float) -> Told:
        lost = len(job.clips)
        self._process = self._process or _Process()
        try:
            told = self._process.ask(job, timeout_s)
            if told is None:
                return Told(MetricRun(job.metric, CRASHED, self._process.last_words(), lost), None)
            if "missing" in told:
                return Told(MetricRun(job.metric, "not_applicable", str(told["missing"])[:TAIL_CHARS]), None)
            run = MetricRun(job.metric, "measured", str(told["note"])[:TAIL_CHARS])
            return Told(run, _check(job, told))
        except _Hangs:
            return Told(
                MetricRun(job.metric, TIMED_OUT, f"gave no answer within {timeout_s:g} s", lost), None
            )
        except (RecordError, ValueError, KeyError, TypeError, AttributeError) as problem:
            said = f"{type(problem).__name__}: {problem}"[:TAIL_CHARS]
            return Told(MetricRun(job.metric, "nonsense", said, lost), None)

    def end(self) -> None:
        """Its process, if it has one."""
        if self._process is not None:
            self._process.end()
        self._process = None


class _Process:
    """A process of `voicelathe.evaluate.metrics`: the path of a question in, a line back when the answer lies beside it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="voicelathe-metric-")
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, "-P", "-m", "voicelathe.evaluate.metrics", str(os.getpid())]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(),
            bufsize=0,
        )

    def ask(self, job: MetricJob, timeout_s: float) -> Any:
        """Its answer, or None when it died. Raises _Hangs, and ValueError for an answer that is no JSON."""
        question, answer = (Path(self._folder.name, name) for name in ("job.json", "answer.json"))
        answer.unlink(missing_ok=True)
        digest.write_json(question, records.to_json(job))
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{question}\n".encode())
        except BrokenPipeError:
            return None
        self._await_line(time.monotonic() + timeout_s)
        return json.loads(answer.read_text(encoding="utf-8")) if answer.is_file() else None

    def _await_line(self, until_s: float) -> None:
        """Wait until it says something or is gone. Raises _Hangs."""
        assert self._process.stdout is not None
        said = b""
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until_s - time.monotonic()))
            if not ready:
                raise _Hangs
            part = os.read(self._process.stdout.fileno(), 4096)
            if not part:
                return
            said += part

    def last_words(self) -> str:
        """How it ended."""
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"exit code {code}: {(lines[-1:] or ['it printed nothing'])[0][:TAIL_CHARS]}"

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()
        self._folder.cleanup()


def _environment() -> dict[str, str]:
    fixed = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
        "MKL_CBWR": "AVX2,STRICT",  # else a product's last digits depend on where its matrix lies in memory
    }
    return {**harmless(os.environ), **fixed}


def _check(job: MetricJob, told: dict[str, Any]) -> MetricAnswer:
    """Numbers where numbers must be, one row a clip, no figure that was not announced."""
    figures = [records.from_json(Figure, one, job.metric) for one in told["figures"]]
    names = {one.name for one in figures}
    for kind, expected in (("values", len(job.clips)), ("real", None)):
        rows = told[kind]
        if expected is not None and len(rows) != expected:
            raise _Nonsense(f"{len(rows)} answers for {expected} clips")
        for row in rows:
            if strangers := sorted(set(row) - names):
                raise _Nonsense(f"a figure {strangers[0]!r} that it did not announce")
            if bad := [name for name, value in row.items() if value is not None and not _is_number(value)]:
                raise _Nonsense(f"{bad[0]} = {row[bad[0]]!r} is not a finite number")
    limits = {name: (low, high) for name, (low, high) in told["limits"].items()}
    if wrong := [
        name for name, ends in limits.items() if not all(end is None or _is_number(end) for end in ends)
    ]:
        raise _Nonsense(f"limits of {wrong[0]} are {limits[wrong[0]]}")
    said = told["said"]
    if said and (len(said) != len(job.clips) or not all(one is None or isinstance(one, str) for one in said)):
        raise _Nonsense(f"{len(said)} texts for {len(job.clips)} clips")
    return MetricAnswer(job.metric, figures, limits, told["real"], told["values"], said)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

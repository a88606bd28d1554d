"""Ask metrics about clips, each in a process of its own that stays alive between questions, so that its models are loaded once.

A plug-in that crashes, hangs or answers nonsense loses the clips of that question and nothing else. One that hung, or died three
times, is not asked again.
"""

import json
import math
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from voicelathe import digest, layout, records
from voicelathe.errors import RecordError
from voicelathe.evaluate.metrics import found
from voicelathe.records import ClipRef, Figure, MetricJob, MetricRun, RecogniserRef
from voicelathe.redaction import harmless

TAIL_CHARS = 300
MAX_DEATHS = 3
RECOGNISER, STAND_IN = "recogniser", "words"  # of PocketSphinx, where no recogniser is pinned


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


class Panel:
    """Metrics that are asked again and again, `workers` of them at a time.

        with Panel(["recogniser", "speaker"], timeout_s=600, recogniser=ref) as panel:
            told = panel.ask(real, clips)

    `timeout_s` is for one question. The real clips are measured once, as long as they stay the same. Raises SelectionError for a
    metric that no installed package offers.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        timeout_s: float,
        recogniser: RecogniserRef | None = None,
        workers: int = 1,
    ) -> None:
        self.metrics = list(metrics)
        if RECOGNISER in metrics and recogniser is None and STAND_IN not in metrics:
            self.metrics.append(STAND_IN)  # says so itself: it is on the record
        for name in self.metrics:
            found.find(name)
        self._recogniser, self._timeout_s = recogniser, timeout_s
        self._owners: dict[str, str] = {}
        # The kernel ends a process with the thread that started it, so the threads live as long as the panel.
        self._pool = ThreadPoolExecutor(max(1, workers))
        self._asked = {name: _Asked(name) for name in self.metrics}

    def ask(self, real: Sequence[ClipRef], clips: Sequence[ClipRef]) -> list[Told]:
        """What each metric says of the clips, in the order of `metrics`. Whatever goes wrong inside one is recorded instead."""

        def one(name: str) -> Told:
            job = MetricJob(name, list(real), list(clips), self._recogniser)
            return self._asked[name].ask(job, self._timeout_s)

        told = list(self._pool.map(one, self.metrics))
        return [self._without_namesakes(each, len(clips)) for each in told]

    def close(self) -> None:
        for asked in self._asked.values():
            asked.end()
        self._pool.shutdown()

    def __enter__(self) -> "Panel":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _without_namesakes(self, told: Told, num_clips: int) -> Told:
        """Two metrics under one figure's name would overwrite each other's values: the later one is recorded as nonsense."""
        names = [figure.name for figure in told.answer.figures] if told.answer else []
        metric = told.run.metric
        if taken := [name for name in names if self._owners.get(name, metric) != metric]:
            said = f"its figure {taken[0]!r} is one of {self._owners[taken[0]]}, too; give it another name"
            return Told(MetricRun(metric, "nonsense", said, num_clips), None)
        self._owners |= dict.fromkeys(names, metric)
        return told


def joined(parts: Sequence[tuple[int, Sequence[Told]]]) -> list[Told]:
    """Several questions as one: for each metric the values of all clips in order, {} where it gave none. `parts`: clips asked about, answers."""
    names = [told.run.metric for told in parts[0][1]] if parts else []
    return [_joined([(number, told[place]) for number, told in parts]) for place, _ in enumerate(names)]


def _joined(parts: Sequence[tuple[int, Told]]) -> Told:
    runs = [told.run for _, told in parts]
    lost = sum(run.lost for run in runs)
    answered = [told.answer for _, told in parts if told.answer]
    if not answered:
        worst = next((run for run in runs if run.lost), runs[0])
        return Told(replace(worst, lost=lost), None)
    number = sum(size for size, _ in parts)
    why = [f"{run.status}: {run.detail}" for run in runs if run.lost]
    detail = f"no value for {lost} of {number} samples: {why[0]}"[:TAIL_CHARS] if lost else ""
    values: list[dict[str, float | None]] = []
    said: list[str | None] = []
    for size, told in parts:
        values += told.answer.values if told.answer else [{} for _ in range(size)]
        said += (told.answer.said if told.answer else []) or [None] * size
    last = answered[-1]
    whole = replace(last, values=values, said=said if any(one is not None for one in said) else [])
    return Told(MetricRun(last.metric, "measured", detail, lost), whole)


def ask(job: MetricJob, timeout_s: float) -> tuple[MetricRun, MetricAnswer | None]:
    """One question to one metric, in a process that ends with it."""
    asked = _Asked(job.metric)
    try:
        told = asked.ask(job, timeout_s)
    finally:
        asked.end()
    return told.run, told.answer


class _Asked:
    """One metric, its process, and how often that died."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._process: _Process | None = None
        self._deaths = 0
        self._given_up: MetricRun | None = None

    def ask(self, job: MetricJob, timeout_s: float) -> Told:
        if self._given_up is not None:
            return Told(replace(self._given_up, lost=len(job.clips)), None)
        run, answer = self._ask(job, timeout_s)
        if run.status in ("timed_out", "crashed"):
            self.end()
            self._deaths += 1
            if run.status == "timed_out" or self._deaths == MAX_DEATHS:
                self._given_up = replace(run, detail=f"{run.detail}; not asked again"[:TAIL_CHARS])
        return Told(run, answer)

    def _ask(self, job: MetricJob, timeout_s: float) -> tuple[MetricRun, MetricAnswer | None]:
        lost = len(job.clips)
        self._process = self._process or _Process()
        try:
            told = self._process.ask(job, timeout_s)
            if told is None:
                return MetricRun(job.metric, "crashed", self._process.last_words(), lost), None
            if "missing" in told:
                return MetricRun(job.metric, "not_applicable", str(told["missing"])[:TAIL_CHARS]), None
            return MetricRun(job.metric, "measured", str(told["note"])[:TAIL_CHARS]), _check(job, told)
        except _Hangs:
            return MetricRun(job.metric, "timed_out", f"gave no answer within {timeout_s:g} s", lost), None
        except (RecordError, ValueError, KeyError, TypeError, AttributeError) as problem:
            said = f"{type(problem).__name__}: {problem}"[:TAIL_CHARS]
            return MetricRun(job.metric, "nonsense", said, lost), None

    def end(self) -> None:
        if self._process is not None:
            self._process.end()
        self._process = None


class _Process:
    """A process of `voicelathe.evaluate.metrics`: the path of a question in, a line back when the answer lies beside it."""

    def __init__(self) -> None:
        folder = layout.CACHE / "metrics"
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = tempfile.TemporaryDirectory(dir=folder)
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

"""Ask metrics about clips: each in a process of its own, on this machine or on the nodes of a cluster.

A plug-in that crashes, hangs or answers nonsense loses the clips of that question and nothing else. One that hung, or died three
times, is not asked again. Clips are asked about a few at a time, the same ones for every engine, and what is lost is decided in their order.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType

from voicelathe.config import schema
from voicelathe.evaluate.metrics import found
from voicelathe.evaluate.scoring.answering import (
    CRASHED,
    TAIL_CHARS,
    TIMED_OUT,
    MetricAnswer,
    MetricProcess,
    Told,
)
from voicelathe.parallel import local
from voicelathe.parallel.needs import MAX_FILES, TO_STDERR, Needs
from voicelathe.records import ClipRef, MetricJob, MetricRun, RecogniserRef

__all__ = ["ALONE", "MetricAnswer", "Panel", "Parts", "Told", "ask", "joined"]

Parts = list[tuple[int, list[Told]]]  # questions: about how many clips, and what each metric told
MAX_DEATHS = 3
CLIPS_A_QUESTION = 32
RECOGNISER, STAND_IN = "recogniser", "words"  # of PocketSphinx, where no recogniser is pinned
ALONE = schema.Engine("serial", 1)
PACKAGES = ("onnxruntime", "safetensors")  # of the built-in metrics


class Panel:
    """Metrics that are asked again and again.

        with Panel(["recogniser", "speaker"], timeout_s=600, recogniser=ref, engine=params.engine) as panel:
            told = panel.ask(real, clips)

    `engine.workers` metrics work at a time; of a cluster, so many questions, each with one CPU. `timeout_s` is for one question. The real
    clips are measured once a process, as long as they stay the same. Raises SelectionError for a metric that no installed package offers.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        timeout_s: float,
        recogniser: RecogniserRef | None = None,
        engine: schema.Engine = ALONE,
    ) -> None:
        self.metrics = list(metrics)
        if RECOGNISER in metrics and recogniser is None and STAND_IN not in metrics:
            self.metrics.append(STAND_IN)  # says so itself: it is on the record
        points = [found.find(name) for name in self.metrics]
        self._packages = sorted({*PACKAGES, *(one.dist.name for one in points if one.dist)})
        self._recogniser, self._timeout_s, self._engine = recogniser, timeout_s, engine
        self._owners: dict[str, str] = {}
        # The kernel ends a process with the thread that started it, so the threads live as long as the panel.
        self._pool = ThreadPoolExecutor(max(1, engine.workers))
        self._processes = {name: MetricProcess() for name in self.metrics}
        self._standing = {name: _Standing() for name in self.metrics}

    def ask(self, real: Sequence[ClipRef], clips: Sequence[ClipRef]) -> list[Told]:
        """What each metric says of the clips, in the order of `metrics`. Whatever goes wrong inside one is recorded instead."""
        return joined(self.parts(real, clips))

    def parts(self, real: Sequence[ClipRef], clips: Sequence[ClipRef]) -> Parts:
        """The same question by question, for `joined`."""
        pieces = local.cut(clips, CLIPS_A_QUESTION) or [clips]
        questions = [MetricJob("", list(real), list(piece), self._recogniser) for piece in pieces]
        told = self._on_cluster(questions) if self._is_spread() else self._here(questions)
        return [
            (len(piece), [self._without_namesakes(each, len(piece)) for each in row])
            for piece, row in zip(pieces, zip(*told, strict=True), strict=True)
        ]

    def close(self) -> None:
        for process in self._processes.values():
            process.end()
        self._pool.shutdown()

    def __enter__(self) -> "Panel":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _is_spread(self) -> bool:
        """A recogniser on a card is for one process."""
        return self._engine.kind == "ray" and (self._recogniser is None or self._recogniser.device == "cpu")

    def _here(self, questions: Sequence[MetricJob]) -> list[list[Told]]:
        """For each metric what it tells of every question; several metrics at a time."""

        def one(name: str) -> list[Told]:
            process, standing = self._processes[name], self._standing[name]
            return [
                standing.given_up(job)
                or standing.take(process.ask(replace(job, metric=name), self._timeout_s))
                for job in questions
            ]

        return list(self._pool.map(one, self.metrics))

    def _on_cluster(self, questions: Sequence[MetricJob]) -> list[list[Told]]:
        """The same from tasks: one a metric and question. What was asked of one that is given up meanwhile counts for nothing."""
        names = [name for name in self.metrics if not self._standing[name].is_given_up]
        shards = [replace(job, metric=name) for name in names for job in questions]
        answers = local.map_shards(
            partial(_answered, self._timeout_s),
            shards,
            self._engine,
            self._needs(questions),
            replace(TO_STDERR, content=_content),
        )
        return [list(self._taken(name, questions, answers)) for name in self.metrics]

    def _taken(self, name: str, questions: Sequence[MetricJob], answers: Iterator[Told]) -> Iterator[Told]:
        standing = self._standing[name]
        was_asked = not standing.is_given_up
        for job in questions:
            told = next(answers) if was_asked else None
            given_up = standing.given_up(replace(job, metric=name))
            if given_up or told is None:
                assert given_up is not None, "who is not asked is given up"
                yield given_up
            else:
                yield standing.take(told)

    def _needs(self, questions: Sequence[MetricJob]) -> Needs:
        """What a node has to see: the recogniser, some of the clips, and the packages that measure."""
        paths = [f"{one.root}/{one.audio}" for job in questions for one in (*job.real[:1], *job.clips)]
        some = tuple(sorted({*paths[:: max(1, -(-len(paths) // MAX_FILES))]}))
        folders = (self._recogniser.directory,) if self._recogniser and RECOGNISER in self.metrics else ()
        return Needs(some, folders, tuple(self._packages))

    def _without_namesakes(self, told: Told, num_clips: int) -> Told:
        """Two metrics under one figure's name would overwrite each other's values: the later one is recorded as nonsense."""
        names = [figure.name for figure in told.answer.figures] if told.answer else []
        metric = told.run.metric
        if taken := [name for name in names if self._owners.get(name, metric) != metric]:
            said = f"its figure {taken[0]!r} is one of {self._owners[taken[0]]}, too; give it another name"
            return Told(MetricRun(metric, "nonsense", said, num_clips), None)
        self._owners |= dict.fromkeys(names, metric)
        return told


@dataclass
class _Standing:
    """How often a metric died, and why it is not asked any more."""

    deaths: int = 0
    why: MetricRun | None = None

    @property
    def is_given_up(self) -> bool:
        return self.why is not None

    def given_up(self, job: MetricJob) -> Told | None:
        """What a metric that is not asked any more tells of a question."""
        return Told(replace(self.why, lost=len(job.clips)), None) if self.why else None

    def take(self, told: Told) -> Told:
        """The answer itself, after a look at how it ended."""
        run = told.run
        if run.status in (TIMED_OUT, CRASHED):
            self.deaths += 1
            if run.status == TIMED_OUT or self.deaths == MAX_DEATHS:
                self.why = replace(run, detail=f"{run.detail}; not asked again"[:TAIL_CHARS])
        return told


_kept: dict[str, MetricProcess] = {}  # of a process of a cluster: the metric of its last task, for the next


def _answered(timeout_s: float, job: MetricJob) -> Told:
    """One question, on a node. Questions come metric by metric, so a node holds the models of one."""
    for name in [name for name in _kept if name != job.metric]:
        _kept.pop(name).end()
    return _kept.setdefault(job.metric, MetricProcess()).ask(job, timeout_s)


def _content(job: MetricJob) -> str:
    return f"{job.metric} of {len(job.clips)} clips from {job.clips[0].audio if job.clips else 'none'}"


def joined(parts: Sequence[tuple[int, Sequence[Told]]]) -> list[Told]:
    """Several questions as one: for each metric the values of all clips in order, {} where it gave none. `parts`: clips asked about, answers."""
    if len(parts) == 1:
        return list(parts[0][1])
    names = [told.run.metric for told in parts[0][1]] if parts else []
    return [_joined([(number, told[place]) for number, told in parts]) for place, _ in enumerate(names)]


def _joined(parts: Sequence[tuple[int, Told]]) -> Told:
    runs = [told.run for _, told in parts]
    lost = sum(run.lost for run in runs)
    answered = [told.answer for _, told in parts if told.answer]
    noted = [told.run.detail for _, told in parts if told.answer]
    if not answered:
        worst = next((run for run in runs if run.lost), runs[0])
        return Told(replace(worst, lost=lost), None)
    number = sum(size for size, _ in parts)
    why = [f"{run.status}: {run.detail}" for run in runs if run.lost]
    detail = f"no value for {lost} of {number} samples: {why[0]}"[:TAIL_CHARS] if lost else noted[-1]
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
    process = MetricProcess()
    try:
        told = process.ask(job, timeout_s)
    finally:
        process.end()
    return told.run, told.answer

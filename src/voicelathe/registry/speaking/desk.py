"""Who may speak next with the one worker of a voice, and what happens when that worker dies, falls silent, or nobody waits any more?

One thread owns the worker: it starts it, asks it, and replaces it (the kernel ends a worker with the thread that started it). A take
is one piece of a text; takes of different requests are made in the order in which they are asked for, so a short request does not wait
for the end of a long one. Requests beyond `Limits.waiting` are refused at once, not kept.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field

from voicelathe.errors import Abandoned, Busy, VoiceLatheError, WorkerError, WorkerLost
from voicelathe.process import jobs
from voicelathe.process.runner import Speaker
from voicelathe.records import SampleRecord

LOOK_S = 0.1  # how often somebody who waits looks whether it still makes sense
PING_S = 5.0
RESTART_S = 5.0  # a worker that could not be started is not tried again before


@dataclass(frozen=True)
class VoiceLimits:
    """What one voice takes on. Checked before anything is spoken."""

    characters: int = 4096  # of all texts of a request; about four minutes of speech
    rows: int = 16  # texts of a request
    seconds: float = 900.0  # of speech a request could become: pieces x max_seconds
    waiting: int = 32  # requests at a time, the one that speaks included
    answer_s: float = 600.0  # until a request must be answered
    take_s: float = 60.0  # until a take must be there, however short it may become ...
    take_factor: float = 20.0  # ... and for every second that it may last


class Turn:
    """One request's place. It ends when the answer is given, when its time is over, or when the asker gives it up."""

    def __init__(self, answer_s: float) -> None:
        self.answer_s = answer_s
        self._end = time.monotonic() + answer_s
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """Nobody waits any more: what is not begun is not begun."""
        self._given_up.set()

    def check(self) -> None:
        """Raises Abandoned when there is nothing to wait for."""
        if self._given_up.is_set():
            raise Abandoned("The request was given up by whoever asked.")
        if time.monotonic() > self._end:
            raise Abandoned(
                f"The answer was not there after {self.answer_s:g} s. Ask for less text at a time, or when fewer ask."
            )


@dataclass
class _Take:
    turn: Turn
    request: jobs.SpeakRequest | None  # None: only show that the worker lives
    result: "Future[SampleRecord | None]" = field(default_factory=Future)


@dataclass(frozen=True)
class Health:
    """Whether the worker can speak now."""

    is_well: bool
    requests: int  # being answered or waiting
    restarts: int
    problem: str  # empty when it is well


class Desk:
    """The queue in front of a worker that speaks, and the thread that owns it."""

    def __init__(self, start: Callable[[], Speaker], limits: VoiceLimits) -> None:
        self.limits = limits
        self.restarts = 0
        self._start = start
        self._speaker: Speaker | None = None
        self._takes: queue.SimpleQueue[_Take | None] = queue.SimpleQueue()
        self._mutex = threading.Lock()
        self._requests = 0
        self._seconds_a_request = 1.0  # a running mean: what Retry-After is made of
        self._failed_at, self._failure = 0.0, ""
        self._speaking_until: float | None = None
        self._thread = threading.Thread(target=self._work, name="voicelathe-desk", daemon=True)
        self._thread.start()

    @contextmanager
    def admitted(self) -> Iterator[Turn]:
        """A place for one request. Raises Busy at once when all are taken."""
        with self._mutex:
            if self._requests >= self.limits.waiting:
                wait_s = max(1.0, self._requests * self._seconds_a_request)
                raise Busy(
                    f"{self._requests} requests are being answered or wait, and that is all this voice takes. Ask again in about {wait_s:.0f} s.",
                    wait_s,
                )
            self._requests += 1
        began = time.monotonic()
        try:
            yield Turn(self.limits.answer_s)
        finally:
            with self._mutex:
                self._requests -= 1
                alone = (time.monotonic() - began) / (self._requests + 1)
                self._seconds_a_request += 0.2 * (alone - self._seconds_a_request)

    def take(self, turn: Turn, request: jobs.SpeakRequest) -> SampleRecord:
        """Speak one piece. Raises Abandoned when the turn is over, WorkerError when two workers were lost over it."""
        sample = self._result(turn, _Take(turn, request))
        assert sample is not None
        return sample

    def wake(self) -> None:
        """Start the worker. Raises what keeps it from starting."""
        self._result(turn := Turn(float("inf")), _Take(turn, None))

    def health(self) -> Health:
        """Ask the worker, or, while it speaks, whether its take is in time. A dead worker is replaced by this, too."""
        until = self._speaking_until
        if until is not None:
            problem = "" if time.monotonic() < until else "the worker is silent"
        else:
            problem = self._asked()
        return Health(not problem, self._requests, self.restarts, problem)

    def close(self) -> None:
        """Answer nobody any more, and end the worker."""
        self._takes.put(None)
        self._thread.join()

    def _asked(self) -> str:
        turn = Turn(PING_S)
        try:
            self._result(turn, _Take(turn, None))
        except Abandoned:
            is_speaking = self._speaking_until is not None
            return "" if is_speaking else f"the worker has not answered for {PING_S:g} s: it is being started"
        except VoiceLatheError as problem:
            return str(problem)
        return ""

    def _result(self, turn: Turn, take: _Take) -> SampleRecord | None:
        self._takes.put(take)
        while True:
            try:
                return take.result.result(LOOK_S)
            except TimeoutError:
                turn.check()
                if not self._thread.is_alive():
                    raise WorkerError("The voice was closed while a request waited.") from None

    def _work(self) -> None:
        while (take := self._takes.get()) is not None:
            try:
                take.turn.check()
                take.result.set_result(self._spoken(take.request))
            except BaseException as problem:  # whatever it is, it belongs to whoever asked
                take.result.set_exception(problem)
        if self._speaker is not None:
            self._speaker.close()

    def _spoken(self, request: jobs.SpeakRequest | None) -> SampleRecord | None:
        """One take; a worker that is lost over it is replaced once."""
        fresh = self._living()
        try:
            return self._once(request)
        except WorkerLost:
            if fresh:
                raise
            self._living()
            return self._once(request)

    def _once(self, request: jobs.SpeakRequest | None) -> SampleRecord | None:
        speaker = self._speaker
        assert speaker is not None
        try:
            if request is None:
                speaker.ping(PING_S)
                return None
            limit_s = self.limits.take_s + self.limits.take_factor * request.max_seconds
            self._speaking_until = time.monotonic() + limit_s
            return speaker.say(request, limit_s)
        finally:
            self._speaking_until = None
            if not speaker.is_alive:
                self._speaker = None
                speaker.close()

    def _living(self) -> bool:
        """Make sure that there is a worker. Whether it is a new one; raises WorkerError when it cannot be started."""
        if self._speaker is not None and self._speaker.is_alive:
            return False
        if self._failure and time.monotonic() < self._failed_at + RESTART_S:
            raise WorkerError(self._failure)
        if self._speaker is not None:
            self._speaker.close()
        try:
            self._speaker = self._start()
        except VoiceLatheError as problem:
            self._speaker, self._failed_at = None, time.monotonic()
            self._failure = f"The speak worker does not start: {problem}"
            raise WorkerError(self._failure) from None
        self._failure = ""
        self.restarts += 1
        return True

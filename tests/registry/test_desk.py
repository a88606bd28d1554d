"""Many ask one voice at the same time: everybody gets the own words or an error, and a lost worker is replaced.

A real worker with the small base speaks; what is heard is compared with what the same worker says to one who is alone.
"""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import training
from voicelathe import digest, records
from voicelathe.errors import Abandoned, Busy, RequestError, WorkerError, WorkerLost
from voicelathe.process import jobs, runner
from voicelathe.registry.speaking.desk import Desk, VoiceLimits

WORDS = ["The lamp is on.", "Nobody speaks.", "A quiet road.", "Some small town.", "It rains.", "Go home."]


def job(out: Path) -> jobs.SpeakJob:
    base = jobs.WeightsRef(
        records.Candidate(0, None), "base", str(training.BASE), training.target().base_digest
    )
    return jobs.SpeakJob(
        training.target(), None, [base], [], 1.0, training.DECODING, None, str(out), interactive=True
    )


def request(folder: Path, words: str, number: int = 0, max_seconds: float = 0.4) -> jobs.SpeakRequest:
    path = folder / f"{number}-{threading.get_ident()}.wav"
    return jobs.SpeakRequest(
        f"{words}/{number}", words, "en", 1, None, max_seconds, None, str(path), None, None
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of workers lie below the directory of the process."""
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


@pytest.fixture(scope="module")
def opened(home: Path) -> Iterator[Desk]:
    made = Desk(lambda: runner.Speaker(job(home)), VoiceLimits(waiting=40))
    with contextlib.chdir(home):
        made.wake()
    yield made
    made.close()


@pytest.fixture(scope="module")
def alone(opened: Desk, home: Path) -> dict[str, str]:
    """words -> sha256 of what is heard when nobody else asks."""
    return {words: say(opened, request(home, words)) for words in WORDS}


def say(desk: Desk, asked: jobs.SpeakRequest) -> str:
    with desk.admitted() as turn:
        sample = desk.take(turn, asked)
    assert sample.text == asked.text
    return digest.of_file(Path(asked.path))


def test_what_was_spoken_depends_on_the_words(alone: dict[str, str]) -> None:
    assert len(set(alone.values())) == len(WORDS), "or no test below could tell a wrong answer"


def test_twenty_who_ask_at_once_hear_their_own_words(opened: Desk, home: Path, alone: dict[str, str]) -> None:
    asked = [request(home, WORDS[n % len(WORDS)], n) for n in range(40)]
    with ThreadPoolExecutor(20) as pool:
        heard = list(pool.map(lambda one: say(opened, one), asked))
    assert heard == [alone[one.text] for one in asked]


@pytest.mark.slow
def test_a_worker_that_is_killed_under_load_is_replaced_and_nobody_hears_another_ones_words(
    opened: Desk, home: Path, alone: dict[str, str]
) -> None:
    asked = [request(home, WORDS[n % len(WORDS)], n) for n in range(30)]
    before = opened.restarts
    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(say, opened, one) for one in asked]
        answers[3].result()
        speaker = opened._speaker
        assert speaker is not None
        os.kill(speaker.pid, signal.SIGKILL)
        heard = [answer.result() for answer in answers]
    assert heard == [alone[one.text] for one in asked]
    assert opened.restarts == before + 1 and opened.health().is_well


def test_health_asks_the_worker_and_a_dead_one_is_replaced_by_asking(opened: Desk) -> None:
    before, speaker = opened.restarts, opened._speaker
    assert opened.health().is_well and speaker is not None
    os.kill(speaker.pid, signal.SIGKILL)
    end = time.monotonic() + 120
    while not opened.health().is_well:
        assert time.monotonic() < end
    assert opened.restarts == before + 1 and opened._speaker is not speaker


@pytest.mark.slow
def test_a_worker_that_is_silent_is_ended_and_replaced(
    opened: Desk, home: Path, alone: dict[str, str]
) -> None:
    speaker, limits = opened._speaker, opened.limits
    assert speaker is not None
    os.kill(speaker.pid, signal.SIGSTOP)
    opened.limits = replace(limits, take_s=1.0, take_factor=0.0)
    try:
        with pytest.raises(WorkerLost, match=r"silent for 1 s and was ended"):
            speaker.say(request(home, WORDS[0]), 1.0)
    finally:
        opened.limits = limits
    assert not speaker.is_alive
    assert say(opened, request(home, WORDS[0])) == alone[WORDS[0]]


@pytest.mark.slow
def test_an_answer_to_another_request_is_never_given_out(home: Path) -> None:
    """As after a request whose asker went away while the worker was speaking."""
    with runner.Speaker(job(home)) as speaker:
        stdin = speaker._worker.process.stdin
        assert stdin is not None
        secret = request(home, "My word is hunter two.", 7)
        stdin.write(digest.canonical_json(records.to_json(secret)).encode() + b"\n")
        stdin.flush()
        with pytest.raises(WorkerLost, match=r"answered request My word.*/7 instead of Go home\./0"):
            speaker.say(request(home, "Go home."))
        assert not speaker.is_alive


def test_what_cannot_be_written_is_refused_at_once_and_the_worker_stays(
    opened: Desk, home: Path, alone: dict[str, str]
) -> None:
    """A request that never reached the worker would be waited for until the worker counts as silent."""
    before = opened.restarts
    opened.wake()
    speaker = opened._speaker
    assert speaker is not None
    with pytest.raises(RequestError, match=r"holds half a character \(\\udcff\)"):
        speaker.say(request(home, "The lamp \udcff is on."), 3.0)
    assert say(opened, request(home, WORDS[0])) == alone[WORDS[0]] and opened.restarts == before


def test_whoever_finds_no_place_is_told_when_to_ask_again(home: Path, opened: Desk) -> None:
    small = Desk(lambda: pytest.fail("nothing is to be started"), VoiceLimits(waiting=2))
    with small.admitted(), small.admitted():
        with pytest.raises(Busy, match=r"2 requests .* Ask again in about \d+ s") as caught, small.admitted():
            pytest.fail("a third place")
        assert caught.value.retry_after_s >= 1
    with small.admitted():
        pass
    small.close()


def test_what_was_given_up_is_not_spoken_and_frees_the_worker(
    opened: Desk, home: Path, alone: dict[str, str]
) -> None:
    begun, others = threading.Event(), [request(home, WORDS[n % 6], n) for n in range(5)]
    with opened.admitted() as turn:

        def all_of_them() -> int:
            done = 0
            try:
                for asked in others * 100:
                    opened.take(turn, asked)
                    done += 1
                    begun.set()
            except Abandoned:
                pass
            return done

        with ThreadPoolExecutor(1) as pool:
            counting = pool.submit(all_of_them)
            begun.wait(60)
            turn.give_up()
            done = counting.result(timeout=60)
    assert 0 < done < 500
    assert say(opened, request(home, WORDS[1])) == alone[WORDS[1]]


def test_an_answer_that_takes_too_long_is_given_up(home: Path) -> None:
    stuck = Desk(lambda: time.sleep(0.5) or pytest.fail("too late"), VoiceLimits(answer_s=0.1))  # type: ignore[func-returns-value,arg-type]
    with pytest.raises(Abandoned, match=r"not there after 0\.1 s"), stuck.admitted() as turn:
        stuck.take(turn, request(home, "x"))
    stuck.close()


def test_a_worker_that_cannot_start_is_named_and_not_tried_again_at_once(home: Path) -> None:
    tries = []

    def start() -> runner.Speaker:
        tries.append(1)
        raise WorkerError("the base is gone")

    broken = Desk(start, VoiceLimits())
    for _ in range(3):
        with pytest.raises(WorkerError, match="does not start: the base is gone"), broken.admitted() as turn:
            broken.take(turn, request(home, "x"))
    assert len(tries) == 1 and not broken.health().is_well
    broken.close()

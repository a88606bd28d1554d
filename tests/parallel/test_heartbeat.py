"""Processes of one run miss each other: silence is noticed, an end in order is none, and the reason of a failure is passed on."""

import queue
import re
import time
from pathlib import Path
from typing import Any

import pytest
from torch.distributed import HashStore  # type: ignore[attr-defined]

from tests.train import node_lab
from voicelathe import records
from voicelathe.errors import ClusterError, WorkerError
from voicelathe.parallel import heartbeat
from voicelathe.parallel.heartbeat import Heartbeat
from voicelathe.process import together


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.05)
    monkeypatch.setattr(heartbeat, "WORDS_S", 0.3)


def pair(
    store: Any, silent_s: float = 0.5, count: int = 2
) -> tuple[Heartbeat, Heartbeat, "queue.Queue[str]"]:
    """Two of one run, and what the first was told of losses."""
    losses: queue.Queue[str] = queue.Queue()
    first = Heartbeat(lambda: store, 0, count, silent_s, losses.put)
    return first, Heartbeat(lambda: store, 1, count, 60.0, losses.put), losses


def test_a_process_that_lives_is_not_missed_and_one_that_falls_silent_is() -> None:
    first, second, losses = pair(HashStore())
    time.sleep(1.2)
    assert losses.empty()
    second._over.set()  # as SIGSTOP would: it says nothing more, not even goodbye
    text = losses.get(timeout=10)
    assert re.match(r"Nothing was heard of process 1 of this run, on \S+, for \d+ s", text)
    assert "start the same commands again on every machine" in text
    first.end()


def test_a_process_that_ended_in_order_is_not_missed_while_another_still_writes() -> None:
    first, second, losses = pair(HashStore())
    second.end()
    time.sleep(1.2)
    assert losses.empty()
    first.end()


def test_the_words_of_the_process_that_failed_are_told_and_not_those_of_who_lost_it() -> None:
    store = HashStore()
    first, second, _ = pair(store, count=3)
    third = Heartbeat(lambda: store, 2, 3, 60.0, lambda _text: None)
    second.end(*heartbeat.state_of(ClusterError("process 2 was lost")))
    third.end(*heartbeat.state_of(WorkerError("the loss of clip a is not finite")))
    told = str(first.broken(RuntimeError("Connection closed by peer")))
    assert re.match(r"Process 2 of this run, on \S+, stopped: the loss of clip a is not finite\n", told)
    first.end()


def test_the_words_of_a_process_that_failed_before_it_joined_are_told_and_not_its_silence() -> None:
    """A GPU in use: no connection breaks, because there was none."""
    first, second, losses = pair(HashStore(), silent_s=60.0)
    second.end(*heartbeat.state_of(WorkerError("The GPU is in use by process 77")))
    text = losses.get(timeout=20)
    assert re.match(r"Process 1 of this run, on \S+, stopped: The GPU is in use by process 77\n", text)
    first.end()


def test_who_has_joined_is_not_ended_over_a_failure_that_its_next_step_will_show_it() -> None:
    """It may be writing a state meanwhile. If no step shows it, the words are told when the silence is over."""
    first, second, losses = pair(HashStore(), silent_s=2.5)
    first.has_joined = True
    second.end(*heartbeat.state_of(WorkerError("the loss of clip a is not finite")))
    time.sleep(1.5)
    assert losses.empty()
    assert "stopped: the loss of clip a is not finite" in losses.get(timeout=20)
    first.end()


def test_a_connection_that_broke_without_words_says_what_gloo_said_and_what_to_do() -> None:
    first, second, _ = pair(HashStore())
    said = "[/x/gloo/pair.cc:553] Connection closed by peer [10.0.0.2]:1. This is typically caused by a crash. GLHF!"
    told = str(first.broken(RuntimeError(said)))
    assert "broke (Connection closed by peer [10.0.0.2]:1). Its machine" in told and "GLHF" not in told
    first.end()
    second.end()


def test_a_store_that_is_gone_is_silence_of_the_others() -> None:
    def gone() -> Any:
        raise OSError("nobody answers")

    losses: queue.Queue[str] = queue.Queue()
    first = Heartbeat(gone, 0, 2, 0.5, losses.put)
    time.sleep(1.0)
    assert losses.empty(), "a process that was never heard of has longer"
    assert isinstance(first.broken(RuntimeError("Connection reset by peer")), ClusterError)
    first.end()


def test_a_machine_that_cannot_reach_the_meeting_point_says_so_and_what_to_open() -> None:
    place = records.NodePlace(1, 2, "127.0.0.1", node_lab.free_port(), "0" * 32)
    with pytest.raises(
        ClusterError,
        match=r"meets the others at 127.0.0.1:\d+, and \S+ does not reach it .* nodes.rendezvous",
    ):
        together.require_reachable(place, within_s=0.2)


def test_the_longest_silence_is_named_where_users_look() -> None:
    text = (Path(__file__).parents[2] / "docs/scale.md").read_text()
    limit_s = records.NodePlace(0, 2, "", 0, "").silent_s
    assert f"misses it after {limit_s:.0f} s" in text
    assert heartbeat.START_S == 600 and "ten minutes before it was first heard of" in text

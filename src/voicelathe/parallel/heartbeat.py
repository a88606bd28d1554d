"""Are the other processes of a run alive, and why did one stop? Asked beside the training, of a store that all of them reach.

A process that ends is seen at once by those that are connected to it, and has usually said why. A machine that loses its power or
its network says nothing, and who waits for it would wait until the longest time-out of a step: here it is missed within `silent_s`.
"""

import os
import re
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from voicelathe.errors import ClusterError, VoiceLatheError, first_line

BEAT_S = 2.0
STORE_S = 10.0  # an answer of the store takes no longer
START_S = 600.0  # until a process is first heard of: it verifies the base before
WORDS_S = 3.0  # so long the reason is looked for that another process gave
ALIVE, ENDED, FAILED, LOST = "alive", "ended", "failed", "lost"  # LOST: it stopped because another was lost
AGAIN = "What was saved stays: start the same commands again on every machine, and the run goes on from its newest state."


class Heartbeat:
    """This process tells the others that it lives, and ends it when another is silent for too long.

    `connect` opens the store anew; a store that does not answer is machine 0, of which nothing is heard.
    """

    def __init__(
        self,
        connect: Callable[[], Any],
        rank: int,
        count: int,
        silent_s: float,
        lost: Callable[[str], None],
    ) -> None:
        self._connect, self._rank, self._silent_s, self._lost = connect, rank, silent_s, lost
        self._silence_s = dict.fromkeys((one for one in range(count) if one != rank), 0.0)
        self._said: dict[int, str] = {}
        self._failed_s: dict[int, float] = {}
        self.has_joined = False  # connected to the others: the end of one of them breaks that
        self._store: Any = self._opened()
        self._turn, self._over = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self._thread.start()

    def end(self, state: str = ENDED, message: str = "") -> None:
        """Say how this process ends, and listen no more."""
        self._over.set()
        self._thread.join(WORDS_S)  # it may be looking for a store that is gone
        with self._turn:
            self._tell(state, message)

    def broken(self, problem: Exception) -> ClusterError:
        """Why a step could not be shared: what another process said, or how the connection ended."""
        deadline = time.monotonic() + WORDS_S
        while True:
            with self._turn:
                self._listen()
            for rank in self._said:
                if self._state(rank) == FAILED:
                    return ClusterError(self._failure(rank))
            if self._store is None or time.monotonic() >= deadline:
                break
            time.sleep(0.2)
        return ClusterError(
            f"The connection to another process of this run broke ({_plain(problem)}). Its machine, or the command on it, has "
            f"ended, or the network between them. Look at its own output. {AGAIN}"
        )

    def _watch(self) -> None:
        beats, before_s = 0, time.monotonic()
        while not self._over.wait(BEAT_S):
            beats += 1
            if self._store is None:
                self._store = self._opened()
            with self._turn:
                self._tell(ALIVE, str(beats))
                heard = self._listen()
            now_s = time.monotonic()
            # A machine that slept did not hear the others: so much at most can pass between two looks of one that was awake.
            passed_s, before_s = min(now_s - before_s, 2 * (STORE_S + BEAT_S)), now_s
            for rank in self._silence_s:
                if told := self._settled(rank, passed_s):
                    return self._lost(told)
                is_heard = rank in heard or self._state(rank) == ENDED
                self._silence_s[rank] = 0.0 if is_heard else self._silence_s[rank] + passed_s
                limit_s = self._silent_s if rank in self._said else max(START_S, self._silent_s)
                if self._silence_s[rank] >= limit_s:
                    return self._lost(self._missed(rank))

    def _settled(self, rank: int, passed_s: float) -> str:
        """What to end with where a process has said why it stopped and nothing else can notice. Empty: nothing yet.

        Whoever has joined sees it at the next sum of gradients, and may be writing a state until then.
        """
        if self.has_joined or self._state(rank) != FAILED:
            return ""
        self._failed_s[rank] = self._failed_s.get(rank, 0.0) + passed_s
        return self._failure(rank) if self._failed_s[rank] >= 2 * WORDS_S else ""

    def _failure(self, rank: int) -> str:
        _, host, message = self._said[rank].split("\n", 2)
        return f"Process {rank} of this run, on {host}, stopped: {message}\n{AGAIN}"

    def _missed(self, rank: int) -> str:
        if self._state(rank) == FAILED:
            return self._failure(rank)
        host = self._said[rank].split("\n")[1] if rank in self._said else "a machine that was never heard of"
        return (
            f"Nothing was heard of process {rank} of this run, on {host}, for {self._silence_s[rank]:.0f} s: its machine or the network "
            f"is gone, or it was stopped. {AGAIN}"
        )

    def _state(self, rank: int) -> str:
        return self._said.get(rank, "").split("\n")[0]

    def _tell(self, state: str, message: str) -> None:
        if self._store is None:
            return
        try:
            self._store.set(f"beat/{self._rank}", f"{state}\n{socket.gethostname()}\n{message}")
        except Exception:  # the store has many; none is news of another process
            self._store = None

    def _listen(self) -> set[int]:
        """Who said something new."""
        heard = set[int]()
        store = self._store
        if store is None:
            return heard
        try:
            for rank in self._silence_s:
                if not store.check([f"beat/{rank}"]):
                    continue
                said = store.get(f"beat/{rank}").decode()
                if said != self._said.get(rank):
                    self._said[rank] = said
                    heard.add(rank)
        except Exception:
            self._store = None
        return heard

    def _opened(self) -> Any:
        """The store, or None: the machine that has it may be gone. Nobody waits for this but the thread that looks."""
        try:
            return self._connect()
        except Exception:
            return None


def _plain(problem: Exception) -> str:
    """What gloo says, without the place in its source and its advice."""
    return re.sub(r"^\[\S+\] |\.? This is typically.*$", "", first_line(problem))


def state_of(problem: BaseException) -> tuple[str, str]:
    """How a process says that it ends with this: not who was lost to it, but what stopped it itself."""
    if isinstance(problem, ClusterError):
        return LOST, ""
    if isinstance(problem, VoiceLatheError):
        return FAILED, str(problem)
    if isinstance(problem, Exception):
        return FAILED, f"{type(problem).__name__}: {first_line(problem)}"
    return ENDED, ""


def leave(code: int = 1) -> None:
    """End this process from the side, as a kill would: its main thread waits for a machine that is gone. Commits survive that."""
    os._exit(code)

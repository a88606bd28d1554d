"""Does every client of a busy server hear its own words, and how soon? `python -m benchmarks.bench_serving [REQUESTS] [KILLS]`

Fifty clients ask `voicelathe serve` on loopback for known pairs of version and line; the worker is killed meanwhile. What was sent is compared
with what the same pair sounds like when nobody else asks. One table for benchmarks/RESULTS.md; exit code 1 if an answer was wrong or missing.
"""

import hashlib
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.factories import speaking
from tests.factories.served import AUTHORIZED, Served, running
from voicelathe.registry import promote

CLIENTS, HUNG_S, MB = 50, 300.0, 1e6
SHORT = {"max_seconds": 0.3, "attempts": 1, "seed": 5, "response_format": "wav"}
WORDS = ("Lamps", "Rivers", "Stones", "Gardens", "Windows", "Papers", "Yellow boats", "Mornings")
LINES = [f"{word} are what this line is about." for word in WORDS]
PARAGRAPH = "The lamp is on the long table by the door. Nobody speaks of rain in this small town. A quiet road leads home. It is late by now."


@dataclass
class Load:
    """One campaign against one server."""

    served: Served
    alone: dict[tuple[str, str], str] = field(default_factory=dict)  # (model, line) -> sha256 of the answer
    outcomes: Counter[str] = field(default_factory=Counter)
    back_s: list[float] = field(
        default_factory=list
    )  # from a kill to the answer of whoever asked then, behind everybody who waited already
    right_at: list[float] = field(default_factory=list)  # when right answers were there
    serving_s: list[float] = field(default_factory=list)  # from a kill to the next right answer to anybody
    lock: threading.Lock = field(default_factory=threading.Lock)

    def learn(self) -> None:
        models = [f"voicelathe:{version}" for version in ("2", "3")]
        with httpx.Client(headers=AUTHORIZED, timeout=HUNG_S) as client:
            self.alone = {
                (model, line): self._heard(client, model, line) for model in models for line in LINES
            }
        if refused := {told for told in self.alone.values() if len(told) != 64}:
            raise SystemExit(f"answers with status {', '.join(refused)} before there was any load")
        if len(set(self.alone.values())) != len(self.alone):
            raise SystemExit("two pairs sound the same: no answer could be told from another")

    def ask(self, number: int, client: httpx.Client) -> None:
        pair = list(self.alone)[number % len(self.alone)]
        try:
            heard = self._heard(client, *pair)
        except httpx.TimeoutException:
            heard = "hung"
        except httpx.HTTPError as problem:
            heard = type(problem).__name__
        told = "right" if heard == self.alone[pair] else "wrong" if len(heard) == 64 else heard
        with self.lock:
            self.outcomes[told] += 1
            if told == "right":
                self.right_at.append(time.monotonic())

    def run(self, requests: int, kills: int) -> float:
        """Seconds that all of them took."""
        began, every, waiting = time.monotonic(), max(1, requests // (kills + 1)), iter(range(requests))
        killer = threading.Thread(target=self._kill, args=(kills, every, sum(self.outcomes.values())))
        killer.start()

        def client() -> None:
            with httpx.Client(headers=AUTHORIZED, timeout=HUNG_S) as own:
                while True:
                    with self.lock:
                        number = next(waiting, None)
                    if number is None:
                        return
                    self.ask(number, own)

        with ThreadPoolExecutor(CLIENTS) as pool:
            for one in [pool.submit(client) for _ in range(CLIENTS)]:
                one.result()
        killer.join()
        return time.monotonic() - began

    def _heard(self, client: httpx.Client, model: str, line: str) -> str:
        body = {"model": model, "input": line, **SHORT}
        answer = client.post(f"{self.served.url}/v1/audio/speech", json=body)
        return (
            hashlib.sha256(answer.content).hexdigest()
            if answer.status_code == 200
            else str(answer.status_code)
        )

    def _kill(self, kills: int, every: int, before: int) -> None:
        for number in range(1, kills + 1):
            while sum(self.outcomes.values()) < before + number * every:
                time.sleep(0.02)
            for worker in self.served.workers():
                worker.kill()
            began, model, line = time.monotonic(), "voicelathe:2", LINES[0]
            with httpx.Client(headers=AUTHORIZED, timeout=HUNG_S) as client:
                while self._heard(client, model, line) != self.alone[model, line]:
                    time.sleep(0.05)
            self.back_s.append(time.monotonic() - began)
            with self.lock:
                after = sorted(at for at in self.right_at if at > began)
            self.serving_s.append(
                after[1] - began
            )  # the first may have been under way when the worker was killed


def resident_mb(served: Served) -> float:
    own = psutil.Process(served.process.pid)
    return sum(one.memory_info().rss for one in [own, *own.children(True)]) / MB


def refusals_ms(served: Served, repeats: int) -> list[float]:
    """A text of 100 kB, on a connection that is open."""
    found = []
    for _ in range(repeats):
        with httpx.Client(headers=AUTHORIZED, timeout=60) as client:
            client.get(f"{served.url}/v1/models")
            began = time.monotonic()
            status = client.post(
                f"{served.url}/v1/audio/speech", json={"model": "voicelathe", "input": "x" * 100_000}
            ).status_code
            found.append(1000 * (time.monotonic() - began))
            assert status == 413, status
    return found


def first_sound(served: Served, repeats: int) -> list[tuple[float, float]]:
    """(a sentence alone, the first sound of the paragraph it begins), interleaved."""
    found = []
    body = {"model": "voicelathe:2", "seed": 5, "attempts": 1, "max_seconds": 1.0, "response_format": "pcm"}
    for _ in range(repeats):
        seconds = []
        for text in (PARAGRAPH.split(". ")[0] + ".", PARAGRAPH):
            began = time.monotonic()
            with httpx.stream(
                "POST",
                f"{served.url}/v1/audio/speech",
                json={**body, "input": text},
                headers=AUTHORIZED,
                timeout=HUNG_S,
            ) as answer:
                parts = answer.iter_bytes()
                next(parts)
                seconds.append(time.monotonic() - began)
                for _part in parts:
                    pass
        found.append((seconds[0], seconds[1]))
    return found


def row(what: str, measured: str, aim: str) -> None:
    """As soon as it is known: a run that is ended has shown something."""
    print(f"| {what} | {measured} | {aim} |", flush=True)


def main(requests: int, kills: int, repeats: int = 9) -> int:
    with tempfile.TemporaryDirectory() as made:
        root = speaking.project(Path(made) / "project", Path(made), speaking.EMBEDDED)
        for step in ("step_0000020", "step_0000030"):
            promote.promote(speaking.RECIPE, root, "to be heard", step)
        with running(root, "--waiting", str(2 * CLIENTS)) as served:
            load = Load(served)
            load.learn()
            print(
                f"| {requests:,} requests of {CLIENTS} clients, {kills} kills of the worker | measured | aim |\n|---|--:|--:|",
                flush=True,
            )
            refused = refusals_ms(served, repeats)
            row(
                "100 kB of text refused, median (longest)",
                f"{statistics.median(refused):.1f} ms ({max(refused):.1f} ms)",
                "10 ms",
            )
            firsts = first_sound(served, repeats)
            ratios, alone_s = (
                [paragraph / alone for alone, paragraph in firsts],
                statistics.median(alone for alone, _ in firsts),
            )
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})"
            row(
                f"first sound of a paragraph, times its first sentence alone ({alone_s:.2f} s)", spread, "1.5"
            )
            load.run(CLIENTS, 0)  # warm
            before = resident_mb(served)
            quiet_s = load.run(requests - requests // 2, 0)
            row("requests a second, no kills", f"{(requests - requests // 2) / quiet_s:.1f}", "")
            row(
                "memory of server and worker at the end, against the start",
                f"{resident_mb(served) - before:+.0f} MB of {before:.0f}",
                "50 MB",
            )
            load.run(requests // 2, kills)
        if load.back_s:
            row(
                "speaking again after a kill, median (longest)",
                f"{statistics.median(load.serving_s):.1f} s ({max(load.serving_s):.1f} s)",
                "10 s",
            )
            row(
                f"answer to whoever asks after a kill, behind {CLIENTS} who wait, median (longest)",
                f"{statistics.median(load.back_s):.1f} s ({max(load.back_s):.1f} s)",
                "",
            )
        wrong = {name: number for name, number in load.outcomes.items() if name != "right"}
        row("answers that are not their request's own", str(load.outcomes["wrong"]), "0")
        row(f"hung (over {HUNG_S:g} s)", str(load.outcomes["hung"]), "0")
        row(
            "refused or broken off",
            f"{sum(wrong.values()) - load.outcomes['wrong'] - load.outcomes['hung']} {wrong or ''}",
            "",
        )
    return 1 if wrong or len(load.back_s) != kills else 0


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(*(given or [10_000, 50])))

"""What does `serving.hear_words` cost, and what does it find? `python -m benchmarks.bench_hearing [found|cost]`

Found: real clips of the demo and of other speakers are takes, right ones and ones in which half of one sentence is another one's; those by
which the rule was found are left out. Cost: the embedded base speaks a sentence through a voice as it is served, the setting on and off in
turn, CPU time of both processes. Two tables for benchmarks/RESULTS.md.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_CBWR="AVX2,STRICT")
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tests.factories import speaking
from tests.factories.recognisers import reference
from voicelathe.config import params
from voicelathe.data.audio import waveform
from voicelathe.registry import gates, promote, served
from voicelathe.registry.speaking import hearing, sentences
from voicelathe.registry.voice import Voice, of_project

RATE_HZ, KNOWN, NUM, REPEATS = 48_000, 60, 60, 5  # KNOWN: clips of the demo by which the rule was found
TEXT = "The island is seven miles from the simple church."
Sound = tuple[str, np.ndarray]


def main(parts: list[str]) -> None:
    for part in parts:
        {"found": found, "cost": cost}[part]()


def found() -> None:
    own, others = clips("demo")[KNOWN : KNOWN + 3 * NUM], clips("general")[:NUM]
    singles, pairs = own[:NUM], list(zip(own[NUM : NUM + 20], own[NUM + 20 : NUM + 40], strict=True))
    rest = own[NUM + 40 : NUM + 60]
    wrong = [halved(one, other) for one, other in zip(rest, singles, strict=False)]
    print("| takes | objected to |\n|---|--:|")
    row("right, one sentence of the demo's speaker", singles)
    row("right, two sentences", [joined(*pair) for pair in pairs])
    row("right, one sentence of other speakers", others)
    row("one sentence, half of it another one's", wrong)
    row(
        "two sentences, half of one another one's",
        [joined(one, two) for one, two in zip(singles, wrong, strict=False)],
    )


def row(name: str, takes: list[Sound]) -> None:
    ears = hearing.RequestEars(reference(), hearing.UsualMisses(hearing.LEAST_MOST), "en")
    objected = [ears.fault(text, 0, wav(sound)) for text, sound in takes]
    print(f"| {name} | {sum(map(bool, objected))} of {len(takes)} |", flush=True)


def clips(corpus: str) -> list[Sound]:
    """Each text once, long enough to be judged; of the demo those with which nothing is wrong."""
    folder = Path("data") / corpus
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    if (truth := folder / "ground_truth.jsonl").is_file():
        kinds = {one["id"]: one["kind"] for one in map(json.loads, truth.read_text().splitlines())}
        rows = [one for one in rows if kinds[one["id"]] == "clean"]
    texts = {one["text"]: one for one in reversed(rows) if len(one["text"]) >= hearing.LEAST_CHARS}
    ordered = sorted(texts.values(), key=rows.index)
    return [(one["text"], samples(folder / "audio", one)) for one in ordered]


def samples(folder: Path, clip: dict[str, Any]) -> np.ndarray:
    sound, rate_hz = waveform.read_clip(folder, clip["audio"], clip.get("start_s"), clip.get("end_s"), None)
    return waveform.resample(waveform.mono(sound), rate_hz, RATE_HZ)


def joined(one: Sound, two: Sound) -> Sound:
    pause = np.zeros(round(sentences.PAUSE_S * RATE_HZ), np.float32)
    return f"{one[0]} {two[0]}", np.concatenate([one[1], pause, two[1]])


def halved(one: Sound, other: Sound) -> Sound:
    """The text of one; of its sound the second half is the other's."""
    return one[0], np.concatenate([one[1][: len(one[1]) // 2], other[1][len(other[1]) // 2 :]])


def wav(sound: np.ndarray) -> bytes:
    return sentences.wav_of(waveform.to_16_bit(sound).tobytes(), RATE_HZ)


def cost() -> None:
    with tempfile.TemporaryDirectory() as place:
        root = speaking.project(Path(place, "project"), Path(place, "databases"), speaking.EMBEDDED)
        promote.promote(speaking.RECIPE, root, "to hear it", "step_0000040")
        config = served.configuration(
            gates.examine(speaking.RECIPE, root, gates.load_params(root), "step_0000040")
        )
        usual = {"most": 8.0, "recogniser": reference().digest, "languages": ["en"], "judged": []}
        with of_project(root):
            voice = Voice.open({**config, "words": usual})
        try:
            table(dict(timed(voice, root)))
        finally:
            voice.close()


def timed(voice: Voice, root: Path) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """CPU and wall seconds of each take, off and on in turn; the first of each loads what it needs and is told apart."""
    taken: dict[str, list[tuple[float, float]]] = {"off, first": [], "on, first": [], "off": [], "on": []}
    own = psutil.Process()
    for seed in range(REPEATS + 1):
        for name in ("off", "on"):
            params.edit({"serving/hear_words": name == "on"}, root / "params.yaml")
            gates.load_params(root)  # parsing what was just edited is no part of a take
            before, began = spent(own), time.monotonic()
            voice.say(TEXT, {"seed": seed, "attempts": 1, "max_seconds": 8.0})
            key = name if seed else f"{name}, first"
            taken[key].append((spent(own) - before, time.monotonic() - began))
            if not seed:
                print(f"{name}: {own.memory_info().rss / 1e6:.0f} MB in the voice's process")
    yield from taken.items()


def spent(process: psutil.Process) -> float:
    """CPU seconds of a process and its children."""
    every = [process, *process.children(recursive=True)]
    return sum(one.cpu_times().user + one.cpu_times().system for one in every)


def table(taken: dict[str, list[tuple[float, float]]]) -> None:
    print("| hear_words | CPU s a take, median (least to most) | s until it is there |\n|---|--:|--:|")
    for name, rows in taken.items():
        cells = [
            f"{statistics.median(column):.2f} ({min(column):.2f} to {max(column):.2f})"
            for column in zip(*rows, strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main(sys.argv[1:] or ["found", "cost"])

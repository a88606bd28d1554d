"""Speech to train on: flite reads the texts in the voices rms, slt and kal16, at varied rates and levels.

Usage:  python -m pretrain.corpus [STATE]        needs the Debian package flite

Writes STATE/corpus/samples.npy (int16, 16 kHz, clips one behind the other) and clips.jsonl (text, voice, start, length, phones).
The voice awb is what the demo fine-tunes to; it is never spoken here.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from pretrain import texts

STATE = Path(".cache/pretrain")
SEED = 20260511
NUM_CLIPS = (
    2400  # in each volume; the first is enough for the codec and the first round of the language model
)
VOLUMES = 6
VOICES = {"rms": 0.6, "slt": 0.25, "kal16": 0.15}  # without a reference the base speaks as rms
RATE_HZ, LEAD_S, TAIL_S = 16_000, 0.08, 0.12  # silence kept at the edges


@dataclass(frozen=True)
class Line:
    text: str
    voice: str
    stretch: float
    peak_dbfs: float


def plan(num_clips: int, seed: int, prose_file: Path = texts.PROSE) -> list[Line]:
    rng = random.Random(f"{seed}/corpus")
    return [
        Line(
            text,
            rng.choices(list(VOICES), list(VOICES.values()))[0],
            round(rng.uniform(0.92, 1.08), 3),
            round(rng.uniform(-9.0, -3.0), 2),
        )
        for text in texts.training(num_clips, seed, prose_file)
    ]


def speak(line: Line) -> tuple[np.ndarray[Any, Any], list[tuple[str, float]]]:
    """int16 samples and (phone, end in seconds) of them, with LEAD_S before the first phone and TAIL_S after the last."""
    assert line.voice in VOICES, f"{line.voice} is not a training voice"
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "line.wav")
        command = ["flite", "-voice", line.voice, "--setf", f"duration_stretch={line.stretch}", "-psdur"]
        done = subprocess.run(
            [*command, "-t", line.text, "-o", str(wav)], capture_output=True, text=True, check=True
        )
        samples, rate_hz = soundfile.read(wav, dtype="float32")
    assert rate_hz == RATE_HZ, f"{line.voice} speaks at {rate_hz} Hz"
    phones = [(name, float(end)) for name, _, end in (one.partition(":") for one in done.stdout.split())]
    start = max(0.0, phones[0][1] - LEAD_S) if phones[0][0] == "pau" else 0.0
    stop = phones[-2][1] + TAIL_S if phones[-1][0] == "pau" else phones[-1][1]
    cut = samples[int(start * RATE_HZ) : int(stop * RATE_HZ)]
    cut = cut * (10 ** (line.peak_dbfs / 20) / max(1e-4, float(np.abs(cut).max())))
    return (cut * 32767).astype(np.int16), [(name, round(end - start, 4)) for name, end in phones]


def main(state: Path = STATE, num_clips: int = NUM_CLIPS) -> None:
    lines = [line for volume in range(VOLUMES) for line in plan(num_clips, SEED + volume)]
    with ThreadPoolExecutor(int(os.environ.get("OMP_NUM_THREADS", "1"))) as pool:
        spoken = list(pool.map(speak, lines))
    out = state / "corpus"
    out.mkdir(parents=True, exist_ok=True)
    starts = np.cumsum([0] + [len(samples) for samples, _ in spoken])
    np.save(out / "samples.npy", np.concatenate([samples for samples, _ in spoken]))
    rows = [
        {**asdict(line), "start": int(start), "length": len(samples), "phones": phones}
        for line, start, (samples, phones) in zip(lines, starts, spoken, strict=False)
    ]
    (out / "clips.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{out}: {len(rows)} clips, {starts[-1] / RATE_HZ / 3600:.2f} h")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))

"""Speech to train on: flite's voices and virtual speakers made of them read the texts, at varied rates and levels.

Usage:  python -m pretrain.corpus [STATE]        needs the Debian packages flite and scowl

Writes, for each volume of texts N, STATE/corpus/N.npy (int16, 16 kHz, clips one behind the other) and N.jsonl (text, voice, length, phones).
A virtual speaker is a voice that speaks slower by a factor and is played faster by it: pitch and formants rise, the rate stays. Some
have their pitch shifted besides. lark, which the demo fine-tunes to, is rms with a factor of 1.3: no voice of rms has one above 1.16 here.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from pretrain import texts

STATE = Path(".cache/pretrain")
SEED = 20260511
NUM_CLIPS = 2400  # in each volume
VOLUMES = 8  # the first WIDE_FROM in few voices, mostly rms; the others in many
WIDE_FROM, NUM_WIDE = 2, 72  # volumes from this one on; their speakers
OWN_VOICE, OWN_SHARE = "rms", 0.6
RATE_HZ, LEAD_S, TAIL_S = 16_000, 0.08, 0.12  # silence kept at the edges


@dataclass(frozen=True)
class Speaker:
    """One of flite's voices, changed."""

    voice: str
    formants: float = 1.0  # factor of all frequencies
    pitch: float = 1.0  # a further factor of the pitch; flite's rms and awb do not know it


VOICES = {
    "rms": Speaker("rms"),
    "slt": Speaker("slt"),
    "kal16": Speaker("kal16"),
    "awb": Speaker("awb"),
    **{f"rms_{round(100 * f)}": Speaker("rms", f) for f in (0.88, 0.94, 1.08, 1.16, 1.24, 1.34)},
    **{f"awb_{round(100 * f)}": Speaker("awb", f) for f in (0.9, 1.1, 1.2, 1.3)},
    **{
        f"{voice}_{round(100 * formants)}_{round(100 * pitch)}": Speaker(voice, formants, pitch)
        for voice, formants, pitch in (
            ("slt", 0.82, 0.8), ("slt", 0.82, 1.0), ("slt", 0.9, 1.0), ("slt", 0.9, 1.25), ("slt", 0.96, 1.3), ("slt", 1.0, 0.75),
            ("kal16", 0.9, 1.0), ("kal16", 1.0, 1.4), ("kal16", 1.12, 1.0), ("kal16", 1.25, 1.2),
        )
    },
}  # fmt: skip
TOO_NEAR = (
    "rms_124",
    "rms_134",
)  # to lark; drawn all the same, so that the other lines stay as they were, and left out


# Of the virtual speakers of the wide volumes: share, and the ranges of both factors. No rms above 1.18, because lark is rms at 1.3.
RANGES = {
    "rms": (0.35, (0.92, 1.18), (1.0, 1.0)),
    "slt": (0.42, (0.86, 1.12), (0.72, 1.25)),
    "kal16": (0.15, (0.92, 1.24), (0.9, 1.25)),
    "awb": (0.08, (0.95, 1.2), (1.0, 1.0)),
}


def wide(count: int = NUM_WIDE, seed: int = SEED) -> dict[str, Speaker]:
    """Virtual speakers all over RANGES."""
    rng = random.Random(f"{seed}/wide")
    found: dict[str, Speaker] = {}
    for voice, (share, formants, pitch) in RANGES.items():
        for number in range(round(share * count)):
            found[f"{voice}/{number}"] = Speaker(
                voice, round(rng.uniform(*formants), 3), round(rng.uniform(*pitch), 3)
            )
    return found


VOICES |= wide()


@dataclass(frozen=True)
class Line:
    text: str
    voice: str  # a key of VOICES
    stretch: float
    peak_dbfs: float


def plan(num_clips: int, seed: int, prose_file: Path = texts.PROSE) -> list[Line]:
    """A volume of few voices, or one of many."""
    rng = random.Random(f"{seed}/corpus")
    many = list(wide())
    if seed >= SEED + WIDE_FROM:
        return [
            Line(text, rng.choice(many), round(rng.uniform(0.9, 1.12), 3), round(rng.uniform(-9.0, -3.0), 2))
            for text in texts.training(num_clips, seed, prose_file, texts.WIDE_SHARES)
        ]
    others = [voice for voice in VOICES if voice != OWN_VOICE and voice not in many]
    drawn = [
        Line(
            text,
            OWN_VOICE if rng.random() < OWN_SHARE else rng.choice(others),
            round(rng.uniform(0.92, 1.08), 3),
            round(rng.uniform(-9.0, -3.0), 2),
        )
        for text in texts.training(num_clips, seed, prose_file)
    ]
    return [line for line in drawn if line.voice not in TOO_NEAR]


def speak(line: Line) -> tuple[np.ndarray[Any, Any], list[tuple[str, float]]]:
    """int16 samples and (phone, end in seconds) of them, with LEAD_S before the first phone and TAIL_S after the last."""
    assert line.voice in VOICES and line.voice not in TOO_NEAR, f"{line.voice} is not a training voice"
    speaker = VOICES[line.voice]
    samples, phones = flite(line.text, speaker, line.stretch)
    start = max(0.0, phones[0][1] - LEAD_S) if phones[0][0] == "pau" else 0.0
    stop = phones[-2][1] + TAIL_S if phones[-1][0] == "pau" else phones[-1][1]
    cut = samples[int(start * RATE_HZ) : int(stop * RATE_HZ)]
    cut = cut * (10 ** (line.peak_dbfs / 20) / max(1e-4, float(np.abs(cut).max())))
    return (cut * 32767).astype(np.int16), [(name, round(end - start, 4)) for name, end in phones]


def flite(
    text: str, speaker: Speaker, stretch: float
) -> tuple[np.ndarray[Any, Any], list[tuple[str, float]]]:
    """The text in a voice, changed to a speaker, and the end of each phone in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "line.wav")
        command = ["flite", "-voice", speaker.voice, "-psdur", "--setf", f"f0_shift={speaker.pitch}"]
        command += ["--setf", f"duration_stretch={round(stretch * speaker.formants, 4)}"]
        done = subprocess.run(
            [*command, "-t", text, "-o", str(wav)], capture_output=True, text=True, check=True
        )
        samples, rate_hz = soundfile.read(wav, dtype="float32")
    assert rate_hz == RATE_HZ, f"{speaker.voice} speaks at {rate_hz} Hz"
    if speaker.formants != 1.0:
        samples = soxr.resample(samples, RATE_HZ * speaker.formants, RATE_HZ)
    ends = [(name, float(end)) for name, _, end in (one.partition(":") for one in done.stdout.split())]
    return samples, [(name, end / speaker.formants) for name, end in ends]


def main(state: Path = STATE, volumes: int = VOLUMES, num_clips: int = NUM_CLIPS) -> None:
    """Volume after volume; what a killed call has finished is kept."""
    out = state / "corpus"
    out.mkdir(parents=True, exist_ok=True)
    for volume in range(volumes):
        if not (out / f"{volume}.jsonl").is_file():
            store(out, volume, [(line, {}) for line in plan(num_clips, SEED + volume)])


def store(out: Path, volume: int, lines: Sequence[tuple[Line, dict[str, str]]]) -> None:
    """Speak a volume and write it, its rows last; each line has what its row says besides."""
    with ThreadPoolExecutor(int(os.environ.get("OMP_NUM_THREADS", "1"))) as pool:
        spoken = list(pool.map(speak, [line for line, _ in lines]))
    np.save(out / f"{volume}.npy", np.concatenate([samples for samples, _ in spoken]))
    rows = [
        {**asdict(line), **more, "length": len(samples), "phones": phones}
        for (line, more), (samples, phones) in zip(lines, spoken, strict=True)
    ]
    (out / f"{volume}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{out}: volume {volume}, {sum(row['length'] for row in rows) / RATE_HZ / 3600:.2f} h", flush=True)


def read(state: Path) -> tuple[list[dict[str, Any]], list[np.ndarray[Any, Any]]]:
    """The rows of all volumes that are there, and the samples of each clip (int16, not loaded)."""
    rows, samples = [], []
    for file in sorted((state / "corpus").glob("*.jsonl")):
        told = [json.loads(line) for line in file.open(encoding="utf-8")]
        ends = np.cumsum([row["length"] for row in told])
        samples += np.split(np.load(file.with_suffix(".npy"), mmap_mode="r"), ends[:-1])
        rows += told
    return rows, samples


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))

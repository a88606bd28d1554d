"""Which checkpoint is the best in truth? All of them speak sentences that nobody trained on, and Whisper tiny.en writes them down.

Usage:  python -m benchmarks.oracle RECIPE [--lines 40] [--every 1]        after `make repro`, with the packages that pretrain/ears.py names

Prints a row for the real clips of the test split, the codec's copy of them, the base, the base that hears a clip first, and every
checkpoint: character errors (at most 1), likeness by the package's speaker encoder against the centroid of the test split, and their
product, utility = (1 - CER) x likeness. The same seeds for all. Rows are kept in runs/RECIPE/oracle.jsonl; a second call goes on.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pretrain import ears, texts
from voicelathe import families, layout, records
from voicelathe.config import params
from voicelathe.data.audio import waveform
from voicelathe.families.base import Loaded
from voicelathe.process import jobs
from voicelathe.records import CleanClip
from voicelathe.runs import results
from voicelathe.speech import speaker
from voicelathe.worker.weights import Swapper

MAX_SECONDS, NUM_REAL, SEED = 12.0, 24, 1000


def main(recipe: str, num_lines: int, every: int) -> None:
    torch.set_num_threads(1)
    settings = params.load()
    chosen = params.recipe(settings, recipe)
    base = settings.bases[chosen.base]
    family: Any = families.find(base.family)
    loaded = family.load(
        Path(base.path), family.describe(Path(base.path), base.licence, base.trained), settings.machine, "all"
    )
    clips = records.read(layout.split("test"), CleanClip)
    rate_hz = loaded.facts.encode_rate_hz
    real = [waveform.read_mono(Path(settings.ingest.audio_root), clip, rate_hz) for clip in clips]
    centre = speaker.centroid([speaker.embed(one) for one in real[NUM_REAL:] or real])
    out = Path(layout.run(recipe, "oracle.jsonl"))
    done = (
        {json.loads(line)["candidate"] for line in out.read_text().splitlines()} if out.is_file() else set()
    )
    said = [(clip.text, one) for clip, one in zip(clips, real, strict=True)][:NUM_REAL]
    lines = texts.held_out_sentences()[:num_lines]
    copies = [(text, copy(loaded, one, rate_hz)) for text, one in said]
    for name, spoken in {"real clips": said, "codec's copy": copies}.items():
        if name not in done:
            tell(out, name, spoken, centre)
    refs = candidates(recipe, base.path, every)
    swapper = Swapper(family, loaded, Path(base.path), chosen.train.lora, refs)
    for ref in refs:
        if ref.candidate.name not in done:
            swapper.put(ref)
            tell(out, ref.candidate.name, list(speak(family, loaded, ref, lines, real[0], rate_hz)), centre)


def candidates(recipe: str, base: str, every: int) -> list[jobs.WeightsRef]:
    """The base, alone and zero-shot, and every checkpoint at full strength."""
    made = [
        jobs.WeightsRef(records.Candidate(0, None, prompted), "base", base, "") for prompted in (False, True)
    ]
    trained = [ref for ref in results.candidates(results.read(recipe)[1], [1.0]) if ref.candidate.step]
    return made + trained[::-1][::every][::-1]


def speak(
    family: Any, loaded: Loaded, ref: jobs.WeightsRef, lines: list[str], reference: Any, rate_hz: int
) -> Iterator[tuple[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reference.wav")
        waveform.write_wav(path, reference, rate_hz)
        for number, text in enumerate(lines):
            seed = SEED + number
            if ref.candidate.prompted:
                spoken = family.synthesize_prompted(loaded, text, "en", seed, MAX_SECONDS, path, "")
            else:
                spoken = family.synthesize(loaded, text, "en", seed, MAX_SECONDS)
            yield text, spoken.samples


def copy(loaded: Any, samples: Any, rate_hz: int) -> Any:
    """Through the encoder and the decoder."""
    with torch.inference_mode():
        return loaded.vae.decode(loaded.vae.encode(torch.from_numpy(samples)[None, None], rate_hz))[
            0, 0
        ].numpy()


def tell(out: Path, name: str, spoken: list[tuple[str, Any]], centre: Any) -> None:
    errors = np.array([ears.cer(text, samples) for text, samples in spoken])
    likeness = np.array([speaker.similarity(speaker.embed(samples), centre) for _, samples in spoken])
    row = {
        "candidate": name, "lines": len(spoken), "cer": round(float(errors.mean()), 3),
        "likeness": round(float(likeness.mean()), 3), "utility": round(float(((1 - errors) * likeness).mean()), 3),
    }  # fmt: skip
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(f"| {name} | {row['cer']:.3f} | {row['likeness']:.3f} | {row['utility']:.3f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("--lines", type=int, default=texts.NUM_HELD_OUT)
    parser.add_argument(
        "--every", type=int, default=1, help="only every so many checkpoints, the last one among them"
    )
    given = parser.parse_args()
    main(given.recipe, given.lines, given.every)

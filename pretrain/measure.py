"""What the base can do, in numbers, on sentences that no training saw.

Usage:  python -m pretrain.measure BASE [--lines 40]

Prints one JSON object: character error rates by Whisper tiny.en (`ears`) for real flite, the codec's copy and the base's own speech (grammar and
prose), how often it stopped too early or not at all, the real-time factor on one core (CPU time), and how near it comes to a voice that
it is shown in a reference clip, and what the codec loses of the demo's speaker, whom no training heard.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from pretrain import corpus, ears, texts
from voicelathe import families
from voicelathe.config import schema
from voicelathe.data.audio import waveform
from voicelathe.families import decoding
from voicelathe.families.base import Prompt
from voicelathe.speech import speaker

TOO_SHORT, TOO_LONG = 0.6, 1.5  # of flite's own duration: the line stopped too early, or ran on
MAX_SECONDS, PROMPTED_LINES = 12.0, 8
COPIED_CLIPS, SHORTEST_S = 48, 1.5  # of the demo's speaker
SHOWN = ("rms", "slt", "kal16", "awb", "rms_116", "slt_90_100")


def main(base: Path, num_lines: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    family, voice = opened(base)
    sets = {"grammar": texts.held_out_sentences(), "prose": texts.prose()[1]}
    told = {name: reading(family, voice, name, lines[:num_lines]) for name, lines in sets.items()}
    voices = {name: shown(family, voice, name) for name in SHOWN}
    return told | {"voices": voices, "copies of the demo": copies(voice, demo_clips(COPIED_CLIPS))}


def opened(base: Path) -> tuple[Any, Any]:
    """The family and its voice."""
    family: Any = families.find("voxcpm2")
    machine = schema.Machine(device="cpu", threads=1, processes=1)
    described = family.describe(base, "Apache-2.0", True)
    return family, family.open_voice(base, described, machine)


def reading(family: Any, voice: Any, name: str, lines: list[str]) -> dict[str, Any]:
    """The base reads without a reference, flite reads the same, and the codec copies flite."""
    errors: dict[str, list[float]] = {"flite": [], "copy": [], "base": []}
    stops, cpu_s, audio_s = [], 0.0, 0.0
    for seed, text in enumerate(lines):
        real = flite(text, corpus.OWN_VOICE)
        began = time.process_time()
        spoken = voice.synthesize(text, "en", seed, MAX_SECONDS, settings(family))
        cpu_s, audio_s = cpu_s + time.process_time() - began, audio_s + len(spoken.samples) / spoken.rate_hz
        heard = {"flite": real, "copy": copy(voice, real), "base": spoken.samples}
        for kind, samples in heard.items():
            errors[kind].append(ears.cer(text, samples))
        length = len(spoken.samples) / len(real)
        stops.append(TOO_SHORT < length < TOO_LONG and spoken.stopped)
        print(f"{name} {errors['base'][-1]:.2f} length {length:.2f} {text}", flush=True)
    told: dict[str, Any] = {f"cer_{kind}": round(float(np.mean(one)), 3) for kind, one in errors.items()}
    return told | {"lines": len(lines), "bad_stops": stops.count(False), "rtf": round(cpu_s / audio_s, 2)}


def shown(family: Any, voice: Any, name: str) -> dict[str, Any]:
    """Similarity to the real voice of what is read with a reference clip in front, and of the codec's copy; and whether it is understood."""
    lines = texts.held_out_sentences()
    reference, lines = lines[-1], lines[:PROMPTED_LINES]
    real = [flite(text, name) for text in lines]
    centre = speaker.centroid([speaker.embed(one) for one in real])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reference.wav")
        waveform.write_wav(path, flite(reference, name), corpus.RATE_HZ)
        own = [
            voice.synthesize_prompted(
                text, "en", seed, MAX_SECONDS, settings(family), Prompt("reference", path, reference)
            ).samples
            for seed, text in enumerate(lines)
        ]

    def similarity(samples: list[Any]) -> float:
        return round(float(np.mean([speaker.similarity(speaker.embed(one), centre) for one in samples])), 3)

    return {
        "similarity": similarity(own),
        "similarity_copy": similarity([copy(voice, one) for one in real]),
        "cer": round(float(np.mean([ears.cer(*pair) for pair in zip(lines, own, strict=True)])), 3),
    }


def demo_clips(count: int) -> list[tuple[str, Any]]:
    """Texts and samples of so many rows without a planted fault, evenly out of the whole manifest."""
    kinds = [json.loads(line) for line in (texts.DEMO / "ground_truth.jsonl").read_text().splitlines()]
    clean = {one["id"] for one in kinds if one["kind"] == "clean"}
    rows = [json.loads(line) for line in (texts.DEMO / "manifest.jsonl").read_text("utf-8").splitlines()]
    slices = [row for row in rows if row["id"] in clean and row["end_s"] is not None]
    long = [row for row in slices if row["end_s"] - row["start_s"] >= SHORTEST_S]
    found = []
    for row in long[:: len(long) // count][:count]:
        with soundfile.SoundFile(texts.DEMO / "audio" / row["audio"]) as file:
            assert file.samplerate == corpus.RATE_HZ
            file.seek(round(row["start_s"] * file.samplerate))
            length = round((row["end_s"] - row["start_s"]) * file.samplerate)
            found.append((row["text"], file.read(length, dtype="float32")))
    return found


def copies(voice: Any, clips: list[tuple[str, Any]]) -> dict[str, float]:
    """What the codec loses: character errors and similarity to the centroid of the other clips, of real ones and of their copies."""
    made = [copy(voice, samples) for _, samples in clips]
    voices = [speaker.embed(samples) for _, samples in clips]
    others = [speaker.centroid([one for one in voices if one is not voices[at]]) for at in range(len(voices))]
    errors = {
        "real": [ears.cer(text, samples) for text, samples in clips],
        "copy": [ears.cer(text, samples) for (text, _), samples in zip(clips, made, strict=True)],
    }
    near = {"real": voices, "copy": [speaker.embed(one) for one in made]}
    told = {f"cer_{kind}": float(np.mean(column)) for kind, column in errors.items()}
    for kind, column in near.items():
        told[f"similarity_{kind}"] = float(
            np.mean([speaker.similarity(*pair) for pair in zip(column, others, strict=True)])
        )
    return {name: round(value, 3) for name, value in told.items()} | {"clips": len(clips)}


def settings(family: Any) -> dict[str, float]:
    """Upstream's own decoding."""
    return decoding.defaults(family.spec.decoding)


def flite(text: str, voice: str) -> Any:
    return corpus.speak(corpus.Line(text, voice, 1.0, -6.0))[0].astype(np.float32) / 32768


def copy(voice: Any, samples: Any) -> Any:
    """Through the encoder and the decoder."""
    with torch.inference_mode():
        latents = voice.core.audio_vae.encode(torch.from_numpy(samples)[None, None], corpus.RATE_HZ)
        return voice.core.audio_vae.decode(latents)[0, 0].numpy()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base", type=Path)
    parser.add_argument("--lines", type=int, default=texts.NUM_HELD_OUT)
    chosen = parser.parse_args()
    print(json.dumps(main(chosen.base, chosen.lines), indent=1))

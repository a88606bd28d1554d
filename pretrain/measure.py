"""What the base can do, in numbers, on sentences that no training saw.

Usage:  python -m pretrain.measure BASE [--lines 40]

Prints one JSON object: character error rates of pocketsphinx for real flite, the codec's copy and the base's own speech (grammar and
prose), how often it stopped too early or not at all, speaker similarity, and the real-time factor on one core (CPU time).
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pretrain import corpus, texts
from voicelathe import families, settings
from voicelathe.speech import speaker, words

TOO_SHORT, TOO_LONG = 0.6, 1.5  # of flite's own duration: the line stopped too early, or ran on
MAX_SECONDS = 12.0


def main(base: Path, num_lines: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    family = families.find("voxcpm2")
    machine = settings.Machine(device="cpu", threads=1, processes=1)
    loaded = family.load(base, family.describe(base, "Apache-2.0", True), machine, "all")
    told: dict[str, Any] = {"lines": num_lines}
    own, real_voice = [], []
    for name, lines in {"grammar": texts.held_out_sentences(), "prose": texts.prose()[1]}.items():
        errors: dict[str, list[float]] = {"flite": [], "copy": [], "base": []}
        stops, cpu_s, audio_s = [], 0.0, 0.0
        for seed, text in enumerate(lines[:num_lines]):
            real, _ = corpus.speak(corpus.Line(text, "rms", 1.0, -6.0))
            real = real.astype(np.float32) / 32768
            began = time.process_time()
            spoken = family.synthesize(loaded, text, "en", seed, MAX_SECONDS)
            cpu_s, audio_s = (
                cpu_s + time.process_time() - began,
                audio_s + len(spoken.samples) / spoken.rate_hz,
            )
            for kind, samples in {"flite": real, "copy": copy(loaded, real), "base": spoken.samples}.items():
                heard = words.recognise(samples)
                errors[kind].append(words.errors(text, heard).cer)  # type: ignore[union-attr]
            stops.append(TOO_SHORT < len(spoken.samples) / len(real) < TOO_LONG and spoken.stopped)
            own, real_voice = [*own, spoken.samples], [*real_voice, real]
            print(
                f"{name} {errors['base'][-1]:.2f} {len(spoken.samples) / len(real):.2f} {text} | {heard}",
                flush=True,
            )
        told[name] = {f"cer_{kind}": round(float(np.mean(values)), 3) for kind, values in errors.items()}
        told[name] |= {"bad_stops": round(1 - float(np.mean(stops)), 3), "rtf": round(cpu_s / audio_s, 2)}
    told["similarity_rms"] = round(similarity(own, real_voice), 3)
    return told


def copy(loaded: Any, samples: Any) -> Any:
    """Through the encoder and the decoder."""
    with torch.inference_mode():
        latents = loaded.vae.encode(torch.from_numpy(samples)[None, None], 16_000)
        return loaded.vae.decode(latents)[0, 0].numpy()


def similarity(own: list[Any], real: list[Any]) -> float:
    """Mean similarity of what was spoken to the centroid of the real voice."""
    centre = speaker.centroid([speaker.embed(one) for one in real])
    return float(np.mean([speaker.similarity(speaker.embed(one), centre) for one in own]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("base", type=Path)
    parser.add_argument("--lines", type=int, default=texts.NUM_HELD_OUT)
    chosen = parser.parse_args()
    print(json.dumps(main(chosen.base, chosen.lines), indent=1))

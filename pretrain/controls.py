"""A base that follows (slow) and (fast): the embedded one, trained on with a control in front of some texts. It is not committed.

Usage:  python -m pretrain.controls STATE [--minutes 8]     one part; call it until it says "finished"; needs flite and scowl
        python -m pretrain.controls STATE --out DIRECTORY   the base directory, from what is trained so far
        python -m pretrain.controls STATE --general DIRECTORY   a general set of the same kind, with a column control

It shows on a model that fits a laptop what a fine-tune does to controls (docs/families/voxcpm2.md). The tokenizer drops the brackets, so
a control is the first word of the text that nobody says.
"""

import argparse
import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor

from pretrain import corpus, features, latents, loop, rows, speech, texts
from voicelathe import families
from voicelathe.config import schema

BASE = Path("data/bases/voxcpm2-mini")
SEED, NUM_CLIPS = 20261130, 2400
SHARES = {"": 0.4, "slow": 0.3, "fast": 0.3}
STRETCH = {"": (0.9, 1.12), "slow": (1.35, 1.5), "fast": (0.62, 0.74)}
GENERAL_SEED, GENERAL_SPEAKERS, GENERAL_EACH = SEED + 50, 16, 18
STEPS, RATE = 1_200, 4e-4
WEIGHTS = {"diff": 1.0, "stop": 0.5, "guide": 0.5}
LONGEST = 72  # positions, 11.5 s: slow clips of the longest texts


def plan(number: int, seed: int, voices: list[str]) -> list[tuple[corpus.Line, str]]:
    """Lines and their controls, '' for none."""
    draw = random.Random(f"{seed}/controls")
    made = []
    for text in texts.training(number, seed, shares=texts.WIDE_SHARES):
        control = draw.choices(list(SHARES), list(SHARES.values()))[0]
        stretch = round(draw.uniform(*STRETCH[control]), 3)
        made.append(
            (corpus.Line(text, draw.choice(voices), stretch, round(draw.uniform(-9.0, -3.0), 2)), control)
        )
    return made


def record(state: Path) -> None:
    """STATE/corpus/0.npy and 0.jsonl, as `corpus` has them, with the control of each line."""
    out = state / "corpus"
    if not (out / "0.jsonl").is_file():
        out.mkdir(parents=True, exist_ok=True)
        lines = plan(NUM_CLIPS, SEED, [*corpus.wide(), corpus.OWN_VOICE])
        corpus.store(out, 0, [(line, {"control": control}) for line, control in lines])


def basis(state: Path) -> None:
    """STATE/basis.npz: what a latent of the embedded base means, fitted on the clips that it was fitted on."""
    lines = corpus.plan(corpus.NUM_CLIPS, corpus.SEED + 1)[: latents.NUM_FIT_CLIPS]
    clips = [corpus.speak(line)[0].astype(np.float32) / 32768 for line in lines]
    np.savez(
        state / "basis.npz", **features.fit([features.stacked(features.frames(one)[0]) for one in clips])
    )


def read(state: Path, tokenizer: Any) -> list[rows.Clip]:
    """The clips as the language model sees them: the control in front, and no sound of it."""
    found, _ = rows.read(state, tokenizer)
    return [
        with_control(clip, told["control"], tokenizer) if told["control"] else clip
        for clip, told in zip(found, corpus.read(state)[0], strict=True)
    ]


def with_control(clip: rows.Clip, control: str, tokenizer: Any) -> rows.Clip:
    text = f"({control}){clip.item.text}"
    more = len(tokenizer.tokenize(text)) - clip.shares_AL.shape[1]
    silent = torch.zeros(len(clip.shares_AL), more)
    return replace(
        clip, item=replace(clip.item, text=text), shares_AL=torch.cat([silent, clip.shares_AL], dim=1)
    )


def chosen(clips: list[rows.Clip], step: int) -> Iterator[rows.Clip]:
    """The clips of a step, from the seed and the step alone; half of them behind a reference, as in the embedded base's last round."""
    draw = np.random.default_rng([SEED, step])
    for _ in range(rows.CLIPS_PER_STEP):
        while True:
            clip = clips[draw.integers(len(clips))]
            if len(clip.phones_AP) <= LONGEST:
                break
        yield rows.referenced(clip, clips, draw) if draw.random() < rows.MANY_REFERENCED else clip


def train(state: Path, minutes: float) -> bool:
    """Go on with STATE/controls.safetensors; True when it is finished."""
    family: Any = families.find("voxcpm2")
    machine = schema.Machine(device="cpu", threads=1, processes=1)
    model = family.open_model(BASE, family.describe(BASE, "Apache-2.0", True), machine)
    clips = read(state, model.core.text_tokenizer)
    watch = speech.Watch(model.core)
    model.core.train()

    def losses(step: int) -> dict[str, Tensor]:
        return speech.spoken_losses(family, model, watch, list(chosen(clips, step)), step)[0]

    how = loop.Plan(steps=STEPS, minutes=minutes, rate=RATE, warmup=60, weight_decay=0.01, weights=WEIGHTS)
    return loop.train(state / "controls.safetensors", {"model": model.core}, how, losses)


def write(state: Path, out: Path) -> None:
    """The embedded base's directory with the trained language model."""
    from safetensors.torch import save_file

    if out.exists():
        raise SystemExit(f"{out} is there already. Name another directory, or remove it.")
    shutil.copytree(BASE, out)
    weights = loop.weights(state / "controls.safetensors", "model")
    halved = {name: t.to(torch.bfloat16) if t.is_floating_point() else t for name, t in weights.items()}
    save_file(halved, out / "model.safetensors", {"format": "pt"})
    (out / "README.md").write_text(
        "voxcpm2-mini, trained on with (slow) and (fast): python -m pretrain.controls\n"
    )


def general(out: Path) -> None:
    """Clips that nothing was trained on, in voices of the corpus: a third without a control, a third slow, a third fast."""
    voices = list(corpus.wide())[:: corpus.NUM_WIDE // GENERAL_SPEAKERS][:GENERAL_SPEAKERS]
    trained = {line.text for line, _ in plan(NUM_CLIPS, SEED, voices)}
    said = [one for one in texts.training(2400, GENERAL_SEED) if one not in trained and 20 <= len(one) <= 90]
    if out.exists():
        raise SystemExit(f"{out} is there already. Name another directory, or remove it.")
    (out / "audio").mkdir(parents=True)
    told = []
    for number, text in enumerate(sorted(set(said), key=said.index)[: GENERAL_SPEAKERS * GENERAL_EACH]):
        voice, control = voices[number % len(voices)], list(SHARES)[number // len(voices) % len(SHARES)]
        low, high = STRETCH[control]
        samples, _ = corpus.speak(corpus.Line(text, voice, round((low + high) / 2, 3), -6.0))
        name = f"{voice.replace('/', '_')}_{number:03d}"
        soundfile.write(out / "audio" / f"{name}.wav", samples, corpus.RATE_HZ)
        told.append(
            {
                "id": name, "audio": f"{name}.wav", "start_s": None, "end_s": None, "text": text, "recording_id": name,
                "speaker_id": voice.replace("/", "_"), "language": "en", "sample_rate_hz": corpus.RATE_HZ, "control": control or None,
            }
        )  # fmt: skip
    (out / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pretrain.controls", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("state", type=Path)
    parser.add_argument("--minutes", type=float, default=8.0, help="CPU time of this call in training")
    parser.add_argument("--out", type=Path, help="write the base directory there")
    parser.add_argument("--general", type=Path, help="write a general set there")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.out:
        return write(asked.state, asked.out)
    if asked.general:
        return general(asked.general)
    record(asked.state)
    if not (asked.state / "basis.npz").is_file():
        basis(asked.state)
    if not (asked.state / "latents.npz").is_file():
        latents.main(asked.state)
    print("finished" if train(asked.state, asked.minutes) else "call again to go on")


if __name__ == "__main__":
    main()

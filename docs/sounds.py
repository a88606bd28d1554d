"""Six sound files of one sentence and their spectrograms, side by side in docs/listen.md: the embedded base, the base that hears a clip of
the target first, LoRA, full fine-tuning, a ruined fine-tune, and the target itself.

Usage:  python docs/sounds.py [RECIPE=STEP ...]      after `make repro`, and `ruined` trained too; needs Debian's flite

A recipe speaks at the step that its selection nominates, where nothing else is said and there is a nomination, else at its last one.
Writes docs/audio/*.opus and docs/images/spectrograms.png.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

from voicelathe import families, layout, records
from voicelathe.config import params
from voicelathe.data.audio import opus, waveform
from voicelathe.families import decoding
from voicelathe.families.base import Prompt
from voicelathe.process import jobs
from voicelathe.records import CleanClip
from voicelathe.runs import results
from voicelathe.worker.weights import Swapper

Samples = NDArray[np.float32]

TEXT = "Today I walked through the quiet morning light, and every small detail felt clear, steady, and close."
RATE_HZ, SEED, MAX_SECONDS = 16_000, 42, 12.0
RECIPES = {"lora": "mini-lora", "full": "mini-full", "ruined": "ruined"}
TITLES = {
    "base": "embedded base: a voice of its own choice",
    "zero_shot": "the base, shown a clip of lark first",
    "lora": "after LoRA to lark",
    "full": "after full fine-tuning to lark",
    "ruined": "after the recipe that ruins on purpose",
    "lark": "lark itself",
}


def main(steps: dict[str, int]) -> None:
    sounds: dict[str, Samples] = {}
    for name, recipe in RECIPES.items():
        if Path(layout.run(recipe, "checkpoints.json")).is_file():
            sounds |= spoken(name, recipe, steps.get(recipe), first=name == "lora")
    sounds["lark"] = lark(TEXT)
    Path("docs/audio").mkdir(exist_ok=True)
    for serial, name in enumerate(one for one in TITLES if one in sounds):
        Path(f"docs/audio/{name}.opus").write_bytes(opus.encode(sounds[name], RATE_HZ, serial))
    draw({name: sounds[name] for name in TITLES if name in sounds})


def spoken(name: str, recipe: str, step: int | None, first: bool) -> dict[str, Samples]:
    """The sentence by one checkpoint of a recipe; with `first`, by the base before it, alone and shown a clip."""
    settings = params.load()
    base = settings.bases["voxcpm2-mini"]
    family: Any = families.find(base.family)
    voice = family.open_voice(
        Path(base.path), family.describe(Path(base.path), base.licence, base.trained), settings.machine
    )
    made: dict[str, Samples] = {}
    if first:
        made["base"] = voice.synthesize(TEXT, "en", SEED, MAX_SECONDS, usual(family)).samples
        made["zero_shot"] = zero_shot(family, voice, settings)
    ref, lora = checkpoint(recipe, step)
    Swapper(family, voice, lora, [ref]).put(ref)
    made[name] = voice.synthesize(TEXT, "en", SEED, MAX_SECONDS, usual(family)).samples
    print(f"{name}: step {ref.candidate.step} of {recipe}")
    return made


def usual(family: Any) -> dict[str, float]:
    """Upstream's own decoding."""
    return decoding.defaults(family.spec.decoding)


def zero_shot(family: Any, voice: Any, settings: Any) -> Samples:
    clip = max(records.read(layout.split("validation"), CleanClip), key=lambda one: one.duration_s)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "reference.wav")
        waveform.write_wav(path, waveform.read_mono(Path(settings.ingest.audio_root), clip, RATE_HZ), RATE_HZ)
        said: Samples = voice.synthesize_prompted(
            TEXT, "en", SEED, MAX_SECONDS, usual(family), Prompt("reference", path, clip.text)
        ).samples
        return said


def checkpoint(recipe: str, step: int | None) -> tuple[jobs.WeightsRef, Any]:
    """The weights to speak with, and the settings of the adapter."""
    executed, entries = results.read(recipe)
    selection = Path(layout.run(recipe, "selection.json"))
    nominee = json.loads(selection.read_text(encoding="utf-8"))["nominee"] if selection.is_file() else None
    rows = {entry.step: entry for entry in entries}
    row = rows[step or (int(nominee.split("@")[0].split("_")[1]) if nominee else max(rows))]
    scale = 1.0 if row.kind == "lora" else None
    ref = jobs.WeightsRef(records.Candidate(row.step, scale), row.kind, row.path, row.sha256)
    return ref, executed.identity.train.lora


def lark(text: str) -> Samples:
    """As data/demo makes it; that is a folder of scripts, not a package."""
    sys.path.insert(0, "data/demo")
    import speech  # type: ignore[import-not-found]

    samples = speech._speak_one(speech.Line(text, "lark", 1.0))
    return np.asarray(0.5 * samples / np.abs(samples).max(), np.float32)


def draw(sounds: dict[str, Samples]) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    longest = max(len(one) for one in sounds.values()) / RATE_HZ
    figure, axes = pyplot.subplots(
        len(sounds), 1, figsize=(10, 2.2 * len(sounds)), sharex=True, layout="constrained"
    )
    for axis, (name, samples) in zip(axes, sounds.items(), strict=True):
        peak = max(1e-4, float(np.abs(samples).max()))
        axis.specgram(samples / peak, NFFT=512, Fs=RATE_HZ, noverlap=384, cmap="magma", vmin=-120, vmax=-40)
        axis.set(
            title=TITLES[name],
            ylabel="kHz",
            xlim=(0, longest),
            yticks=[0, 4000, 8000],
            yticklabels=["0", "4", "8"],
        )
        axis.set_facecolor("black")
    axes[-1].set_xlabel(f"seconds of: {TEXT}")
    figure.savefig("docs/images/spectrograms.png", dpi=80)


if __name__ == "__main__":
    main({recipe: int(step) for recipe, _, step in (one.partition("=") for one in sys.argv[1:])})

"""Four sound files of one sentence and their spectrograms: the embedded base, LoRA and full fine-tune (as selected), and the voice they aim at.

Usage:  python docs/sounds.py      after `make repro`; needs Debian's flite; writes docs/audio/*.opus and docs/images/spectrograms.png
"""

import json
import subprocess
import tempfile
from pathlib import Path

import matplotlib
import numpy as np
import soundfile
from numpy.typing import NDArray

from voicelathe.data import opus

Samples = NDArray[np.float32]

LINE, RATE_HZ = "carrier", 16_000
RECIPES = {"lora": "mini-lora", "full": "mini-full"}
TITLES = {
    "base": "embedded base: a voice it knows (rms)",
    "lora": "after LoRA to awb",
    "full": "after full fine-tuning to awb",
    "awb": "flite's awb itself",
}


def main() -> None:
    sounds, text = {}, ""
    for name, recipe in {"base": "mini-lora", **RECIPES}.items():
        sounds[name], text = spoken(recipe, None if name == "base" else nominee(recipe))
    sounds["awb"] = flite(text)
    Path("docs/audio").mkdir(exist_ok=True)
    for serial, name in enumerate(TITLES):
        Path(f"docs/audio/{name}.opus").write_bytes(opus.encode(sounds[name], RATE_HZ, serial))
    draw(sounds, text)


def nominee(recipe: str) -> str:
    selection = json.loads(Path(f"runs/{recipe}/selection.json").read_text(encoding="utf-8"))
    name: str = selection["nominee"]
    return name


def spoken(recipe: str, candidate: str | None) -> tuple[Samples, str]:
    """The first sample of the line by a candidate (None: the base), and its text."""
    rows = map(json.loads, Path(f"runs/{recipe}/samples.jsonl").read_text(encoding="utf-8").splitlines())
    row = next(one for one in rows if one["line_id"] == LINE and one["candidate"] == (candidate or "base"))
    return soundfile.read(row["path"], dtype="float32")[0], row["text"]


def flite(text: str) -> Samples:
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "awb.wav")
        subprocess.run(["flite", "-voice", "awb", "-t", text, "-o", str(wav)], check=True)
        samples: Samples = soundfile.read(wav, dtype="float32")[0]
        return samples


def draw(sounds: dict[str, Samples], text: str) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    longest = max(len(one) for one in sounds.values()) / RATE_HZ
    figure, axes = pyplot.subplots(len(sounds), 1, figsize=(10, 9), sharex=True, layout="constrained")
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
    axes[-1].set_xlabel(f"seconds of: {text}")
    figure.savefig("docs/images/spectrograms.png", dpi=80)


if __name__ == "__main__":
    main()

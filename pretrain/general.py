"""The clips on which forgetting is measured: sentences that no training saw, in the voices rms and slt.

Usage:  python -m pretrain.general [OUT]         needs the Debian package flite

Writes OUT/manifest.jsonl and OUT/audio/*.opus. Texts of the training corpus, of the demo and of the base's own measurement are left out.
"""

import json
import sys
from pathlib import Path

import numpy as np

from pretrain import corpus, texts
from voicelathe.data.audio import opus

OUT = Path("data/general")
SEED = 9_002
VOICES = {"rms": 24, "slt": 24}


def unseen(count: int) -> list[str]:
    """Sentences of the demo's grammar that neither the corpus, nor the demo, nor `measure` has."""
    seen = {
        line.text
        for volume in range(corpus.VOLUMES)
        for line in corpus.plan(corpus.NUM_CLIPS, corpus.SEED + volume)
    }
    seen |= texts.kept_apart()
    return [one for one in texts.grammar().write(4 * count, SEED) if one not in seen][:count]


def main(out: Path = OUT) -> None:
    speakers = [voice for voice, count in VOICES.items() for _ in range(count)]
    rows = []
    (out / "audio").mkdir(parents=True, exist_ok=True)
    for number, (voice, text) in enumerate(zip(speakers, unseen(len(speakers)), strict=True), start=1):
        name = f"{voice}_{number:02d}"
        samples, _ = corpus.speak(corpus.Line(text, voice, 1.0, -6.0))
        sound = np.asarray(samples, np.float32) / 32768
        (out / "audio" / f"{name}.opus").write_bytes(opus.encode(sound, corpus.RATE_HZ, number))
        rows.append(
            {
                "id": name, "audio": f"{name}.opus", "start_s": None, "end_s": None, "text": text, "recording_id": name,
                "speaker_id": voice, "language": "en", "sample_rate_hz": corpus.RATE_HZ,
            }
        )  # fmt: skip
    (out / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))

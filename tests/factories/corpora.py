"""Small corpora as users have them: tones in WAV files and a manifest in each of the formats we read."""

import json
import math
import struct
import wave
from collections.abc import Callable
from pathlib import Path

TEXTS = (
    "The lamp is on.",
    "Every small detail felt clear.",
    "We walked through the quiet light.",
    "It rains.",
)
RECORDINGS, CLIPS = 4, 3
RATE_HZ = 8000


def audio(root: Path, pattern: str = "talk{recording:02d}_{clip:03d}.wav") -> list[str]:
    """One tone a clip; gives the paths below the root, in order."""
    paths = []
    for recording in range(1, RECORDINGS + 1):
        for clip in range(1, CLIPS + 1):
            name = pattern.format(recording=recording, clip=clip)
            tone(root / name, hz=200 + 40 * recording + 7 * clip)
            paths.append(name)
    return paths


def tone(path: Path, hz: float, seconds: float = 0.2) -> None:
    """A 16-bit mono WAV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = [
        round(9000 * math.sin(2 * math.pi * hz * at / RATE_HZ)) for at in range(int(seconds * RATE_HZ))
    ]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, len(samples), "NONE", ""))
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def text(at: int) -> str:
    return TEXTS[at % len(TEXTS)]


def json_lines(path: Path, rows: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def voxcpm(folder: Path) -> Path:
    return json_lines(
        folder / "train.jsonl", [{"audio": path, "text": text(at)} for at, path in enumerate(audio(folder))]
    )


def qwen3_tts(folder: Path) -> Path:
    tone(folder / "reference.wav", hz=150)
    rows = [
        {"audio": path, "text": text(at), "ref_audio": "reference.wav"}
        for at, path in enumerate(audio(folder))
    ]
    return json_lines(folder / "train_raw.jsonl", rows)


def ljspeech(folder: Path) -> Path:
    paths = audio(folder, "wavs/LJ{recording:03d}-{clip:04d}.wav")
    lines = [f"{Path(path).stem}|{text(at)}|{text(at)}\n" for at, path in enumerate(paths)]
    (folder / "metadata.csv").write_text("".join(lines))
    return folder


def csv(folder: Path) -> Path:
    lines = [f'{path},"{text(at)}"\n' for at, path in enumerate(audio(folder))]
    (folder / "clips.csv").write_text("audio,text\n" + "".join(lines))
    return folder / "clips.csv"


def audiofolder(folder: Path) -> Path:
    lines = [f'{path},"{text(at)}"\n' for at, path in enumerate(audio(folder))]
    (folder / "metadata.csv").write_text("file_name,transcription\n" + "".join(lines))
    return folder


def audiofolder_jsonl(folder: Path) -> Path:
    rows: list[dict[str, object]] = [
        {"file_name": path, "transcription": text(at)} for at, path in enumerate(audio(folder))
    ]
    return json_lines(folder / "metadata.jsonl", rows).parent


def cosyvoice(folder: Path) -> Path:
    paths = audio(folder)
    files = {
        "wav.scp": [f"u{at} {folder / path}" for at, path in enumerate(paths)],
        "text": [f"u{at} {text(at)}" for at in range(len(paths))],
        "utt2spk": [f"u{at} anna" for at in range(len(paths))],
    }
    for name, lines in files.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder


def ours(folder: Path) -> Path:
    paths = audio(folder)
    rows: list[dict[str, object]] = [
        {
            **{"audio": path, "text": text(at), "recording_id": path.split("_")[0]},
            **{"speaker_id": "anna", "language": "en", "id": at},
        }
        for at, path in enumerate(paths)
    ]
    return json_lines(folder / "manifest.jsonl", rows)


FORMATS: dict[str, Callable[[Path], Path]] = {
    "voxcpm": voxcpm,
    "qwen3-tts": qwen3_tts,
    "ljspeech": ljspeech,
    "csv": csv,
    "voicelathe": ours,
}
OTHERS: dict[str, tuple[Callable[[Path], Path], str]] = {  # what is read as one of these formats
    "cosyvoice": (cosyvoice, "voicelathe"),
    "audiofolder": (audiofolder, "csv"),
    "audiofolder of JSON lines": (audiofolder_jsonl, "voxcpm"),
}

"""Make the demo corpus: 36 recordings of a synthetic voice, 600 manifest rows, and the faults planted there.

    python data/demo/generate.py [OUT]

writes audio/, manifest.jsonl, ground_truth.jsonl and SHA256SUMS into OUT (the folder of this file when not
given), the same bytes every time. It needs the Debian package flite and two CPU minutes.
The pipeline reads the committed files and never runs this.
"""

import argparse
import hashlib
import json
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import extras
import recordings
import sentences
import speech

SEED = 20_260_101
NUM_ROWS = 600
SUMS = "SHA256SUMS"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path(__file__).parent, help="where to write")
    out: Path = parser.parse_args().out
    speech.require_flite()
    rows, audio = make()
    write(out, in_order(rows), audio)
    size_mb = sum(map(len, audio.values())) / 1e6
    print(f"{out}: {NUM_ROWS} rows, {len(audio)} audio files of {size_mb:.2f} MB")


def make() -> tuple[list[recordings.Row], dict[str, bytes]]:
    """All rows, in no order that matters, and the audio files by name."""
    num_cut = recordings.NUM_RECORDINGS * recordings.SENTENCES_EACH
    texts = sentences.write(num_cut + len(extras.catalogue()), SEED)
    planned = recordings.plan(texts[:num_cut], SEED)
    spoken = speech.speak(line for recording in planned for line in recording.lines)
    takes = [recordings.record(recording, spoken, SEED) for recording in planned]
    rows = recordings.rows(takes, SEED)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        files = pool.map(lambda take: speech.encode(take.samples, ".opus"), takes)
        audio = dict(zip((take.recording.audio for take in takes), files, strict=True))
    placed = extras.place(texts[num_cut:], takes, SEED)
    for row, file in extras.files(placed, speech.speak(one.line for one in placed)):
        rows.append(row)
        if file is not None:
            audio[row.audio] = file
    return rows, audio


def in_order(rows: list[recordings.Row]) -> list[recordings.Row]:
    """A random order, in which a copy or overlap comes after the row that it repeats."""
    assert len(rows) == NUM_ROWS, f"{len(rows)} rows were made"
    ordered = random.Random(f"{SEED}/order").sample(rows, len(rows))
    for copy in [row for row in ordered if row.copy_of is not None]:
        here = ordered.index(copy)
        there = next(at for at, row in enumerate(ordered) if row is copy.copy_of)
        if here < there:
            ordered[here], ordered[there] = ordered[there], ordered[here]
    return ordered


def write(out: Path, rows: list[recordings.Row], audio: dict[str, bytes]) -> None:
    """Replace what an earlier run wrote there. Files that no run wrote are left alone."""
    forget(out)
    numbered = [(f"clip_{number:04d}", row) for number, row in enumerate(rows, 1)]
    files = {f"audio/{name}": data for name, data in audio.items()}
    files["manifest.jsonl"] = jsonl([manifest_row(clip_id, row) for clip_id, row in numbered])
    files["ground_truth.jsonl"] = jsonl([{"id": clip_id, "kind": row.kind} for clip_id, row in numbered])
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())]
    files[SUMS] = "".join(sums).encode()
    (out / "audio").mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (out / name).write_bytes(data)


def forget(out: Path) -> None:
    if (out / SUMS).exists():
        for line in (out / SUMS).read_text(encoding="utf-8").splitlines():
            (out / line.split("  ", 1)[1]).unlink(missing_ok=True)


def manifest_row(clip_id: str, row: recordings.Row) -> dict[str, object]:
    """The row in our raw manifest format. The owner believes that all of it is lark at 16 kHz."""
    return {
        "id": clip_id,
        "audio": row.audio,
        "start_s": row.start_s,
        "end_s": row.end_s,
        "text": row.text,
        "recording_id": row.recording_id,
        "speaker_id": recordings.VOICE,
        "language": "en",
        "sample_rate_hz": speech.RATE_HZ,
    }


def jsonl(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


if __name__ == "__main__":
    main()

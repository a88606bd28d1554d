"""The clips that forgetting is measured on: pinned, and every row usable."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import audio
from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data.latents import general_set
from voicelathe.data.manifest import ingest
from voicelathe.errors import ManifestError


def general(root: Path, **changes: object) -> schema.Ingest:
    """Two speakers with a clip each, one a whole file and one a slice; pinned as they are."""
    rows = []
    for number, name in enumerate(("rms", "slt")):
        audio.write(root / "audio" / f"{name}.wav", audio.speech(1.5, number))
        rows.append(
            {
                "audio": f"{name}.wav",
                "text": f"Sentence {number}.",
                "recording_id": name,
                "speaker_id": name,
                "language": "en",
            }
        )
    rows[1] |= {"start_s": 0.25, "end_s": 1.25, **changes}
    (root / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plain = schema.Ingest(
        str(root / "manifest.jsonl"), "0" * 64, str(root / "audio"), "0" * 64, "voicelathe", None, None, None
    )
    sha256, audio_digest = ingest.pins(plain)
    return replace(plain, sha256=sha256, audio_digest=audio_digest)


def test_whole_files_and_slices_become_clips_with_their_bounds(tmp_path: Path) -> None:
    found = {
        clip.speaker_id: (clip.start_s, clip.end_s, clip.duration_s)
        for clip in general_set.clips(general(tmp_path))
    }
    assert found == {"rms": (0.0, 1.5, 1.5), "slt": (0.25, 1.25, 1.0)}
    told = general_set.clips(general(tmp_path, control="slow"))
    assert {clip.speaker_id: clip.control for clip in told} == {"rms": None, "slt": "slow"}


@pytest.mark.parametrize("file", ["manifest.jsonl", "audio/slt.wav"])
def test_a_changed_file_is_refused_with_both_hashes(tmp_path: Path, file: str) -> None:
    pinned = general(tmp_path)
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content + (b"\n" if file.endswith("l") else b"\0\0"))
    with pytest.raises(ManifestError, match=f"found {digest.of_file(Path(pinned.manifest))}"):
        general_set.clips(pinned)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text": "  "}, "line 2: no text"),
        ({"audio": "gone.wav"}, "line 2: gone.wav: missing"),
        ({"end_s": 0.1}, "line 2: ends at 0.1 s"),
        ({"control": "(slow)"}, r"line 2: control '\(slow\)' cannot be used \(brackets: "),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        general_set.clips(general(tmp_path, **changes))

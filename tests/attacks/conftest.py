"""A corpus of two good rows with one attack between them, and what the pipeline says about each line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.factories import audio as sounds
from tests.factories import rows
from voicelathe.data.audio import waveform
from voicelathe.data.audio.files import AudioProblem
from voicelathe.data.manifest import ingest
from voicelathe.data.measures import measure
from voicelathe.records import ClipMeasure


@dataclass(frozen=True)
class Lab:
    """Two good files below `root`; everything beside it is out of bounds."""

    root: Path

    def code(self, attack: dict[str, Any] | bytes) -> str | None:
        """Why line 2 is no usable row, from ingest or measure; None when it is one. The rows around it must be whole."""
        read = ingest.read(self._reading(attack), rows.SERIAL)
        by_line = {one.line: one for one in [*read.rows, *read.rejected]}
        assert sorted(by_line) == [1, 2, 3]
        measured = {
            one.clip_id: one for one in measure.measure(read.rows, self.root, rows.MEASURE, rows.SERIAL)
        }
        found = {row.line: measured[row.clip_id] for row in read.rows}
        assert found[1].problem is None and found[3].problem is None
        return found[2].problem if 2 in found else by_line[2].problem

    def rejected(self, attack: dict[str, Any] | bytes) -> str | None:
        """The same of ingest alone, which decodes nothing."""
        read = ingest.read(self._reading(attack), rows.SERIAL)
        assert [row.line for row in read.rows if row.line != 2] == [1, 3]
        problems = {row.line: row.audio_problem for row in read.rows}
        return {**problems, **{one.line: one.problem for one in read.rejected}}[2]

    def problem(self, name: str, content: bytes) -> str | None:
        """Why a file with this content cannot be read whole, asked of the one door to audio; None when it can."""
        (self.root / name).write_bytes(content)
        try:
            waveform.read_clip(self.root, name, None, None, None)
        except AudioProblem as refused:
            assert refused.detail
            return refused.code
        return None

    def audio(self, name: str, content: bytes) -> str | None:
        """As `code`, for a row whose file has this content."""
        (self.root / name).write_bytes(content)
        return self.code(rows.raw(2, audio=name))

    def _reading(self, attack: dict[str, Any] | bytes) -> Any:
        manifest = rows.json_lines(self.root.parent / "m.jsonl", [rows.raw(1), attack, rows.raw(3)])
        return rows.ingest(manifest, self.root)

    def measures(self, names: list[str]) -> list[ClipMeasure]:
        """Measures of files, in their order."""
        listed = [
            rows.manifest_row(number, audio=name, audio_sha256=None) for number, name in enumerate(names, 1)
        ]
        return measure.measure(listed, self.root, rows.MEASURE, rows.SERIAL)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    root = tmp_path / "audio"
    for number in (1, 3):
        sounds.write(root / f"rec_{number:02d}.wav", sounds.speech(0.3, seed=number))
    return Lab(root)

"""The demo corpus is what its README says: the planted faults are there, and nothing else is wrong."""

import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "data" / "demo"
AUDIO = DEMO / "audio"
MAX_BYTES = 6_400_000
KEYS = ["id", "audio", "start_s", "end_s", "text"]
KEYS += ["recording_id", "speaker_id", "language", "sample_rate_hz"]
NUM_ROWS = {
    "clean": 338,
    "empty_text": 184,
    "boilerplate": 3,
    "sub_100_ms": 15,
    "non_speech": 6,
    "wrong_sample_rate": 6,
    "clipped": 6,
    "exact_copy": 6,
    "overlap": 6,
    "too_short_for_text": 6,
    "too_long_for_text": 4,
    "wrong_text": 6,
    "wrong_speaker": 4,
    "stereo": 1,
    "non_finite": 1,
    "zero_length": 1,
    "missing_file": 1,
    "truncated_file": 1,
    "long_silence": 4,
    "path_traversal": 1,
}


@dataclass(frozen=True)
class Row:
    """A manifest row with its planted kind and place in the manifest."""

    number: int
    kind: str
    id: str
    audio: str
    start_s: float | None
    end_s: float | None
    text: str | None
    recording_id: str
    speaker_id: str
    language: str
    sample_rate_hz: int


@dataclass(frozen=True)
class Clip:
    """The audio of a row at the rate of its file; what could not be read has the error instead."""

    samples: NDArray[np.float32]
    rate_hz: int
    error: str = ""

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz

    @property
    def levels_dbfs(self) -> NDArray[np.float32]:
        """RMS of every 10 ms."""
        step = self.rate_hz // 100
        frames = self.samples[: len(self.samples) // step * step].reshape(-1, step)
        return np.asarray(20 * np.log10(np.sqrt(np.mean(frames**2, axis=1)) + 1e-9), np.float32)

    @property
    def silent_ends_s(self) -> tuple[float, float]:
        """Time below -45 dBFS before and after everything else."""
        loud = np.flatnonzero(self.levels_dbfs > -45)
        return float(loud[0]) * 0.01, float(len(self.levels_dbfs) - 1 - loud[-1]) * 0.01

    @property
    def level_range_db(self) -> float:
        """Between loud and quiet moments (90 and 10 %): 20 and more in speech, little in steady sounds."""
        low, high = np.percentile(self.levels_dbfs, [10, 90])
        return float(high - low)

    @property
    def pitch_hz(self) -> float:
        """Median over voiced frames of the best lag of the autocorrelation, at 16 kHz: lark 125 to 142."""
        frames = np.lib.stride_tricks.sliding_window_view(self.samples, 640)[::320]
        frames = frames[np.std(frames, axis=1) > 0.2 * np.std(frames, axis=1).max()]
        frames = frames - frames.mean(axis=1, keepdims=True)
        products = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048)) ** 2)[:, :640]
        lags = np.arange(53, 228)  # 300 to 70 Hz
        periodic = products[:, lags] / products[:, :1] / (1 - lags / 640)
        voiced = periodic.max(axis=1) > 0.5
        return float(np.median(16_000 / lags[periodic.argmax(axis=1)][voiced]))


def lines(name: str, folder: Path = DEMO) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    pairs = zip(lines("manifest.jsonl"), lines("ground_truth.jsonl"), strict=True)
    return [Row(number, str(truth["kind"]), **row) for number, (row, truth) in enumerate(pairs)]  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def clips(rows: list[Row]) -> dict[str, Clip]:
    """The audio of every row, by id. Each file is decoded once."""
    names = sorted({row.audio for row in rows})
    with ThreadPoolExecutor(2) as pool:
        files = dict(zip(names, pool.map(decode, names), strict=True))
    return {row.id: cut(row, files[row.audio]) for row in rows}


def decode(name: str) -> Clip:
    try:
        return Clip(*soundfile.read(AUDIO / name, dtype="float32"))
    except soundfile.LibsndfileError as problem:
        return Clip(np.zeros(0, np.float32), 16_000, str(problem))


def cut(row: Row, whole: Clip) -> Clip:
    if row.start_s is None or row.end_s is None:
        return whole
    assert 0 <= row.start_s < row.end_s <= whole.duration_s, f"{row.id} reaches outside {row.audio}"
    start, end = round(row.start_s * whole.rate_hz), round(row.end_s * whole.rate_hz)
    return Clip(whole.samples[start:end], whole.rate_hz)


def of_kind(rows: list[Row], kind: str) -> list[Row]:
    return [row for row in rows if row.kind == kind]


def chars_per_s(row: Row, clip: Clip) -> float:
    return len(row.text or "") / clip.duration_s


# --- the files ----------------------------------------------------------------------------------------------


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_sums() -> None:
    listed = [line.split("  ") for line in (DEMO / "SHA256SUMS").read_text(encoding="utf-8").splitlines()]
    assert [name for digest, name in listed if sha256(DEMO / name) != digest] == []
    here = {f"audio/{path.name}" for path in AUDIO.iterdir()} | {"manifest.jsonl", "ground_truth.jsonl"}
    assert {name for _, name in listed} == here


def test_the_committed_files_are_the_listed_ones_byte_for_byte() -> None:
    check_sums()


def test_the_whole_demo_folder_stays_small() -> None:
    files = [path for path in DEMO.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= MAX_BYTES


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_generator_makes_the_committed_corpus_again(tmp_path: Path) -> None:
    """The manifest byte for byte, the audio within the encoder's freedom. Without flite, only the sums."""
    check_sums()
    if shutil.which("flite") is None:
        return
    generate(tmp_path, os.environ["PATH"]).check_returncode()
    for name in ("manifest.jsonl", "ground_truth.jsonl"):
        assert sha256(tmp_path / name) == sha256(DEMO / name), name
    assert {path.name for path in (tmp_path / "audio").iterdir()} == {path.name for path in AUDIO.iterdir()}
    for number in range(1, 37):
        made, _ = soundfile.read(tmp_path / "audio" / f"rec_{number:02d}.opus")
        committed, _ = soundfile.read(AUDIO / f"rec_{number:02d}.opus")
        assert np.sum((made - committed) ** 2) < 1e-3 * np.sum(committed**2)


def test_without_flite_the_generator_names_the_debian_package_and_writes_nothing(tmp_path: Path) -> None:
    done = generate(tmp_path, path=str(tmp_path))
    assert done.returncode != 0
    assert "apt-get install flite" in done.stderr
    assert not list(tmp_path.iterdir())


def generate(out: Path, path: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", str(DEMO / "generate.py"), str(out)]
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)


# --- the table ----------------------------------------------------------------------------------------------


def test_the_kinds_have_the_planned_numbers_of_rows(rows: list[Row]) -> None:
    assert Counter(row.kind for row in rows) == NUM_ROWS
    assert len(rows) == 600


def test_the_readme_states_the_same_numbers() -> None:
    stated = re.findall(r"^\| `(\w+)` \| (\d+) \|", (DEMO / "README.md").read_text(encoding="utf-8"), re.M)
    assert {kind: int(number) for kind, number in stated} == NUM_ROWS


def test_every_row_has_the_keys_of_the_raw_format(rows: list[Row]) -> None:
    assert all(list(row) == KEYS for row in lines("manifest.jsonl"))
    assert {(row.speaker_id, row.language, row.sample_rate_hz) for row in rows} == {("lark", "en", 16_000)}
    assert all(Path(row.audio).name.startswith(row.recording_id) for row in rows)
    assert len({row.recording_id for row in rows}) == 36


def test_ground_truth_has_a_line_for_every_manifest_line() -> None:
    truth = lines("ground_truth.jsonl")
    assert [line["id"] for line in truth] == [row["id"] for row in lines("manifest.jsonl")]
    assert all(list(line) == ["id", "kind"] for line in truth)


def test_ids_and_file_names_do_not_reveal_the_kinds(rows: list[Row]) -> None:
    assert [row.id for row in rows] == [f"clip_{number:04d}" for number in range(1, 601)]
    names = re.compile(r"(\.\./outside/)?rec_\d\d(_[bcd\u58f0])?\.(opus|flac|wav)")
    assert all(names.fullmatch(row.audio) for row in rows)
    # The kinds are mixed: the clean share of every hundred rows is near that of all 600 (0.56).
    hundreds = [rows[start : start + 100] for start in range(0, 600, 100)]
    assert all(40 <= len(of_kind(part, "clean")) <= 72 for part in hundreds)


# --- clean rows are clean -----------------------------------------------------------------------------------


def test_every_clean_row_decodes_and_lies_in_its_file(rows: list[Row], clips: dict[str, Clip]) -> None:
    for row in of_kind(rows, "clean"):
        clip = clips[row.id]
        assert not clip.error
        assert clip.samples.ndim == 1
        assert clip.rate_hz == row.sample_rate_hz
        assert 1.5 <= clip.duration_s <= 6.0


def test_clean_rows_are_unclipped_speech_of_lark_without_long_silences(
    rows: list[Row], clips: dict[str, Clip]
) -> None:
    for row in of_kind(rows, "clean"):
        clip = clips[row.id]
        assert 0.1 < np.abs(clip.samples).max() < 0.9, row.id
        assert max(clip.silent_ends_s) <= 0.5, row.id
        assert 12 <= chars_per_s(row, clip) <= 24, row.id
        assert clip.level_range_db > 20, row.id
        assert 110 < clip.pitch_hz < 150, row.id


def test_no_two_clean_rows_share_text_or_audio(rows: list[Row]) -> None:
    clean = of_kind(rows, "clean")
    assert len({row.text for row in clean}) == len(clean)
    spans: dict[str, list[tuple[float, float]]] = {}
    for row in clean:
        spans.setdefault(row.audio, []).append((row.start_s or 0.0, row.end_s or math.inf))
    for inside in map(sorted, spans.values()):
        assert all(end <= start for (_, end), (start, _) in pairwise(inside))


def test_one_clean_row_has_a_file_name_outside_ascii(rows: list[Row]) -> None:
    assert [row.kind for row in rows if not row.audio.isascii()] == ["clean"]


# --- planted faults are there -------------------------------------------------------------------------------


def test_empty_texts_come_in_every_variant(rows: list[Row]) -> None:
    texts = Counter(row.text for row in of_kind(rows, "empty_text"))
    assert set(texts) == {"", "  ", "\u200b", "...", None}
    assert min(texts.values()) >= 36


def test_copies_and_overlaps_repeat_a_clean_row_above_them(rows: list[Row], clips: dict[str, Clip]) -> None:
    clean = of_kind(rows, "clean")
    for copy in of_kind(rows, "exact_copy"):
        (original,) = [row for row in clean if row.text == copy.text]
        assert original.number < copy.number
        assert np.array_equal(clips[original.id].samples, clips[copy.id].samples)
    for extra in of_kind(rows, "overlap"):
        (original,) = [row for row in clean if row.audio == extra.audio and overlap_share(row, extra) >= 0.5]
        assert original.number < extra.number
        assert plain(original) == plain(extra)
        assert (original.start_s, original.end_s) != (extra.start_s, extra.end_s)
    respelled = [row for row in of_kind(rows, "overlap") if row.text not in {one.text for one in clean}]
    assert len(respelled) == 3


def overlap_share(row: Row, other: Row) -> float:
    """Share of the first row's slice that the other one covers, too."""
    assert row.start_s is not None and row.end_s is not None
    assert other.start_s is not None and other.end_s is not None
    both_s = min(row.end_s, other.end_s) - max(row.start_s, other.start_s)
    return both_s / (row.end_s - row.start_s)


def plain(row: Row) -> str:
    return re.sub(r"[^a-z ]", "", (row.text or "").lower())


def test_wrong_texts_are_those_of_neighbours(rows: list[Row]) -> None:
    blocks: dict[str, list[Row]] = {}
    for row in of_kind(rows, "wrong_text"):
        blocks.setdefault(row.recording_id, []).append(row)
    assert [len(block) for block in blocks.values()] == [3, 3]
    others = {row.text for row in rows if row.kind != "wrong_text"}
    assert all(row.text not in others for block in blocks.values() for row in block)
    for block in blocks.values():
        first, *_, last = sorted(block, key=lambda row: row.start_s or 0.0)
        assert (last.end_s or 0.0) - (first.start_s or 0.0) < 15


FAULTS: dict[str, Callable[[Row, Clip], bool]] = {
    "boilerplate": lambda row, clip: (
        row.text in {"Thanks for watching!", "Please subscribe", "[Music]"} and clip.duration_s > 1
    ),
    "sub_100_ms": lambda row, clip: 0.012 <= clip.duration_s <= 0.095 and bool(row.text),
    "non_speech": lambda row, clip: clip.level_range_db < 6 and 10 < chars_per_s(row, clip) < 25,
    "wrong_sample_rate": lambda row, clip: (
        clip.rate_hz != row.sample_rate_hz or not 8 < chars_per_s(row, clip) < 25
    ),
    "clipped": lambda row, clip: bool(np.mean(np.abs(clip.samples) > 0.999) > 0.01),
    "too_short_for_text": lambda row, clip: chars_per_s(row, clip) > 25,
    "too_long_for_text": lambda row, clip: chars_per_s(row, clip) < 4,
    "wrong_speaker": lambda row, clip: not 110 < clip.pitch_hz < 150 and 10 < chars_per_s(row, clip) < 25,
    "stereo": lambda row, clip: clip.samples.ndim == 2 and clip.samples.shape[1] == 2,
    "non_finite": lambda row, clip: bool(np.isnan(clip.samples).any() and np.isinf(clip.samples).any()),
    "zero_length": lambda row, clip: len(clip.samples) == 0 and not clip.error,
    "missing_file": lambda row, clip: row.audio.startswith("rec_") and not (AUDIO / row.audio).exists(),
    "truncated_file": lambda row, clip: (AUDIO / row.audio).exists() and bool(clip.error),
    "long_silence": lambda row, clip: 3.0 <= max(clip.silent_ends_s) < 4,
    "path_traversal": lambda row, clip: not (AUDIO / row.audio).resolve().is_relative_to(AUDIO),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_the_planted_fault_is_in_every_row_of_its_kind(
    kind: str, rows: list[Row], clips: dict[str, Clip]
) -> None:
    assert [row.id for row in of_kind(rows, kind) if not FAULTS[kind](row, clips[row.id])] == []


def test_every_kind_is_checked_by_some_test() -> None:
    elsewhere = {"clean", "empty_text", "exact_copy", "overlap", "wrong_text"}
    assert set(FAULTS) | elsewhere == set(NUM_ROWS)


# --- consent ------------------------------------------------------------------------------------------------


def test_the_voice_has_a_consent_record_that_names_the_licence_as_it_is() -> None:
    record = json.loads((ROOT / "consent" / "lark.json").read_text(encoding="utf-8"))
    (evidence,) = record["evidence"]
    assert sha256(ROOT / evidence["path"]) == evidence["sha256"]
    assert record["purposes"] == {
        "train": True,
        "clone": True,
        "commercial": True,
        "ads": False,
        "political": False,
    }
    explained = (ROOT / "consent" / "README.md").read_text(encoding="utf-8")
    assert all(f"`{field}`" in explained for field in record)

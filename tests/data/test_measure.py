"""Measures: figures that can be worked out by hand, problems that stay with their clip, the same bytes for any engine."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.factories import audio as sounds
from tests.factories import rows
from voicelathe import digest
from voicelathe.data import tables
from voicelathe.data.measures import cache as measure_cache
from voicelathe.data.measures import measure
from voicelathe.data.measures.cache import MeasureCache
from voicelathe.errors import ManifestError
from voicelathe.parallel import local
from voicelathe.records import ClipMeasure, ManifestRow


def of(samples: np.ndarray, rate_hz: int = 16000) -> ClipMeasure:
    channels = samples if samples.ndim == 2 else samples[:, None]
    return measure.of_samples("c", channels.astype(np.float32), rate_hz, rows.MEASURE)


def test_the_levels_of_a_sine_are_those_of_the_textbook() -> None:
    found = of(sounds.tone(1.0, 200.0, level=0.5))
    assert found.peak_dbfs == pytest.approx(20 * math.log10(0.5), abs=0.01)
    assert found.rms_dbfs == pytest.approx(20 * math.log10(0.5 / math.sqrt(2)), abs=0.01)
    assert (found.duration_s, found.num_samples, found.num_channels) == (1.0, 16000, 1)
    assert found.bandwidth_hz == pytest.approx(200, abs=40)


def test_silence_at_the_edges_is_measured_in_frames_of_20_ms() -> None:
    found = of(np.concatenate([sounds.silence(0.5), sounds.tone(1.0), sounds.silence(0.3)]))
    assert found.leading_silence_s == pytest.approx(0.5, abs=0.02)
    assert found.trailing_silence_s == pytest.approx(0.3, abs=0.02)
    assert found.silence_share == pytest.approx(0.8 / 1.8, abs=0.02)


def test_a_last_frame_that_is_shorter_counts() -> None:
    found = of(np.concatenate([sounds.silence(0.1), sounds.tone(0.105)]))
    assert (found.leading_silence_s, found.trailing_silence_s) == (0.1, 0.0)


def test_digital_silence_has_no_level_and_is_silent_from_both_ends() -> None:
    found = of(sounds.silence(1.0))
    assert (found.peak_dbfs, found.rms_dbfs, found.bandwidth_hz) == (None, None, None)
    assert (found.leading_silence_s, found.trailing_silence_s, found.silence_share) == (1.0, 1.0, 1.0)


def test_samples_at_full_scale_are_counted() -> None:
    samples = sounds.tone(1.0, level=0.3)
    samples[:160] = 1.0
    samples[160:320] = -1.0
    assert of(samples).clipped_share == 0.02
    assert of(sounds.tone(1.0, level=0.98)).clipped_share == 0.0


def test_what_is_no_number_is_counted_and_spoils_no_other_figure() -> None:
    samples = sounds.tone(1.0)
    samples[100:110], samples[200], samples[300] = np.nan, np.inf, -np.inf
    found = of(samples)
    assert found.num_nonfinite == 12
    assert found.rms_dbfs is not None and abs(found.rms_dbfs + 9.03) < 0.1 and found.clipped_share == 0.0


def test_speech_moves_and_a_hum_does_not() -> None:
    spread = [
        of(samples).level_spread_db for samples in (sounds.speech(2.0), sounds.tone(2.0), sounds.noise(2.0))
    ]
    assert spread[0] is not None and spread[0] > 20
    assert spread[1] is not None and spread[1] < 1 and spread[2] is not None and spread[2] < 3
    assert of(sounds.speech(0.3)).level_spread_db is None


def test_upsampled_audio_shows_its_old_bandwidth() -> None:
    narrow = measure.of_samples("c", sounds.noise(1.0, rate_hz=8000)[:, None], 8000, rows.MEASURE)
    from voicelathe.data.audio import waveform

    wide = of(waveform.resample(sounds.noise(1.0, rate_hz=8000), 8000, 16000))
    assert wide.bandwidth_hz is not None and narrow.bandwidth_hz is not None
    assert wide.bandwidth_hz < 4100 < of(sounds.noise(1.0)).bandwidth_hz


def test_channels_are_measured_as_their_mean() -> None:
    left = sounds.tone(1.0, level=0.5)
    found = of(np.stack([left, np.zeros_like(left)], axis=1))
    assert found.num_channels == 2 and found.peak_dbfs == pytest.approx(20 * math.log10(0.25), abs=0.01)


@pytest.mark.parametrize("num", [1, 2, 3, 319, 320, 321, 1023])
def test_the_shortest_clips_are_measured(num: int) -> None:
    assert of(np.full(num, 0.1, np.float32)).num_samples == num


def corpus(root: Path) -> list[ManifestRow]:
    """Four files, three clips in the first, and one clip each that cannot be measured for another reason."""
    files = {
        "a.flac": sounds.write(root / "a.flac", sounds.speech(4.0)),
        "b.wav": sounds.write(root / "b.wav", sounds.noise(1.0), 24000),
        "c.opus": sounds.write(root / "c.opus", sounds.speech(2.0, seed=3)),
        "d.flac": sounds.write(root / "d.flac", sounds.speech(3.0)),
    }
    damaged = files["d.flac"].read_bytes()
    files["d.flac"].write_bytes(damaged[: len(damaged) // 2])
    places = [("a.flac", 0.0, 1.0), ("a.flac", 1.0, 2.5), ("a.flac", 3.0, 9.0), ("b.wav", None, None)]
    places += [("c.opus", 0.5, 1.5), ("d.flac", None, None)]
    found = [
        rows.manifest_row(
            number, audio=name, start_s=start, end_s=end, audio_sha256=digest.of_file(files[name])
        )
        for number, (name, start, end) in enumerate(places, 1)
    ]
    gone = rows.manifest_row(7, audio="../e.wav", audio_sha256=None, audio_problem="outside_root")
    return [*found, gone]


def test_a_problem_stays_with_its_clip(tmp_path: Path) -> None:
    found = {
        one.clip_id: one for one in measure.measure(corpus(tmp_path), tmp_path, rows.MEASURE, rows.SERIAL)
    }
    assert [found[f"c{n:04d}"].problem for n in range(1, 8)] == [
        *(None, None, "bad_slice", None, None, "truncated", "outside_root")
    ]
    assert found["c0002"].duration_s == 1.5 and found["c0004"].file_rate_hz == 24000
    assert found["c0003"].file_rate_hz == 16000 and found["c0003"].duration_s is None


def test_serial_parallel_and_remembered_tables_are_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "CLIPS_AT_ONCE", 4)
    known, cache = corpus(tmp_path), MeasureCache(tmp_path / "cache", 1, rows.MEASURE)
    ways = {
        "serial": (known, rows.SERIAL, None),
        "parallel": (known[::-1], rows.PARALLEL, None),
        "cold": (known, rows.PARALLEL, cache),
        "warm": (known[::-1], rows.SERIAL, cache),
    }
    for name, (some, how, remembered) in ways.items():
        found = measure.measure(some, tmp_path, rows.MEASURE, how, remembered)
        tables.write(tmp_path / name, found, ClipMeasure)
    assert len({(tmp_path / name).read_bytes() for name in ways}) == 1


# --- what was measured before ----------------------------------------------------------------------------------------


def worked(root: Path, some: list[ManifestRow], cache: MeasureCache, monkeypatch: pytest.MonkeyPatch) -> int:
    """Clips that had to be measured."""
    seen: list[int] = []
    really = local.try_each
    monkeypatch.setattr(
        local,
        "try_each",
        lambda work, items, *rest: seen.extend(map(len, items)) or really(work, items, *rest),
    )
    measure.measure(some, root, rows.MEASURE, rows.SERIAL, cache)
    monkeypatch.setattr(local, "try_each", really)
    return sum(seen)


def test_only_what_is_new_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, cache = corpus(tmp_path), MeasureCache(tmp_path / "cache", 1, rows.MEASURE)
    assert worked(tmp_path, known[:4], cache, monkeypatch) == 4
    assert worked(tmp_path, known, cache, monkeypatch) == 2  # and one that ingest refused
    assert worked(tmp_path, known, cache, monkeypatch) == 0


def test_a_measure_is_found_again_by_content_whatever_the_row_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, cache = corpus(tmp_path), MeasureCache(tmp_path / "cache", 1, rows.MEASURE)
    measure.measure(known, tmp_path, rows.MEASURE, rows.SERIAL, cache)
    (tmp_path / "a.flac").rename(tmp_path / "renamed.flac")
    moved = [replace(row, clip_id=f"x{row.line}", audio="renamed.flac", text="other") for row in known[:3]]
    assert worked(tmp_path, moved, cache, monkeypatch) == 0
    (tmp_path / "b.flac").write_bytes((tmp_path / "b.wav").read_bytes())
    lying = replace(known[3], audio="b.flac")  # the same bytes under a name that promises another container
    assert worked(tmp_path, [lying], cache, monkeypatch) == 1
    assert worked(tmp_path, [replace(known[3], start_s=0.25)], cache, monkeypatch) == 1


def test_other_limits_and_another_revision_remember_nothing(tmp_path: Path) -> None:
    other = replace(rows.MEASURE, silence_over_floor_db=6.0)
    caches = [
        MeasureCache(tmp_path, revision, limits)
        for revision, limits in ((1, rows.MEASURE), (2, rows.MEASURE), (1, other))
    ]
    assert len({cache.directory for cache in caches}) == 3


def test_a_damaged_cache_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, cache = corpus(tmp_path), MeasureCache(tmp_path / "cache", 1, rows.MEASURE)
    assert worked(tmp_path, known, cache, monkeypatch) == 6
    (file,) = cache.directory.glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-100])
    assert worked(tmp_path, known, cache, monkeypatch) == 6
    assert worked(tmp_path, known, cache, monkeypatch) == 0


def test_many_small_runs_do_not_leave_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = MeasureCache(tmp_path, 1, rows.MEASURE)
    monkeypatch.setattr(measure_cache, "MAX_FILES", 4)
    some = [rows.manifest_row(number) for number in range(20)]
    for row in some:
        cache.add([row], [rows.measured(clip_id=row.clip_id)])
    assert len(list(cache.directory.glob("*"))) <= 4
    assert {one.clip_id for one in cache.known(some)} == {row.clip_id for row in some}


# --- what would end the run ------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
def test_a_clip_that_fills_its_worker_costs_that_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "WORKER", local.ItemLimits(memory_bytes=96 << 20, silent_s=60.0))
    sounds.write(tmp_path / "long.flac", sounds.noise(150.0, rate_hz=48000), 48000)
    sounds.write(tmp_path / "good.wav", sounds.speech(1.0))
    cuts = {"c0001": (1.0, 2.0), "c0002": (2.0, 140.0), "c0003": (3.0, 4.0), "c0004": (149.0, 150.0)}
    long = [
        rows.manifest_row(number, audio="long.flac", start_s=start, end_s=end, audio_sha256=None)
        for number, (start, end) in enumerate(cuts.values(), 1)
    ]
    good = rows.manifest_row(5, audio="good.wav", audio_sha256=None)
    cache = MeasureCache(tmp_path / "cache", 1, rows.MEASURE)
    found = measure.measure([*long, good], tmp_path, rows.MEASURE, rows.PARALLEL, cache)
    assert [one.problem for one in found] == [None, "over_limit", None, None, None]
    assert found[1].detail == "needs more than 96 MiB"
    assert "c0002" not in {one.clip_id for one in cache.known([*long, good])}  # it is tried again another day


def test_audio_that_changed_since_ingest_stops_the_stage(tmp_path: Path) -> None:
    known = corpus(tmp_path)
    sounds.write(tmp_path / "b.wav", sounds.noise(1.0, seed=9), 24000)
    with pytest.raises(ManifestError, match=r"audio changed since ingest: .*b\.wav"):
        measure.measure(known, tmp_path, rows.MEASURE, rows.SERIAL)


def test_a_file_longer_than_the_limit_is_not_decoded(tmp_path: Path) -> None:
    found = measure.measure(
        corpus(tmp_path)[3:4], tmp_path, replace(rows.MEASURE, max_file_s=0.5), rows.SERIAL
    )
    assert [one.problem for one in found] == ["over_limit"]

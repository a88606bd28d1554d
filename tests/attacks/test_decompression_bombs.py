"""Small files that decode to gigabytes: two hours of stereo silence are 1.4 MB of FLAC and 2.6 GiB of samples."""

import multiprocessing
import resource
from concurrent import futures

import numpy as np
import pytest
import soundfile

from tests.attacks.conftest import Lab
from tests.factories import rows
from voicelathe.data.measures import measure
from voicelathe.records import ClipMeasure

BOMBS = {  # name: container, coding, channels, seconds
    "bomb.flac": ("FLAC", "PCM_16", 2, 7200),
    "bomb.ogg": ("OGG", "VORBIS", 1, 1200),
    "bomb.opus": ("OGG", "OPUS", 1, 1200),
    "bomb.mp3": ("MP3", "MPEG_LAYER_III", 1, 1200),
}


def bomb(lab: Lab, name: str, share: float = 1.0) -> int:
    """Silence of the given length; gives the bytes that it takes."""
    container, coding, channels, seconds = BOMBS[name]
    quiet = np.zeros((48000 * 10, channels), np.float32)
    with soundfile.SoundFile(lab.root / name, "w", 48000, channels, coding, format=container) as file:
        for _ in range(int(seconds * share) // 10):
            file.write(quiet)
    return (lab.root / name).stat().st_size


def measured(lab: Lab, name: str, start_s: float | None = None, end_s: float | None = None) -> ClipMeasure:
    row = rows.manifest_row(1, audio=name, audio_sha256=None, start_s=start_s, end_s=end_s)
    (found,) = measure.measure([row], lab.root, rows.MEASURE, rows.SERIAL)
    return found


def test_a_bomb_is_refused_by_its_size_and_a_clip_of_it_is_read(lab: Lab) -> None:
    assert bomb(lab, "bomb.flac", share=0.05) < 100_000
    assert measured(lab, "bomb.flac").problem == "over_limit"
    assert measured(lab, "bomb.flac", 300.0, 301.0).num_samples == 48000


def check(lab: Lab, name: str) -> None:
    assert bomb(lab, name) < 5_000_000
    assert measured(lab, name).problem == "over_limit"
    assert measured(lab, name, 1000.0, 1001.0).num_samples == 48000
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 512 * 1024


@pytest.mark.campaign
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_of_hours_takes_little_memory(lab: Lab, name: str) -> None:
    """In a process of its own: the peak is that of every child a process ever had."""
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(check, lab, name).result()

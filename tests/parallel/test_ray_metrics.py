"""Metrics on two real Ray nodes of this machine: the measures of one process, and a plug-in that crashes costs the same clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.factories import audio as made
from tests.factories import recognisers
from tests.parallel import cluster_lab
from voicelathe import digest
from voicelathe.config import schema
from voicelathe.data.audio.waveform import mono, read_clip, resample
from voicelathe.errors import ClusterError
from voicelathe.evaluate.metrics import found
from voicelathe.evaluate.scoring import questioning
from voicelathe.evaluate.scoring.questioning import ALONE, Panel, Parts
from voicelathe.parallel import ray_cluster
from voicelathe.records import ClipRef

pytest.importorskip("ray", reason="ray is not installed: pip install 'voicelathe[ray]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
TEXT = "I think the horse should stay across the attic."
FRAIL = """
import os
from voicelathe.records import Figure
class Frail:
    name, languages, needs_real = "frail", None, False
    figures = (Figure("length_s", "s", None, None, "of the clip"),)
    def missing(self): return None
    def measure(self, clips, real):
        if any(clip.text == "die" for clip in clips): os._exit(11)
        return [{"length_s": clip.duration_s} for clip in clips]
    def limits(self, figure, real): return None, max(real)
"""


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def clips(number: int) -> list[ClipRef]:
    """A real sentence, cut shorter and shorter."""
    samples, rate_hz = read_clip(cluster_lab.ROOT / "data/demo/audio", "rec_23.opus", 7.06, 10.05, None)
    samples = resample(mono(samples), rate_hz, 16_000)
    return [
        _clip(f"said-{one:02d}", samples[: len(samples) * (20 + one) // (20 + number)])
        for one in range(number)
    ]


def _clip(name: str, samples: np.ndarray, text: str = TEXT) -> ClipRef:
    path = made.write(Path(f"{name}.wav").absolute(), samples)
    return ClipRef(".", path.name, None, None, digest.of_file(path), text, "en")


def asked(
    engine: schema.Engine, metrics: list[str], questions: list[list[ClipRef]], real: list[ClipRef]
) -> list[Parts]:
    with Panel(metrics, 300.0, recognisers.reference(), engine) as panel:
        return [panel.parts(real, one) for one in questions]


@pytest.mark.parametrize("workers", cluster_lab.WORKERS)
def test_any_number_of_workers_measures_what_one_process_measures(
    lab: cluster_lab.Lab, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """Every built-in metric, recogniser included; a second question finds the models loaded."""
    monkeypatch.setattr(questioning, "CLIPS_A_QUESTION", 3)
    every = clips(9)
    questions, real, metrics = [every[2:9], every[4:5], []], every[:2], list(found.BUILT_IN)
    alone = asked(ALONE, metrics, questions, real)
    assert [[size for size, _ in parts] for parts in alone] == [[3, 3, 1], [1], [0]]
    assert {told.run.status for size, row in alone[0] for told in row} == {"measured"}
    assert asked(cluster_lab.on(lab, workers), metrics, questions, real) == alone


def test_a_metric_that_dies_loses_the_same_clips_and_is_given_up_at_the_same_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Ray of this machine, whose processes find the third party's package."""
    site = tmp_path / "site"
    (site / "frail-1.0.dist-info").mkdir(parents=True)
    (site / "frail.py").write_text(FRAIL)
    (site / "frail-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: frail\nVersion: 1.0\n")
    (site / "frail-1.0.dist-info/entry_points.txt").write_text(f"[{found.GROUP}]\nfrail = frail:Frail\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", f"{site}:{cluster_lab.CODE}")
    monkeypatch.setattr(questioning, "CLIPS_A_QUESTION", 2)
    ray_cluster.close()
    good = clips(8)
    bad = [replace(one, text="die") for one in good]
    questions = [
        [*good[:3], bad[3], *good[4:]],
        [*bad[:2], *good[2:4]],
        [*good[:2], *bad[2:4], *good[4:]],
        good,
    ]
    alone = asked(ALONE, ["frail", "waveform"], questions, [])
    frail = [[row[0].run.status for _, row in parts] for parts in alone]
    assert frail[0] == ["measured", "crashed", "measured", "measured"]
    assert frail[2:] == [["measured", "crashed", "crashed", "crashed"], ["crashed"] * 4], (
        "given up after the third"
    )
    assert "not asked again" in alone[3][0][1][0].run.detail
    assert {row[1].run.status for parts in alone for _, row in parts} == {"measured"}
    try:
        assert asked(schema.Engine("ray", 2, None), ["frail", "waveform"], questions, []) == alone
    finally:
        ray_cluster.close()


def test_a_recogniser_that_nodes_see_otherwise_stops_before_anything_is_heard(
    lab: cluster_lab.Lab, tmp_path: Path
) -> None:
    folder = recognisers.copy(tmp_path / "whisper")
    other = folder / "config.json"
    other.unlink()
    other.symlink_to("/proc/self/stat")
    ref = replace(recognisers.reference(), directory=str(folder))
    with (
        pytest.raises(ClusterError, match=r"2 of 2 nodes .* nothing was begun"),
        Panel(["recogniser"], 60.0, ref, cluster_lab.on(lab)) as panel,
    ):
        panel.ask([], clips(1))

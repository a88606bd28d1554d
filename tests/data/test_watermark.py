"""A watermark comes from somebody else's package; what it returns is not believed until the mark was read back."""

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories import watermarks
from voicelathe import digest
from voicelathe.data import consent, watermark
from voicelathe.errors import WatermarkError

SOUND = (9000 * np.sin(np.arange(8000) / 7)).astype(np.int16)
CONSENT = Path(__file__).parents[2] / "consent"
DAY = datetime.date(2026, 11, 28)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = watermarks.install(tmp_path / "site")
    watermarks.on_path(monkeypatch, found)
    return found


def test_a_plug_in_is_found_by_its_entry_point_and_its_mark_read_back(site: Path) -> None:
    marker = watermark.load("bits")
    made = marker.marked(SOUND, 16_000, b"\x01\x07")
    assert made.dtype == np.int16 and made.shape == SOUND.shape and np.abs(made - SOUND).max() == 1
    assert set(watermarks.read(made)) == {b"\x01\x07"} and watermarks.read(SOUND) == []


@pytest.mark.parametrize(
    "name, message",
    [
        (
            "forgetful",
            r"could not be read back from 0\.50 s of speech \(put in b'\\x01\\x07', found nothing\)",
        ),
        ("wrong", "found b'zz'"),
        ("shorter", r"gave back int16 \(7999,\), not int16 \(8000,\)"),
        ("floating", r"gave back float32 \(8000,\)"),
        ("silent", "gave back NoneType"),
        ("broken", r"its mark failed \(ZeroDivisionError: by zero\); nothing is given out"),
        ("deaf", r"its found failed \(OSError: no model\)"),
        ("inplace", r"its mark failed \(ValueError"),
    ],
)
def test_whatever_a_plug_in_does_wrong_nothing_comes_back(site: Path, name: str, message: str) -> None:
    marker = watermark.load(name)
    before = SOUND.copy()
    with pytest.raises(WatermarkError, match=message):
        marker.marked(SOUND, 16_000, b"\x01\x07")
    assert (before == SOUND).all()


def test_a_sound_too_short_for_the_mark_is_refused(site: Path) -> None:
    with pytest.raises(WatermarkError, match="Try a longer text"):
        watermark.load("bits").marked(SOUND[:20], 16_000, b"\x01\x07")


def test_what_cannot_be_used_is_said_when_it_is_loaded(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, message in (
        ("missing", r"no installed package offers it\. There are: bits, broken"),
        ("two", r"odd_marks:Two cannot be loaded \(TypeError"),
        ("half", "odd_marks:Half has no found"),
    ):
        with pytest.raises(WatermarkError, match=message):
            watermark.load(name)
    watermarks.on_path(monkeypatch, watermarks.install(tmp_path / "other", "odd_marks_too"))
    with pytest.raises(WatermarkError, match="Two watermarks are called 'bits'"):
        watermark.load("bits")


def problems(tmp_path: Path, required: bool, name: str | None, purpose: str = "clone") -> str:
    record = replace(consent.load("awb", CONSENT), watermark_required=required)
    digest.write_json(tmp_path / "consent/awb.json", record.__dict__ | {"evidence": EVIDENCE})
    return "\n".join(consent.problems("awb", purpose, DAY, ["en"], tmp_path / "consent", watermark=name))


EVIDENCE: list[Any] = [{"type": "licence", "sha256": "0123456789abcdef" * 4}]


def test_a_record_that_demands_a_mark_is_honoured_only_where_a_plug_in_makes_it(
    site: Path, tmp_path: Path
) -> None:
    without = problems(tmp_path, True, None)
    assert "watermark_required cannot be honoured: no model family here writes a watermark" in without
    assert "Install a package that offers one (entry points voicelathe.watermarks) and name it" in without
    elsewhere = problems(tmp_path, True, "absent")
    assert "watermark_required cannot be honoured: consent.watermark = 'absent': no installed" in elsewhere
    assert problems(tmp_path, True, "bits") == problems(tmp_path, False, "bits") == ""
    assert problems(tmp_path, False, None) == problems(tmp_path, True, None, "train") == ""
    assert "consent.watermark = 'absent'" in problems(tmp_path, False, "absent"), (
        "it would be given out unmarked"
    )

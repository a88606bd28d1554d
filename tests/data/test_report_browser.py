"""The audit's report in a real browser without a network: examples can be played by keyboard, and the quarantine saved."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.factories import rows
from voicelathe import digest, records
from voicelathe.data.audio import opus, waveform
from voicelathe.data.audit import clean, players, report
from voicelathe.records import ClipMeasure, Heard, ManifestRow

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--mute-audio"]
needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="no Chromium here (Debian: apt-get install chromium)"
)
PLAYED_S = "new Promise(done => document.activeElement.addEventListener('ended', event => done(event.target.currentTime)))"
EVIL = "</code><script>document.title='broken'</script>"


def audited(root: Path, num: int = 25) -> clean.AuditResult:
    """Clips without a text, of which the last lost its file and the one before has samples that are no numbers."""
    known: list[ManifestRow] = []
    measures: list[ClipMeasure] = []
    draw = np.random.default_rng(1)
    for number in range(1, num + 1):
        sound = (0.1 * draw.standard_normal(16_000)).astype(np.float32)
        path = root / "audio" / f"rec_{number:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        waveform.write_wav(path, sound, 16_000)
        known.append(
            rows.manifest_row(number, text="", audio_sha256=digest.of_file(path), user_id=f"{EVIL}{number}")
        )
        measures.append(rows.measured(number, duration_s=1.0))
    (root / "audio" / "rec_02.wav").unlink()
    heard = [Heard(row.clip_id, 0.6, None, None, None, None, None) for row in known]
    return clean.audit(known, [], measures, rows.AUDIT, rows.PHRASES, heard)


def made(root: Path) -> tuple[dict[str, bytes], str]:
    found = audited(root)
    sounds = players.sounds(report.examples(found).values(), root / "audio")
    return sounds, report.render(found, sounds)


def test_twenty_examples_of_a_rule_can_be_heard_but_for_those_without_a_file(tmp_path: Path) -> None:
    sounds, page = made(tmp_path)
    assert sorted(sounds) == [f"c{number:04d}" for number in range(1, 21) if number != 2]
    assert page.count("<audio ") == 19 and page.count("not playable") == 1
    assert 'aria-label="Line 1, empty_text"' in page
    assert made(tmp_path)[1] == page, "the same bytes each time"


def test_sounds_are_bounded_in_length_and_in_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waveform.write_wav(tmp_path / "rec_01.wav", np.zeros(16_000 * 40, np.float32) + 0.1, 16_000)
    sha256 = digest.of_file(tmp_path / "rec_01.wav")
    clips = [
        rows.clip(number, {"audio": "rec_01.wav", "audio_sha256": sha256}, duration_s=40.0)
        for number in (1, 2)
    ]
    sounds = players.sounds(clips, tmp_path)
    assert len(sounds) == 2 and all(len(one) < players.MAX_S * 6_000 for one in sounds.values())
    monkeypatch.setattr(players, "MAX_BYTES", len(sounds["c0001"]))
    assert list(players.sounds(clips, tmp_path)) == ["c0001"]
    assert players.sounds([rows.clip(1, duration_s=None)], tmp_path) == {}


def test_samples_that_are_no_numbers_become_silence() -> None:
    sound = np.full(8_000, np.nan, np.float32)
    assert opus.encode(sound, 8_000, 1) == opus.encode(np.zeros(8_000, np.float32), 8_000, 1)


def test_a_quarantine_that_is_too_large_is_left_in_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = audited(tmp_path, 3)
    assert "Download quarantine.jsonl" in report.render(found)
    monkeypatch.setattr(report, "MAX_DOWNLOAD_BYTES", 100)
    page = report.render(found)
    assert "download=" not in page and "too much for this page" in page


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """The report, opened; it must stay without errors and without requests."""
    from playwright.sync_api import sync_playwright

    (tmp_path / "report.html").write_text(made(tmp_path)[1])
    wrong: list[str] = []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        one = opened.new_context(offline=True).new_page()
        one.on("pageerror", lambda error: wrong.append(str(error)))
        one.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        one.on(
            "request",
            lambda asked: wrong.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None,
        )
        one.set_default_timeout(8000)
        one.goto((tmp_path / "report.html").as_uri())
        yield one
        assert wrong == [] and one.title() == "Data audit"
        opened.close()


@pytest.mark.browser
@needs_chromium
def test_examples_are_opened_and_played_by_keyboard_and_have_names(page: Any) -> None:
    page.locator("details#empty_text summary").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # the table, which can be scrolled
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "AUDIO"
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Line 1, empty_text"
    page.keyboard.press("Space")
    assert page.evaluate(PLAYED_S) == pytest.approx(1.0, abs=0.1)


@pytest.mark.browser
@needs_chromium
def test_the_quarantine_is_saved_as_its_file_has_it(page: Any, tmp_path: Path) -> None:
    with page.expect_download() as saving:
        page.get_by_role("link", name="Download quarantine.jsonl").press("Enter")
    lines = Path(saving.value.path()).read_text().splitlines()
    assert [json.loads(one)["line"] for one in lines] == list(range(1, 26))
    records.write(tmp_path / "quarantine.jsonl", audited(tmp_path).quarantine)
    assert saving.value.suggested_filename == "quarantine.jsonl"
    assert Path(saving.value.path()).read_bytes() == (tmp_path / "quarantine.jsonl").read_bytes()


def test_rows_over_the_limit_are_offered_a_cut_and_only_they(tmp_path: Path) -> None:
    assert "voicelathe cut long" not in report.render(audited(tmp_path, 3))
    known = [rows.manifest_row(number) for number in (1, 2, 3)]
    measures = [rows.measured(number, duration_s=40.0 if number == 2 else 2.0) for number in (1, 2, 3)]
    page = report.render(clean.audit(known, [], measures, rows.AUDIT, rows.PHRASES, []))
    assert '<details id="too_long">' in page and "voicelathe cut long --name NAME" in page

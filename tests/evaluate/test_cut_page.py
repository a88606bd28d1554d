"""The page of proposed clips in a real browser: offline, by keyboard alone, and its file is what `voicelathe cut apply` reads."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.test_browser import CHROMIUM, EVIL, FLAGS, tab_to, until
from tests.factories import cuts
from voicelathe.data.cutting import decisions
from voicelathe.errors import ManifestError
from voicelathe.evaluate.listening import cut_page
from voicelathe.records import CutDecisions, Proposal

needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists(), reason="no Chromium here (Debian: apt-get install chromium)"
)


def test_the_page_holds_every_clip_once_and_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    proposal = cuts.proposal(tmp_path, text=EVIL)
    (page,) = cut_page.render(proposal, tmp_path)
    assert [page] == list(cut_page.render(proposal, tmp_path))
    assert page.count('<script type="text/plain" id="audio-') == 3 and "<img src=x" not in page
    assert "http" not in page.replace("http-equiv", ""), "nothing is fetched"


def test_another_recording_than_the_one_that_was_cut_is_refused(tmp_path: Path) -> None:
    proposal = cuts.proposal(tmp_path)
    (tmp_path / "rec.wav").write_bytes((tmp_path / "rec.wav").read_bytes()[:-2])
    with pytest.raises(ManifestError, match=r"rec\.wav"):
        list(cut_page.render(proposal, tmp_path))


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Any]:
    """A page without a network that must stay without errors and without requests."""
    from playwright.sync_api import sync_playwright

    wrong: list[str] = []
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--mute-audio"])
        one = opened.new_context(viewport={"width": 1000, "height": 900}, offline=True).new_page()
        one.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        one.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        one.on(
            "request",
            lambda asked: (
                wrong.append(asked.url) if not asked.url.startswith(("file:", "blob:", "data:")) else None
            ),
        )
        one.set_default_timeout(8000)
        yield one
        assert wrong == []
        opened.close()


def shown(page: Any, root: Path, text: str = "The first text.") -> Proposal:
    proposal = cuts.proposal(root, text)
    (html,) = cut_page.render(proposal, root)
    (root / "cut.html").write_text(html, encoding="utf-8")
    page.goto((root / "cut.html").as_uri())
    until(page, lambda: drawn(page) > 0)
    return proposal


def drawn(page: Any) -> int:
    """Columns of the picture that hold a waveform taller than a line: the audio was decoded."""
    return int(
        page.evaluate(
            """() => { const one = document.getElementById("picture"); if (!one.width) return 0;
            const row = one.getContext("2d").getImageData(0, Math.round(one.height * .3), one.width, 1).data, first = row.slice(0, 4).join();
            let found = 0; for (let i = 0; i < row.length; i += 4) found += row.slice(i, i + 4).join() !== first; return found; }"""
        )
    )


def saved(page: Any, root: Path, proposal: Proposal) -> CutDecisions:
    with page.expect_download() as download:
        page.keyboard.press("Enter") if page.evaluate(
            "document.activeElement.id"
        ) == "export" else page.click("#export")
    path = root / download.value.suggested_filename
    download.value.save_as(path)
    return decisions.read(path, proposal)


@pytest.mark.browser
@needs_chromium
def test_clips_are_played_moved_accepted_and_rejected_by_keyboard_alone(page: Any, tmp_path: Path) -> None:
    proposal = shown(page, tmp_path)
    assert page.inner_text("#counts") == "2 accepted, 0 rejected, 1 wait."
    page.keyboard.press("Space")
    assert page.inner_text("#play") == "Stop"
    until(page, lambda: page.inner_text("#play") == "Play")  # it stops at its end by itself
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowRight")
    assert page.input_value("#start") == "0.45" and page.input_value("#end") == "1.51"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("r")
    assert "rec_0003" in page.inner_text("#title"), "a decision goes on to the next clip"
    assert "text_differs" in page.inner_text("#flags") and "what was heard" in page.inner_text("#heard")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("n")
    assert "rec_0003" in page.inner_text("#title") and page.inner_text("#state") == "waits"
    tab_to(page, "#text")
    page.keyboard.press("Control+A")
    page.keyboard.type("What was réally said: a, r, n \U0001f600")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    assert page.inner_text("#counts") == "2 accepted, 1 rejected, 0 wait."
    tab_to(page, "#export")
    found = saved(page, tmp_path, proposal)
    done = decisions.apply(proposal, [found])
    assert [(row["id"], row["start_s"], row["end_s"], row["text"]) for row in done.rows] == [
        ("rec_0001", 0.45, 1.51, "The first text."),
        ("rec_0003", 3.5, 4.5, "What was réally said: a, r, n \U0001f600"),
    ]
    assert (done.moved, done.reworded, done.rejected) == (1, 1, 1)


@pytest.mark.browser
@needs_chromium
def test_edges_stay_within_the_sound_and_never_meet(page: Any, tmp_path: Path) -> None:
    proposal = shown(page, tmp_path)
    for name, value in (("start", "-7"), ("end", "99"), ("start", "1.999")):
        page.fill(f"#{name}", value)
        page.keyboard.press("Enter")
    assert (page.input_value("#start"), page.input_value("#end")) == ("1.90", "2.00")
    (first, *_) = saved(page, tmp_path, proposal).decisions
    assert (first.start_ms, first.end_ms) == (1900, 2000)
    page.click("#reset")
    assert page.input_value("#start") == "0.50"


@pytest.mark.browser
@needs_chromium
def test_what_was_decided_is_there_again_after_a_reload_and_texts_stay_text(
    page: Any, tmp_path: Path
) -> None:
    proposal = shown(page, tmp_path, EVIL)
    assert page.input_value("#text") == EVIL and page.title() == "Proposed clips: talk"
    page.keyboard.press("r")
    page.reload()
    until(page, lambda: page.inner_text("#counts") == "1 accepted, 1 rejected, 1 wait.")
    page.click("#copy")
    (tmp_path / "text.json").write_text(page.input_value("#export-text"), encoding="utf-8")
    assert decisions.read(tmp_path / "text.json", proposal).decisions[0].decision == "reject"


@pytest.mark.browser
@needs_chromium
def test_every_control_has_a_name(page: Any, tmp_path: Path) -> None:
    shown(page, tmp_path)
    unnamed = """() => [...document.querySelectorAll("input, select, textarea, button")].filter((one) => !(one.textContent.trim()
      || one.getAttribute("aria-label") || (one.labels && one.labels.length))).map((one) => one.outerHTML)"""
    assert page.evaluate(unnamed) == []

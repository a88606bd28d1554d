"""Both pages in a real browser: offline, by keyboard alone, in a sandboxed frame, with nothing to trust in the transcripts."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.evaluate import test_comparing
from tests.factories import evaluations as make
from voicelathe import digest
from voicelathe.evaluate import selection
from voicelathe.evaluate.compare import page as comparison_page
from voicelathe.evaluate.listening import design, preferences, sound, verdicts
from voicelathe.evaluate.listening import page as listening
from voicelathe.evaluate.report import page as report
from voicelathe.records import HELD_OUT, REAL, Opinion, SampleRecord, Verdict

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium here (Debian: apt-get install chromium)"),
]
KNOWN = make.candidates(10, 20)
EVIL = "<img src=x onerror=\"document.title='broken'\"><b>bold</b> & \u2028 </script>"
LINES = {"carrier": "The lamp is on.", "evil": EVIL}
NAMES = re.compile(r"step[_ ]\d|\bbase\b(?! model)")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page without a network that must stay without errors and without requests."""
    context = chromium.new_context(viewport={"width": 1100, "height": 900}, offline=True)
    one = context.new_page()
    wrong: list[str] = []
    one.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    one.on(
        "console",
        lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None,
    )
    one.on(
        "request",
        lambda request: (
            wrong.append(request.url) if not request.url.startswith(("file:", "blob:", "data:")) else None
        ),
    )
    one.on("dialog", lambda dialog: wrong.append(dialog.message))
    one.set_default_timeout(8000)
    yield one
    assert wrong == []
    context.close()


def project(
    root: Path, seconds: float = 0.3, lines: dict[str, str] = LINES, **how: Any
) -> tuple[Path, list[SampleRecord]]:
    """A project with its listening page; gives the page and the samples."""
    spoken = make.samples(KNOWN, lines, root=root, seconds=seconds, **how)
    rows = make.paired_losses(
        {one: {"diff": 0.8, "stop": 0.1} for one in KNOWN}, num_recordings=2, clips_each=2
    )
    folder = make.write_run(root, KNOWN, rows, spoken)
    tone = sound.DecodedSample(np.sin(np.arange(int(22_050 * seconds)) * 0.1).astype(np.float32), 22_050)
    real = {line: tone for line, _ in design.recorded(spoken)}
    html = listening.render(make.RECIPE, make.run(), spoken, root, base_trained=True, real=real)
    digest.write_text(folder / "listening.html", html)
    return folder / "listening.html", spoken


def is_as_wide_as_a_phone(page: Any) -> bool:
    """Nothing is right of the edge of 390 px but what scrolls in a box of its own."""
    page.set_viewport_size({"width": 390, "height": 844})
    return bool(page.evaluate("document.documentElement.scrollWidth <= 390"))


def visible(page: Any) -> str:
    return str(page.evaluate("document.body.innerText"))


def until(page: Any, is_so: Callable[[], bool], seconds: float = 40.0) -> None:
    """Wait without the growing pauses of Playwright's own assertions, and without eval, which the page's policy forbids."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        page.wait_for_timeout(15)


def hear(page: Any, number: int) -> None:
    """Play a sample by its key until it counts as heard."""
    page.keyboard.press(str(number))
    state = page.locator(".heard span").nth(number - 1)
    until(page, lambda: state.text_content() == "heard")


def hear_all(page: Any) -> None:
    for number in range(1, page.locator(".card").count() + 1):
        hear(page, number)
    page.keyboard.press("Escape")


def tab_to(page: Any, selector: str) -> None:
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with the Tab key")


def finished_file(page: Any, folder: Path) -> Path:
    with page.expect_download() as download:
        page.keyboard.press("Enter") if page.evaluate(
            "document.activeElement.id"
        ) == "export" else page.click("#export")
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def stored(path: Path, root: Path) -> Verdict:
    verdicts.import_file(path, make.RECIPE, root)
    verdict = verdicts.load(make.RECIPE, root)
    assert verdict is not None
    return verdict


def start(page: Any, html: Path, mode: str = "rate", name: str = "Anna") -> None:
    page.goto(html.as_uri())
    page.fill("#listener", name)
    page.check(f"input[value={mode}]")
    page.click("#begin")


def test_the_whole_sitting_works_by_keyboard_alone_and_its_file_is_accepted(
    page: Any, tmp_path: Path
) -> None:
    html, _ = project(tmp_path)
    page.goto(html.as_uri())
    tab_to(page, "#listener")
    page.keyboard.type("Anna Ö. \U0001f3a7")
    tab_to(page, "input[name=mode]")
    tab_to(page, "#begin")
    page.keyboard.press("Enter")
    while page.is_visible("#trial"):
        assert not NAMES.search(visible(page)), "no name before the reveal"
        hear_all(page)
        for number in range(1, page.locator(".card").count() + 1):
            page.keyboard.press(str(number))  # its slider has the focus now
            for _ in range(number):
                page.keyboard.press("ArrowRight")
        tab_to(page, "#note")
        page.keyboard.type("clear \u00e9 \U0001f600")
        tab_to(page, "#next")
        page.keyboard.press("Enter")
    assert NAMES.search(visible(page)) and "step 20" in visible(page)
    tab_to(page, "#export")
    verdict = stored(finished_file(page, tmp_path), tmp_path)
    (sitting,) = verdict.sittings
    assert (
        sitting.listener == "Anna Ö. \U0001f3a7" and sitting.judgements[0].note == "clear \u00e9 \U0001f600"
    )
    assert [one.score for one in sitting.judgements[0].opinions] == [51, 52, 53]


@pytest.mark.parametrize(("mode", "scores"), [("rank", [2, 0, 0]), ("pair", [0, 1])])
def test_ranking_and_a_or_b_come_to_a_file_that_is_accepted(
    page: Any, tmp_path: Path, mode: str, scores: list[int]
) -> None:
    html, _ = project(tmp_path, 0.2, {"carrier": LINES["carrier"]})
    start(page, html, mode)
    while page.is_visible("#trial"):
        hear_all(page)
        if mode == "pair":
            page.check("#choices label:has-text('2 is better') input")
        else:
            for number in range(page.locator(".card").count()):
                page.locator(".vote select").nth(number).select_option("1" if number == 0 else "2")
        page.locator(".more").first.click()
        page.check("input[aria-label='Sample 1: noise or artefacts']")
        page.click("#next")
    (sitting,) = stored(finished_file(page, tmp_path), tmp_path).sittings
    assert [one.score for one in sitting.judgements[0].opinions] == scores
    assert sitting.judgements[0].opinions[0].defects == ["noise"]


def test_nothing_can_be_judged_before_it_was_heard(page: Any, tmp_path: Path) -> None:
    html, _ = project(tmp_path, 3.0)
    start(page, html)
    sliders, following = page.locator(".vote input"), page.locator("#next")
    until(page, lambda: page.locator("#missing").inner_text() == "Still to be heard: 1, 2, 3")
    assert [slider.is_enabled() for slider in sliders.all()] == [False] * 3 and following.is_disabled()
    hear(page, 1)
    assert [slider.is_enabled() for slider in sliders.all()] == [
        True,
        False,
        False,
    ] and following.is_disabled()
    page.keyboard.press("2")
    page.locator("#picture").click(position={"x": 800, "y": 50})
    page.wait_for_timeout(100)
    page.keyboard.press("Escape")
    assert page.locator(".heard span").nth(1).text_content() == "listen first", (
        "a jump to the end is not hearing"
    )


def test_the_time_that_is_left_follows_the_listener(page: Any, tmp_path: Path) -> None:
    def judge(minute: float) -> str:
        """Hear and rate a screen until then; what the next one says."""
        hear_all(page)
        for slider in page.locator(".vote input").all():
            slider.press("ArrowRight")
        page.clock.set_fixed_time(60 * minute)
        before = page.text_content("#trial-title")
        page.click("#next")
        until(page, lambda: page.text_content("#trial-title") != before)
        return str(page.text_content("#left"))

    html, _ = project(tmp_path, 0.2, {f"line-{number}": f"This is line {number}." for number in range(5)})
    page.clock.set_fixed_time(0)
    start(page, html)
    screens = int(str(page.text_content("#trial-title")).split()[-1])
    assert screens >= 5 and page.text_content("#left") == "at least 1 minute"
    assert judge(2) == f"about {2 * (screens - 1)} minutes left", "two minutes for the first"
    assert judge(182) == f"about {round(3.5 * (screens - 2))} minutes left", "a break is five minutes"
    page.click("#back")
    assert page.text_content("#left") == f"about {2 * (screens - 1)} minutes left", "it is open again"
    page.reload()
    page.click("#resume")
    assert page.text_content("#left") == f"about {2 * (screens - 1)} minutes left", "and is remembered"


def test_the_waveform_fills_its_height_and_nothing_is_cut_off(page: Any, tmp_path: Path) -> None:
    from voicelathe.data.audio import waveform

    swelling = np.linspace(0, 1, 16_000) * np.sin(np.arange(16_000) * 0.3)
    waveform.write_wav(tmp_path / "swelling.wav", swelling.astype(np.float32), 16_000)
    sha256 = digest.of_file(tmp_path / "swelling.wav")
    spoken = [
        make.replace(one, path="swelling.wav", sha256=sha256, duration_s=1.0)
        for one in make.samples(KNOWN, {"carrier": LINES["carrier"]})
    ]
    html = listening.render(make.RECIPE, make.run(), spoken, tmp_path, base_trained=True)
    (tmp_path / "swelling.html").write_text(html)
    start(page, tmp_path / "swelling.html")
    page.wait_for_selector("#clock:not(:empty)")
    columns = """shares => {
        const picture = document.querySelector("#picture"), width = picture.width;
        const pixels = picture.getContext("2d").getImageData(0, 0, width, picture.height).data;
        const colour = (x, y) => pixels.slice(4 * (y * width + x), 4 * (y * width + x) + 4).join();
        const drawn = y => [...Array(width).keys()].filter(x => colour(x, y) !== colour(20, 0)).length / width;
        return shares.map(share => drawn(Math.round(share * picture.height)));
    }"""
    loudest, half = page.evaluate(columns, [0.0, 0.1])
    assert 0 < loudest < 0.1, "only the loudest moments reach the top"
    assert half == pytest.approx(0.5, abs=0.1), "half as loud, half as high"


def test_switching_keeps_the_moment(page: Any, tmp_path: Path) -> None:
    def clock() -> float:
        return float((page.locator("#clock").text_content() or "0").split()[0])

    html, _ = project(tmp_path, 4.0)
    start(page, html)
    page.keyboard.press("1")
    until(page, lambda: clock() >= 0.8)
    page.keyboard.press("2")
    assert clock() >= 0.8 and page.locator(".card.active .play").inner_text().endswith("2")
    page.locator("#trial-title").focus()
    page.keyboard.press(" ")
    paused = clock()
    assert page.locator("#play").inner_text() == "Play"
    page.keyboard.press("ArrowLeft")
    assert clock() == pytest.approx(paused - 0.5, abs=0.11)
    page.keyboard.press("ArrowDown")
    assert page.locator(".card.active .play").inner_text().endswith("3")
    assert clock() == pytest.approx(paused - 0.5, abs=0.11)


def test_transcripts_stay_text(page: Any, tmp_path: Path) -> None:
    html, _ = project(tmp_path, 0.2, {"a": EVIL, "b": EVIL})
    start(page, html)
    assert page.locator("#text").text_content() == EVIL
    assert page.locator("#text *").count() == 0 and page.title() == "Blind listening: mini-lora"


def test_progress_is_kept_and_taken_up_again(page: Any, tmp_path: Path) -> None:
    html, _ = project(tmp_path, 0.2)
    start(page, html)
    hear_all(page)
    for number in range(3):
        page.locator(".vote input").nth(number).fill(str(10 * number))
    page.click("#next")
    page.reload()
    page.click("#resume")
    assert page.locator("#trial-title").inner_text() == "Screen 2 of 3"
    page.click("#back")
    assert [slider.input_value() for slider in page.locator(".vote input").all()] == ["0", "10", "20"]
    assert page.locator("#next").is_enabled()


def test_another_listener_meets_the_samples_in_another_order(page: Any, tmp_path: Path) -> None:
    html, _ = project(tmp_path, 0.1)
    first = set()
    for name in ("Anna", "Ben", "Cleo", "Dora", "Emil"):
        start(page, html, name=name)
        hear(page, 1)
        page.keyboard.press("Escape")
        (kept,) = json.loads(page.evaluate("localStorage.getItem(Object.keys(localStorage)[0])"))[
            "answers"
        ].values()
        first |= set(kept["heard"])
        page.evaluate("localStorage.clear()")
    assert len(first) > 1, "label 1 was the same sample for all five"


def test_a_sandboxed_frame_without_storage_and_downloads_still_comes_to_a_verdict(
    page: Any, tmp_path: Path
) -> None:
    html, _ = project(tmp_path, 0.2)
    outside = '<iframe sandbox="allow-scripts" style="width:1000px;height:850px"></iframe>'
    page.goto("about:blank")
    page.set_content(outside)
    page.evaluate(
        "(text) => { document.querySelector('iframe').src = URL.createObjectURL(new Blob([text], {type: 'text/html'})); }",
        html.read_text(encoding="utf-8"),
    )
    inside = page.frame_locator("iframe")
    inside.locator("#listener").fill("Anna")
    assert "nothing can be remembered" in inside.locator("#keeping").inner_text()
    inside.locator("#begin").click()
    while inside.locator("#trial").is_visible():
        for number in range(inside.locator(".card").count()):
            inside.locator(".play").nth(number).click()
            state = inside.locator(".heard span").nth(number)
            until(page, lambda state=state: state.text_content() == "heard")  # type: ignore[misc]
            inside.locator(".vote input").nth(number).fill("70")
        inside.locator("#next").click()
    inside.locator("#copy").click()
    (tmp_path / "copied.json").write_text(inside.locator("#export-text").input_value(), encoding="utf-8")
    assert stored(tmp_path / "copied.json", tmp_path).sittings[0].listener == "Anna"


@pytest.mark.parametrize("mode", ["rate", "rank", "pair"])
def test_a_hidden_real_recording_is_judged_like_everyone_revealed_at_the_end_and_counted_apart(
    page: Any, tmp_path: Path, mode: str
) -> None:
    said = {HELD_OUT + "one": "The speaker said this.", HELD_OUT + "two": "And this."}
    html, _ = project(tmp_path, 0.2, said)
    start(page, html, mode)
    while page.is_visible("#trial"):
        assert "real" not in page.locator("#trial").inner_text().lower(), "nothing tells which one it is"
        until(page, lambda: page.locator("#missing").inner_text().startswith("Still to be heard: 1, 2"))
        cards = page.locator(".card").count()
        hear_all(page)
        if mode == "pair":
            page.check("#choices label:has-text('1 is better') input")
        for number in range(0 if mode == "pair" else cards):
            if mode == "rate":
                page.locator(".vote input").nth(number).fill(str(90 - 10 * number))
            else:
                page.locator(".vote select").nth(number).select_option(str(number + 1))
        page.click("#next")
    (sitting,) = stored(finished_file(page, tmp_path), tmp_path).sittings
    judged = [one for one in sitting.judgements if one.repeats is None]
    scores = [two.score for one in judged for two in one.opinions if two.candidate == REAL]
    assert {one.line_id for one in judged if any(two.candidate == REAL for two in one.opinions)} == set(said)
    assert page.locator("#labels tbody tr", has_text="real recording").count() >= len(scores) > 0
    found = preferences.summarise(
        make.verdict(sitting), [one.name for one in KNOWN], KNOWN[1].name, "base", 7
    )
    row = page.locator("#summary tbody tr", has_text="real recording").locator("td").all_inner_texts()
    assert row[1] == "\u2013" and row[3] == "0 / 0 / 0", "it wins against nobody"
    if mode != "rank":
        shown = f"{found.anchors[0].real:.{0 if mode == 'rate' else 1}f}"
        assert row[2] == shown
        shared = [one for one in judged if len([two for two in one.opinions if two.candidate != REAL]) > 1]
        for row in page.locator("#summary tbody tr").all():
            label, _, mean = row.locator("td").all_inner_texts()[:3]
            name = next((one.name for one in KNOWN if one.step and label == f"step {one.step}"), None)
            mine = [two.score for one in shared for two in one.opinions if two.candidate == name]
            if mine:
                assert float(mean) == pytest.approx(
                    sum(mine) / len(mine), abs=0.51 if mode == "rate" else 0.051
                )
    met = [pair.split(" / ") for pair in page.locator("#summary tbody tr td:nth-child(4)").all_inner_texts()]
    pairs = [len([two for two in one.opinions if two.candidate != REAL]) for one in judged]
    assert sum(int(number) for one in met for number in one) == sum(number * (number - 1) for number in pairs)
    if found.repeated_pairs:
        assert f" of {found.repeated_pairs} hidden repeats" in page.locator("#finding").inner_text()


def test_every_control_has_a_name_and_failed_generations_are_shown_at_the_end(
    page: Any, tmp_path: Path
) -> None:
    html, _ = project(tmp_path, 0.2, problems={(KNOWN[2].name, "carrier"): "silent"})
    page.goto(html.as_uri())
    assert page.locator("#failures").inner_text().startswith("1 of 6 samples could not be generated.")
    start(page, html)
    unnamed = """() => [...document.querySelectorAll("input, select, textarea, button")].filter((one) => !(one.textContent.trim()
      || one.getAttribute("aria-label") || (one.labels && one.labels.length))).map((one) => one.outerHTML)"""
    assert page.evaluate(unnamed) == []
    while page.is_visible("#trial"):
        hear_all(page)
        for number in range(page.locator(".card").count()):
            page.locator(".vote input").nth(number).fill("50")
        page.click("#next")
    row = page.locator("#summary tbody tr", has_text="step 20")
    assert row.locator("td").last.inner_text() == "1"
    assert (
        page.locator("#labels tbody tr", has_text="dB").count()
        == 3 + 2 + page.locator("#labels tbody tr", has_text="(repeat)").count()
    )


def test_recordings_are_not_counted_among_the_samples_that_should_have_been_generated(
    page: Any, tmp_path: Path
) -> None:
    lines = {"carrier": LINES["carrier"], HELD_OUT + "clip": "The speaker said this."}
    html, _ = project(tmp_path, 0.2, lines, problems={(KNOWN[2].name, "carrier"): "silent"})
    page.goto(html.as_uri())
    assert page.locator("#failures").inner_text().startswith("1 of 6 samples could not be generated.")


def test_opus_pages_play_as_well(page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound, "LOSSLESS_BYTES", 0)
    html, _ = project(tmp_path, 0.3)
    assert 'data-mime="audio/ogg"' in html.read_text()
    start(page, html)
    hear_all(page)


def test_nothing_to_compare_is_said_and_cannot_be_started(page: Any, tmp_path: Path) -> None:
    html, _ = project(tmp_path, problems={(one.name, line): "silent" for one in KNOWN for line in LINES})
    page.goto(html.as_uri())
    assert is_as_wide_as_a_phone(page)
    assert (
        "nothing to compare" in page.locator("#trouble").inner_text() and page.locator("#begin").is_disabled()
    )


def test_the_report_plays_its_samples_without_a_network(page: Any, tmp_path: Path) -> None:
    spoken = make.samples(KNOWN, {**LINES, **make.MANY}, root=tmp_path, seconds=0.4)
    rows = make.paired_losses({one: {"diff": 0.9 - 0.01 * one.step, "stop": 0.1} for one in KNOWN})
    known = make.checkpoints(KNOWN)
    found = selection.decide(
        make.run(),
        make.evaluations(rows, KNOWN),
        rows,
        spoken,
        None,
        make.SELECT,
        False,
        {},
        known,
        make.measures(spoken),
        make.race(spoken),
    )
    (tmp_path / "report.html").write_text(
        report.render(make.run(), found, make.steps(60), known, spoken, make.measures(spoken), tmp_path, {})
    )
    page.goto((tmp_path / "report.html").as_uri())
    assert page.locator("h1").inner_text() == "Ship step 20" and "Untrained base." in visible(page)
    assert EVIL.replace("\u2028", "").split("&")[0] in visible(page)
    player = page.locator("button.player").nth(2)
    player.click()
    until(page, lambda: player.get_attribute("aria-pressed") == "true")
    until(page, lambda: player.get_attribute("aria-pressed") == "false")
    assert player.inner_text().startswith("\u25b6")
    assert is_as_wide_as_a_phone(page)


def test_the_comparison_of_recipes_plays_by_keyboard_alone_without_a_network(
    page: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcomes = [
        test_comparing.finished(tmp_path, "mini-lora", test_comparing.LORA, 0.8),
        test_comparing.finished(tmp_path, "mini-full", test_comparing.FULL, 0.7),
    ]
    (tmp_path / "comparison.html").write_text(comparison_page.render(outcomes, tmp_path))
    page.goto((tmp_path / "comparison.html").as_uri())
    assert "mini-full against mini-lora: likeness 0.900 against 0.900; loss -0.1000" in visible(page)
    assert page.locator("svg.chart").count() == 1, "one base and one split share a chart"
    player = page.locator("button.player").first
    page.keyboard.press("Tab")
    assert player.evaluate("one => one === document.activeElement")
    page.keyboard.press("Enter")
    until(page, lambda: player.get_attribute("aria-pressed") == "true")
    assert is_as_wide_as_a_phone(page)


@pytest.mark.campaign
def test_twelve_candidates_and_eight_lines_stay_under_15_mb_and_are_usable_within_two_seconds(
    page: Any, tmp_path: Path
) -> None:
    from voicelathe.data.audio import waveform

    known = make.candidates(*range(10, 120, 10))
    noise = (
        np.random.default_rng(0).normal(0, 0.1, 48_000 * 7).astype(np.float32)
    )  # harder to compress than any speech
    waveform.write_wav(tmp_path / "noise.wav", noise, 48_000)
    lines = {f"line-{number}": f"Sentence {number}." for number in range(8)}
    sha256 = digest.of_file(tmp_path / "noise.wav")
    spoken = [
        make.replace(one, path="noise.wav", sha256=sha256, duration_s=7.0)
        for one in make.samples(known, lines)
    ]
    html = listening.render(make.RECIPE, make.run(), spoken, tmp_path, base_trained=True)
    (tmp_path / "big.html").write_text(html)
    assert len(html.encode()) < 15_000_000
    began = time.monotonic()
    start(page, tmp_path / "big.html")
    page.wait_for_selector("#clock:not(:empty)")
    assert time.monotonic() - began < 2.0


def test_the_page_s_file_is_the_one_that_the_importer_knows() -> None:
    assert Opinion.__dataclass_fields__.keys() == {"candidate", "score", "defects"}

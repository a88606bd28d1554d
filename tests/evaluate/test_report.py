"""The report says what the selection holds: the decision in words, every candidate, every failure, every digest; offline."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.evaluate.test_listening import parsed
from tests.factories import evaluations as make
from voicelathe.evaluate import selection
from voicelathe.evaluate.report import charts, exclusions, reasons, scatter
from voicelathe.evaluate.report import page as report
from voicelathe.evaluate.report.scatter import Dot
from voicelathe.records import Candidate, Drop, Round, Selection

KNOWN = make.candidates(10, 20, 30)
TOTALS = {"base": 1.0, "step_0000010@1": 0.85, "step_0000020@1": 0.8, "step_0000030@1": 0.9}
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


def make_report(
    root: Path, known: list[Candidate] | None = None, num_steps: int = 60, **how: Any
) -> tuple[Selection, str]:
    known = known or KNOWN
    totals, trained, taste = how.pop("totals", TOTALS), how.pop("base_trained", True), how.pop("taste", None)
    select, real = how.pop("select", make.SELECT), how.pop("real", {})
    heard = {name: how.pop(name) for name in ("outside", "cer", "likeness") if name in how}
    how = {"lines": make.MANY, "seconds": 0.05, **how}
    means = {one: {"diff": 0.9 * totals[one.name], "stop": 0.1 * totals[one.name]} for one in known}
    rows = make.paired_losses(means, num_recordings=how.pop("num_recordings", 12))
    spoken = make.samples(known, root=root, **how)
    verdict = make.verdict(make.sitting(spoken, taste)) if taste else None
    inputs = {"runs/mini-lora/run.json": "a1" * 32}
    found = selection.decide(
        make.run(),
        make.evaluations(rows, known),
        rows,
        spoken,
        verdict,
        select,
        trained,
        inputs,
        make.checkpoints(known),
        make.measures(spoken, **heard),
        make.race(spoken),
    )
    page = report.render(
        make.run(),
        found,
        make.steps(num_steps),
        make.checkpoints(known),
        spoken,
        make.measures(spoken, **heard),
        root,
        real,
    )
    return found, page


def words(html: str) -> str:
    return re.sub(r"\s+", " ", parsed(html).seen)


def test_equal_inputs_give_equal_bytes(root: Path) -> None:
    assert make_report(root)[1] == make_report(root)[1]


def test_the_decision_its_reasons_and_its_limits_are_in_plain_words(root: Path) -> None:
    found, html = make_report(root, num_recordings=4)
    text = words(html)
    assert "Ship step 20" in text
    assert all(re.sub(r"\s+", " ", line) in text for line in [*found.reasons, *found.notes])
    assert "95 % over clips" in text, "few recordings show both intervals"


def test_a_run_that_comes_no_nearer_says_do_not_ship_however_low_its_loss(root: Path) -> None:
    _, html = make_report(root, likeness={one.name: 0.6 for one in KNOWN})
    assert (
        "Do not ship: of the checkpoints that lose nothing, none is shown to be nearer to the speaker"
        in words(html)
    )


def test_a_run_that_listeners_refuse_says_so_and_not_that_something_was_lost(root: Path) -> None:
    _, html = make_report(root, taste=lambda name, *_: float(name == "base"))
    assert "Do not ship: listeners prefer the base" in words(html)


def test_a_run_in_which_everybody_dropped_out_says_so(root: Path) -> None:
    names = [one.name for one in KNOWN]
    first, second = list(make.MANY)[:12], list(make.MANY)[12:]
    drops = [Drop(name, "dominated", "another one is nearer", 0.0, None) for name in names[1:]]
    spoken = [
        one for one in make.samples(KNOWN, make.MANY) if one.candidate == "base" or one.line_id in first
    ]
    rows = make.paired_losses({one: {"diff": 0.9, "stop": 0.1} for one in KNOWN})
    found = selection.decide(
        make.run(), make.evaluations(rows, KNOWN), rows, spoken, None, make.SELECT, True, {}, make.checkpoints(KNOWN),
        make.measures(spoken), make.race(spoken, rounds=[Round(first, names, drops), Round(second, ["base"], [])]),
    )  # fmt: skip
    assert reasons.refusal(found) == "every checkpoint that is not excluded dropped out of the race"


def test_with_every_guard_off_the_gain_is_still_shown(root: Path) -> None:
    off = replace(make.SELECT, guards=make.schema.Guards(None, None, None))
    _, html = make_report(root, select=off)
    table = re.findall(r'<tr class="[^"]*"><th scope="row" class="left">step 10.*?</tr>', html, re.S)[0]
    assert re.search(r"\+0\.200<br>", table)


def test_a_run_that_is_not_shown_to_keep_its_words_says_do_not_ship(root: Path) -> None:
    _, html = make_report(root, lines=make.LINES)
    assert "Do not ship: no checkpoint is shown to lose nothing" in words(html)


def test_a_ruined_voice_that_the_loss_prefers_is_named_beside_the_picture(root: Path) -> None:
    _, html = make_report(root, cer={"step_0000020@1": 0.5})
    text = words(html)
    assert "Ship step 10" in text or "Ship step 30" in text
    assert "The loss would have shipped step 20: loses words (\u22120.400" in text
    assert "lost \u22120.400" in text, "the guard's own cell says it, too"


def test_the_picture_of_the_decision_holds_every_candidate_the_base_and_the_real_recordings(
    root: Path,
) -> None:
    _, html = make_report(root)
    picture = re.search(r'<svg[^>]*aria-label="Words kept against likeness".*?</svg>', html, re.S)
    assert picture is not None and picture[0].count("<circle") == 4 + 1 + 1, (
        "and a ring around the one that ships"
    )
    for name in (
        "base",
        "step 10",
        "step 20",
        "step 30",
        "fewest words a candidate may keep",
    ):
        assert f">{name}<" in picture[0]
    assert ">real recordings" in picture[0]
    assert picture[0].count("<polyline") == 1


def test_an_anchor_far_from_the_checkpoints_stands_at_the_edge_with_its_numbers() -> None:
    near = [Dot(f"step {at}", 0.7 + at / 1000, 0.9, (0.69, 0.73), (0.8, 0.95), "tuned") for at in (10, 20)]
    base, real = (
        Dot("base", 0.72, 0.4, None, (0.3, 0.5), "other"),
        Dot("real", 0.95, 0.91, None, None, "real"),
    )
    drawn = scatter.picture("t", "x", "y", [*near, base, real], [], None)
    assert ">base 0.72, 0.40<" in drawn and ">real 0.95, 0.91<" in drawn
    assert drawn.count("<circle") == 2, "triangles are no dots: they do not stand where their numbers are"
    turns = re.findall(r"rotate\((-?\d+)\)\" d=", drawn)
    assert len(turns) == 2 and 80 <= int(turns[0]) <= 100, "down, where the base's words are"
    assert abs(int(turns[1])) <= 10, "to the right, where the speaker is"
    places = [float(one) for one in re.findall(r'class="dot c1" cx="([\d.]+)"', drawn)]
    assert places[1] - places[0] > 100, "the checkpoints use the width"
    assert "real 0.95" not in scatter.picture("t", "x", "y", [*near, replace(real, x=0.75)], [], None)
    beaten = scatter.picture("t", "x", "y", [*near, replace(base, kind="base")], [], None)
    assert ">base<" in beaten and "M7 0L" not in beaten, "what must be beaten stands where it is"


def test_the_base_and_the_checkpoint_that_ships_can_be_heard_side_by_side_at_the_top(root: Path) -> None:
    found, html = make_report(root)
    top = html[html.index('aria-labelledby="first"') : html.index('aria-labelledby="decided"')]
    assert found.selected == "step_0000020@1"
    heard = re.findall(r'class="player[^"]*" data-audio="(\d+)"[^>]*aria-label="Play ([^"]*)"', top)
    assert [who.split(",")[0] for _, who in heard] == ["the base", "step 20"] * 4
    assert all(f'id="audio-{place}"' in html for place, _ in heard)
    lines = [who.split(",", 1)[1] for _, who in heard]
    assert lines[::2] == lines[1::2], "the same line with the same seed"
    assert top.count("player chosen") == 4


def test_nothing_is_offered_to_be_heard_first_where_one_of_both_said_nothing(root: Path) -> None:
    problems = {("base", line): "silent" for line in make.MANY}
    _, html = make_report(root, problems=problems)
    assert 'aria-labelledby="first"' not in html


def test_words_that_are_worse_than_the_base_within_the_margin_are_said_before_all_that_is_kept(
    root: Path,
) -> None:
    found, html = make_report(root, cer={"step_0000020@1": 0.125})
    guard = next(one for one in exclusions.of(found, "step_0000020@1").guards if one.measure == "words")
    assert guard.verdict == "passed" and guard.test is not None and guard.test.interval.high < 0
    text = words(html)
    warning = "In words it is worse than the base, by less than the settings forbid: listen for that first."
    assert warning in text and text.index(warning) < text.index("It keeps words")
    assert warning not in words(make_report(root)[1])


def test_without_a_recogniser_there_is_no_picture_and_the_page_says_what_is_missing(root: Path) -> None:
    text = words(make_report(root, cer={one.name: None for one in KNOWN})[1])
    assert "There is no picture: words or likeness were not measured" in text


def test_a_run_that_nobody_heard_says_so_in_its_headline(root: Path) -> None:
    problems = {(one.name, line): "not_spoken" for one in KNOWN for line in make.LINES}
    text = words(make_report(root, problems=problems, lines=make.LINES)[1])
    assert (
        "Do not ship yet: not everything was heard" in text
        and "Nothing was heard of step 20: it spoke no line" in text
    )


def test_a_run_in_which_every_checkpoint_failed_still_has_a_report(root: Path) -> None:
    _, html = make_report(root, problems={(one.name, "line-03"): "silent" for one in KNOWN[1:]})
    text = words(html)
    assert "Do not ship: every checkpoint is excluded" in text and text.count("failed: only silence") == 3


def test_every_candidate_sample_checkpoint_and_digest_is_there(root: Path) -> None:
    _, html = make_report(root)
    text = words(html)
    for name in (
        "base",
        "step 10",
        "step 20",
        "step 30",
        "0.850000",
        "a1" * 32,
        "b" * 64,
        "d" * 64,
        "1.34 MiB",
        "270",
    ):
        assert name in text
    assert html.count('id="audio-') == 4 * len(make.MANY)
    table = html[html.index('aria-labelledby="samples"') :]
    assert len(set(re.findall(r'class="player" data-audio="(\d+)"', table))) == 4 * len(make.MANY)


def test_the_final_checkpoint_trap_is_marked_in_every_loss_curve(root: Path) -> None:
    _, html = make_report(root)
    assert html.count('class="mark last"') == 4, "the total stands beside the picture of the decision, too"
    assert html.count('class="mark chosen"') == 5, "and the one that ships is ringed in that picture"
    assert "The last checkpoint, step 30, has a total 0.1000 worse." in words(html)


def test_an_untrained_base_is_announced_in_the_head_and_beside_its_players(root: Path) -> None:
    text = words(make_report(root, base_trained=False)[1])
    assert "Untrained base." in text and text.count("untrained base") >= 2
    assert "ntrained base" not in words(make_report(root)[1])


def test_listeners_are_shown_with_their_corrected_p(root: Path) -> None:
    _, html = make_report(root, taste=lambda name, *_: len(name))
    assert "1 sitting, 8 units" in words(html) and "corrected p" in words(html)
    assert "Nobody's verdict is counted yet" in words(make_report(root)[1])


def test_several_strengths_are_several_curves(root: Path) -> None:
    known = [Candidate(0, None), *(Candidate(step, scale) for step in (10, 20) for scale in (0.35, 1.0))]
    totals = {one.name: 1.0 - 0.01 * place for place, one in enumerate(known)}
    _, html = make_report(root, known, totals=totals)
    assert "step 20 at strength 0.35" in words(html)
    assert html.count('class="curve c2"') >= 3 and '<li class="c2">LoRA scale 1</li>' in html


def test_texts_are_escaped_and_nothing_is_loaded_from_anywhere(root: Path) -> None:
    _, html = make_report(root, lines={**make.MANY, "x": EVIL})
    assert "<img" not in html and EVIL in parsed(html).seen
    assert not re.search(r"https?://", html)
    assert "unsafe" not in html and "default-src &#39;none&#39;" in html


def test_a_full_run_of_nine_thousand_steps_stays_small(root: Path) -> None:
    _, html = make_report(root, num_steps=9000)
    assert len(re.sub(r'(?s)<script type="text/plain".*?</script>', "", html)) < 300_000


def test_a_spike_survives_the_thinning_of_a_long_curve() -> None:
    points = [(float(step), 1.0) for step in range(9000)]
    points[1610] = (1610.0, 27.0)
    assert max(high for *_, high in charts._buckets(points)) == 27.0


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.88, 1.09), (-3.0, 12000.0), (1e-6, 2e-6)])
def test_axis_ticks_are_round_and_inside(low: float, high: float) -> None:
    found = charts.ticks(low, high, 6)
    assert 2 <= len(found) <= 8 and all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)


def test_a_flat_curve_and_a_single_checkpoint_can_be_drawn(root: Path) -> None:
    known = make.candidates(10)
    _, html = make_report(root, known, totals={"base": 1.0, "step_0000010@1": 1.0}, num_steps=1)
    assert "nan" not in " ".join(re.findall(r"<svg.*?</svg>", html, re.S)).lower()


def test_a_long_line_that_only_the_best_speak_is_no_hole(root: Path) -> None:
    rows = make.paired_losses({one: {"diff": 0.9 - 0.01 * one.step, "stop": 0.1} for one in KNOWN})
    long = make.samples([KNOWN[0], KNOWN[3]], {"long-morning": "A minute of it."}, root=root)
    spoken = [*make.samples(KNOWN, root=root), *long]
    found = selection.decide(
        make.run(), make.evaluations(rows, KNOWN), rows, spoken, None, make.SELECT, True, {}, make.checkpoints(KNOWN), make.measures(spoken), make.race(spoken)
    )  # fmt: skip
    page = report.render(
        make.run(), found, make.steps(60), make.checkpoints(KNOWN), spoken, make.measures(spoken), root, {}
    )
    assert words(page).count("not asked") == 2 and "long-morning" in words(page)

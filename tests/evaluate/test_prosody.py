"""Delivery beside the speaker's own: a monotonous reading is found, removed pauses are found, the speaker's own other clips are not."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.factories import evaluations as make
from tests.factories import flat
from voicelathe import records
from voicelathe.data.audio import waveform
from voicelathe.evaluate import selection
from voicelathe.evaluate.metrics.base import Clip, Values
from voicelathe.evaluate.metrics.prosody import PACE, PAUSE_SHARE, PITCH_RANGE, ProsodyFigures
from voicelathe.evaluate.scoring import probing, prosody
from voicelathe.records import FigureRecord, MeasuredSample, MetricRun, Selection, SpeechMeasures
from voicelathe.speech import RATE_HZ

pytest.importorskip("silero_vad")
ROOT = Path(__file__).parents[2]
NUM = 20
KNOWN = make.candidates(10)
TUNED = KNOWN[1].name


@cache
def clips() -> tuple[Clip, ...]:
    """Forty clean clips of one speaker, from recordings in turn."""
    import json

    lines = (ROOT / "data/demo/ground_truth.jsonl").read_text().splitlines()
    clean = {json.loads(line)["id"] for line in lines if json.loads(line)["kind"] == "clean"}
    folder, found, seen = ROOT / "data/demo/audio", [], set()
    for line in (ROOT / "data/demo/manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        if (
            row["id"] not in clean
            or row["speaker_id"] != "lark"
            or row["text"] in seen
            or row["start_s"] is None
        ):
            continue
        seen.add(row["text"])
        samples, rate_hz = waveform.read_clip(folder, row["audio"], row["start_s"], row["end_s"], None)
        found.append(Clip(waveform.resample(waveform.mono(samples), rate_hz, RATE_HZ), row["text"], "en"))
        if len(found) == 2 * NUM:
            break
    return tuple(found)


@cache
def real() -> tuple[Values, ...]:
    return tuple(ProsodyFigures().measure(clips()[NUM:], []))


@cache
def measured(kind: str) -> tuple[Values, ...]:
    """The speaker's other clips, as they are or changed."""
    change = {
        "real": lambda samples: samples,
        "flat": flat.flattened,
        "paused": flat.with_pauses,
    }[kind]
    return tuple(
        ProsodyFigures().measure([replace(one, samples=change(one.samples)) for one in clips()[:NUM]], [])
    )


def measures(
    spoken: Mapping[str, Sequence[Values]], theirs: Sequence[Values] | None = None
) -> SpeechMeasures:
    """Candidate -> what was measured of its lines, one a clip."""
    theirs = real() if theirs is None else theirs
    figures = [
        FigureRecord(
            one,
            "prosody",
            None,
            None,
            None,
            None,
            None,
            [v for row in theirs if (v := row[one.name]) is not None],
        )
        for one in ProsodyFigures.figures
    ]
    samples = [
        MeasuredSample(name, f"line-{number:02d}", 42, dict(row), {})
        for name, rows in spoken.items()
        for number, row in enumerate(rows)
    ]
    return SpeechMeasures(
        make.RECIPE, make.run().run_digest, NUM, [MetricRun("prosody", "measured", "")], figures, samples, {}
    )


def judge(spoken: Mapping[str, Sequence[Values]]) -> dict[str, records.Prosody]:
    return {one.candidate: one for one in prosody.judge(list(spoken), "base", measures(spoken), 7)}


@pytest.mark.slow
def test_a_monotonous_reading_is_flat_against_the_speaker_and_against_the_base() -> None:
    found = judge({"base": measured("real"), TUNED: measured("flat")})[TUNED]
    assert [one.split(":")[0] for one in found.findings] == ["flat"]
    here = found.figures[PITCH_RANGE]
    assert here.interval is not None and here.interval.high < 0.0 and here.distance < -1.0
    assert found.against_base is not None and found.against_base.high < 0.0


def test_the_speakers_own_other_clips_are_not_flat_and_no_figure_of_theirs_differs() -> None:
    found = judge({"base": measured("flat"), TUNED: measured("real")})[TUNED]
    assert found.findings == []
    assert all(abs(one.distance) < 1.5 for one in found.figures.values()), "recordings differ in their rooms"


def test_a_voice_as_flat_as_its_base_is_not_blamed_on_its_training() -> None:
    assert judge({"base": measured("flat"), TUNED: measured("flat")})[TUNED].findings == []


def test_pauses_that_were_put_in_are_found_and_so_is_their_removal() -> None:
    paused = judge({"base": measured("real"), TUNED: measured("paused")})[TUNED].figures[PAUSE_SHARE]
    assert paused.interval is not None and paused.interval.low > 0.0
    spoken = measures({"base": measured("paused"), TUNED: measured("real")}, measured("paused"))
    removed = prosody.judge(["base", TUNED], "base", spoken, 7)[1].figures[PAUSE_SHARE]
    assert removed.interval is not None and removed.interval.high < 0.0


def test_pauses_do_not_change_the_pace_of_the_speech_between_them() -> None:
    plain, paused = (
        np.mean([row[PACE] for row in measured(kind) if row[PACE]]) for kind in ("real", "paused")
    )
    assert paused == pytest.approx(plain, rel=0.1)


def test_the_pace_counts_a_han_character_as_three_letters() -> None:
    (one,) = clips()[:1]
    plain, han = ProsodyFigures().measure(
        [replace(one, text="abcabc"), replace(one, text="\u4f60\u597d")], []
    )
    assert plain[PACE] == han[PACE] and plain[PACE] is not None


def test_silence_has_no_delivery() -> None:
    assert set(
        ProsodyFigures().measure([Clip(np.zeros(RATE_HZ, np.float32), "nothing", "en")], [])[0].values()
    ) == {None}


def test_a_few_lines_have_a_distance_and_no_interval_and_nobody_is_called_flat() -> None:
    few = measured("flat")[: prosody.MIN_VALUES - 1]
    found = judge({"base": measured("real"), TUNED: few})[TUNED]
    assert found.figures[PITCH_RANGE].distance < -1.0 and found.figures[PITCH_RANGE].interval is None
    assert found.findings == [] and found.against_base is None


def test_the_order_of_samples_changes_nothing() -> None:
    spoken = measures({"base": measured("real"), TUNED: measured("flat")})
    turned = replace(spoken, samples=spoken.samples[::-1])
    names = ["base", TUNED]
    assert prosody.judge(names, "base", spoken, 7) == prosody.judge(names, "base", turned, 7)


def test_equal_voices_are_called_flat_in_at_most_one_of_twenty() -> None:
    """Ranges of 200 pretended voices drawn from one distribution with the speaker and the base."""
    draw = np.random.default_rng(5)

    def voice() -> list[Values]:
        return [{PITCH_RANGE: float(value)} for value in draw.normal(5.0, 1.5, 12)]

    called = 0
    for number in range(200):
        spoken = measures({"base": voice(), TUNED: voice()}, [])
        figures = [
            replace(one, real_values=[row[PITCH_RANGE] or 0.0 for row in voice()])
            for one in spoken.figures
            if one.figure.name == PITCH_RANGE
        ]
        (_, tuned) = prosody.judge(["base", TUNED], "base", replace(spoken, figures=figures), number)
        called += bool(tuned.findings)
    assert called <= 10


def decide(vetoes: list[str]) -> Selection:
    """A sweep in which the only checkpoint is nearer to the speaker, and flat."""
    rows = make.paired_losses({one: {"diff": 0.8 - 0.01 * one.step, "stop": 0.1} for one in KNOWN})
    spoken = make.samples(KNOWN, make.MANY)
    heard, lines = make.measures(spoken), sorted(make.MANY)
    by_name = {KNOWN[0].name: measured("real"), TUNED: measured("flat")}
    samples = [
        replace(one, values={**one.values, **by_name[one.candidate][lines.index(one.line_id) % NUM]})
        for one in heard.samples
    ]
    figures = [*heard.figures, *measures({}).figures]
    found = replace(heard, samples=samples, figures=figures, metrics=[MetricRun("prosody", "measured", "")])
    select = replace(make.SELECT, vetoes=vetoes)
    return selection.decide(
        make.run(), make.evaluations(rows, KNOWN), rows, spoken, None, select, True, {}, make.checkpoints(KNOWN), found,
        make.race(spoken),
    )  # fmt: skip


def test_flat_is_a_note_and_a_veto_only_where_the_recipe_names_it() -> None:
    noted, vetoed = decide([]), decide(["flat"])
    row = next(one for one in noted.ranking if one.candidate == TUNED)
    assert noted.selected == TUNED and not row.vetoes and row.notes[0].startswith("flat: pitch range")
    assert vetoed.decision == "do_not_ship" and vetoed.selected is None
    assert (
        next(one for one in vetoed.ranking if one.candidate == TUNED)
        .vetoes[0]
        .startswith("flat: pitch range")
    )
    assert any(reason.startswith("Its delivery differs from the speaker's") for reason in noted.reasons)


def test_the_veto_is_said_to_protect_nobody_where_the_metric_did_not_run() -> None:
    spoken = replace(
        measures({}),
        figures=[],
        metrics=[MetricRun("prosody", "not_applicable", "silero-vad is not installed")],
    )
    assert probing.powerless(["flat"], spoken) == [
        "flat (prosody not applicable: silero-vad is not installed)"
    ]
    assert probing.powerless(["flat"], measures({})) == []
    probing.check_codes("x", ["flat"], measures({}))

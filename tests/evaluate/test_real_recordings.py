"""The speaker's real recording is hidden among the samples of its line: it shows what a listener can tell, and is never a candidate."""

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluate.test_listening import page_of
from tests.evaluate.test_report import make_report, words
from tests.factories import evaluations as make
from tests.factories import runs
from voicelathe import digest, layout, records
from voicelathe.data.audio import waveform
from voicelathe.errors import ManifestError, RecordError, SelectionError
from voicelathe.evaluate import selection
from voicelathe.evaluate.listening import design, page, preferences, sound, verdicts
from voicelathe.evaluate.report import page as report
from voicelathe.records import HELD_OUT, REAL, Candidate, Judgement, SampleRecord, Selection, Sitting, Verdict
from voicelathe.stages import selection as stage_selection

KNOWN = make.candidates(10, 20, 30)
NAMES = [one.name for one in KNOWN]
SAID = HELD_OUT + "validation-000"
LINES = {"carrier": "The lamp is on.", SAID: "Sentence 0."}
SPOKEN = make.samples(KNOWN, LINES, seeds=(1, 2))
REAL_SOUND = sound.DecodedSample((0.9 * np.sin(np.arange(11_025) * 0.2)).astype(np.float32), 22_050)


def first_trials(mode: str, samples: list[SampleRecord] = SPOKEN) -> list[design.Trial]:
    return [one for one in design.trials(mode, samples, 7) if one.repeats is None]


# --- in the design ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", design.MODES)
def test_it_is_heard_on_its_own_line_with_every_seed_and_nowhere_else(mode: str) -> None:
    with_it = {(one.line_id, one.seed) for one in design.trials(mode, SPOKEN, 7) if REAL in one.candidates}
    assert with_it == {(SAID, 1), (SAID, 2)}


@pytest.mark.parametrize("mode", ["rate", "rank"])
def test_it_stands_beside_every_candidate_under_changing_labels(mode: str) -> None:
    places = set()
    lines = {f"{HELD_OUT}{number}": "x" for number in range(12)}
    for one in first_trials(mode, make.samples(KNOWN, lines, seeds=(1, 2, 3))):
        assert sorted(one.candidates) == sorted([*NAMES, REAL])
        places.add(one.candidates.index(REAL))
    assert places == {0, 1, 2, 3, 4}


def test_in_a_or_b_it_meets_two_candidates_and_takes_no_pair_from_anybody() -> None:
    trials = [one for one in first_trials("pair") if (one.line_id, one.seed) == (SAID, 1)]
    ring = [one.candidates for one in trials if REAL not in one.candidates]
    others = [name for one in trials if REAL in one.candidates for name in one.candidates if name != REAL]
    assert sorted(name for pair in ring for name in pair) == sorted([*NAMES, *NAMES])
    assert len(set(others)) == len(others) == 2
    lines = {f"{HELD_OUT}{number}": "x" for number in range(12)}
    known: dict[str, list[bool]] = {}
    for one in first_trials("pair", make.samples(KNOWN, lines)):
        known.setdefault(one.line_id, []).append(REAL in one.candidates)
    assert len({tuple(order) for order in known.values()}) > 3, "its place among the pairs tells nothing"


def test_where_fewer_than_two_candidates_can_be_heard_it_makes_no_trial() -> None:
    samples = make.samples(KNOWN, LINES, problems={(name, SAID): "silent" for name in NAMES[1:]})
    assert design.recorded(samples) == [] and {one.line_id for one in first_trials("rate", samples)} == {
        "carrier"
    }


def test_a_sweep_without_held_out_lines_is_the_sweep_it_was() -> None:
    known = make.candidates(10, 20, 30, 40)
    before = "843fe75c9cb967e26157ca354b0403d6749206e63d3967364c1aa142a93bba40"
    assert design.sweep_digest("a", make.samples(known)) == before


def test_another_line_with_a_recording_is_another_sweep() -> None:
    renamed = [
        replace(one, line_id=f"{HELD_OUT}other" if one.line_id == SAID else one.line_id) for one in SPOKEN
    ]
    heard = [[one.candidate, one.line_id, one.text, one.seed, one.sha256, one.problem] for one in SPOKEN]
    as_before = digest.of_value({"run": "a", "design": design.REVISION, "samples": sorted(heard)})
    sweeps = {design.sweep_digest("a", SPOKEN), design.sweep_digest("a", renamed), as_before}
    assert len(sweeps) == 3, "and a verdict from before there were recordings is on another sweep"


# --- in the page -----------------------------------------------------------------------------------------------------


def split(root: Path, monkeypatch: pytest.MonkeyPatch) -> records.CleanClip:
    """A project whose validation split holds a real clip: the second half of a stereo file of one second."""
    monkeypatch.chdir(root)
    stereo = np.stack([np.zeros(22_050), np.sin(np.arange(22_050) * 0.2)], axis=1).astype(np.float32)
    path = root / "audio/a.wav"
    path.parent.mkdir()
    import soundfile

    soundfile.write(path, stereo, 22_050, subtype="PCM_16")
    clip = replace(
        runs.clip("validation", 0),
        audio="a.wav",
        audio_sha256=digest.of_file(path),
        start_s=0.5,
        end_s=1.0,
    )
    records.write(layout.split("validation"), [clip])
    return clip


def test_the_stage_finds_the_recording_of_a_held_out_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split(tmp_path, monkeypatch)
    assert page.recordings(make.samples(KNOWN), "audio") == {}
    (found,) = page.recordings(SPOKEN, "audio").items()
    assert found[0] == SAID and found[1].rate_hz == 22_050 and found[1].duration_s == 0.5
    assert np.abs(found[1].samples).max() == pytest.approx(0.5, abs=0.01), "the mean of both channels"


def test_a_recording_that_is_gone_or_another_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split(tmp_path, monkeypatch)
    waveform.write_wav(tmp_path / "audio/a.wav", np.zeros(22_050, np.float32), 22_050)
    with pytest.raises(ManifestError, match=r"a\.wav"):
        page.recordings(SPOKEN, "audio")
    (tmp_path / "audio/a.wav").unlink()
    with pytest.raises(
        RecordError, match=r"audio/a\.wav: the recording of clip validation-000 cannot be read"
    ):
        page.recordings(SPOKEN, "audio")


def rendered(root: Path, samples: list[SampleRecord], real: dict[str, sound.DecodedSample]) -> str:
    return page.render(make.RECIPE, make.run(), samples, root, base_trained=True, real=real)


def test_the_report_plays_it_beside_the_base_and_the_checkpoint(tmp_path: Path) -> None:
    lines = {HELD_OUT + str(at): said for at, said in enumerate(make.MANY.values())}
    real = {line: REAL_SOUND for line in list(lines)[:12]}
    top, rest = shown_first(make_report(tmp_path, lines=lines, real=real)[1])
    told = re.findall(r'data-audio="(\d+)"[^>]*aria-label="Play ([^,]*), line ([^,]*),', top)
    spoken = {line for _, who, line in told if who == "the speaker"}
    assert spoken == {line for _, who, line in told if who == "the base"} & set(real) != set()
    assert all(f'id="audio-{place}"' in rest for place, _, _ in told)
    assert "could not be read" not in top
    gone, _ = shown_first(make_report(tmp_path, lines=lines)[1])
    assert "the speaker," not in gone and "could not be read where this page was made" in words(gone)


def test_a_decision_does_not_wait_for_recordings_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split(tmp_path, monkeypatch)
    spoken = make.samples(KNOWN, {**make.MANY, SAID: "Sentence 0."}, root=tmp_path, seconds=0.05)
    rows = make.paired_losses({one: {"diff": 0.9 - 0.01 * one.step, "stop": 0.1} for one in KNOWN})
    make.write_run(tmp_path, KNOWN, rows, spoken)
    with_it, page = stage_selection.select(make.RECIPE, make.SELECT, tmp_path, "audio")
    assert "could not be read where this page was made" not in words(page)
    (tmp_path / "audio/a.wav").unlink()
    without, page = stage_selection.select(make.RECIPE, make.SELECT, tmp_path, "audio")
    assert without == with_it and "could not be read where this page was made" in words(page)


def shown_first(html: str) -> tuple[str, str]:
    """What the report plays at its top, and the rest."""
    start, end = html.index('aria-labelledby="first"'), html.index('aria-labelledby="decided"')
    return html[start:end], html[end:]


def test_the_page_embeds_it_once_equally_loud_and_without_a_readable_name(tmp_path: Path) -> None:
    samples = make.samples(KNOWN, LINES, seeds=(1, 2), root=tmp_path)
    html = rendered(tmp_path, samples, {SAID: REAL_SOUND})
    page = page_of(html)
    names = json.loads(base64.b64decode(page["names"]))
    assert names[-1] == [REAL, "real recording"] and '"real' not in json.dumps(page)
    real = [one for one in page["clips"] if one["candidate"] == len(names) - 1]
    assert [(one["line"], one["seed"], one["seconds"]) for one in real] == [(SAID, 1, 0.5), (SAID, 2, 0.5)]
    assert len({one["audio"] for one in real}) == 1 and html.count('id="audio-') == len(samples) + 1
    sounds = [sound.load(one, tmp_path) for one in samples] + [REAL_SOUND]
    levels = [
        (sound.loudness_lufs(sounds[one["audio"]]) or 0) + one["gain_db"]
        for one in page["clips"]
        if (one["line"], one["seed"]) == (SAID, 1)
    ]
    assert len(levels) == 5 and max(levels) - min(levels) < 0.11
    for mode in design.MODES:
        for shown, planned in zip(page["trials"][mode], design.trials(mode, samples, 7), strict=True):
            heard = [names[page["clips"][clip]["candidate"]][0] for clip in shown["clips"]]
            assert heard == planned.candidates
    assert "a real recording of the speaker is hidden" in re.sub(r"\s+", " ", html)


def test_a_page_without_recordings_has_nothing_of_them(tmp_path: Path) -> None:
    html = rendered(tmp_path, make.samples(KNOWN, root=tmp_path), {})
    assert "real recording" not in html
    assert REAL not in [name for name, _ in json.loads(base64.b64decode(page_of(html)["names"]))]


# --- in the verdict and what is read from it -------------------------------------------------------------------------


def taste(real: float) -> make.Taste:
    """Somebody who likes one candidate best and to whom real recordings are worth so much; the worst candidate is worth 0."""
    worth = {name: float(number) for number, name in enumerate(NAMES)} | {NAMES[1]: 4.0, REAL: real}
    return lambda name, line, seed: worth[name]


def sitting(real: float = 5.0, mode: str = "rate", listener: str = "anna") -> Sitting:
    return make.sitting(SPOKEN, taste(real), listener, mode)


def summarised(*sittings: Sitting) -> records.Listening:
    return preferences.summarise(make.verdict(*sittings), NAMES, NAMES[1], "base", 7)


def without(one: Sitting) -> Sitting:
    def kept(judgement: Judgement) -> Judgement:
        return replace(judgement, opinions=[two for two in judgement.opinions if two.candidate != REAL])

    return replace(one, judgements=[kept(judgement) for judgement in one.judgements])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    rows = make.paired_losses({one: {"diff": 0.8, "stop": 0.1} for one in KNOWN}, num_recordings=2)
    make.write_run(tmp_path, KNOWN, rows, SPOKEN)
    return tmp_path


@pytest.mark.parametrize("mode", design.MODES)
def test_a_verdict_with_its_scores_is_stored_and_an_edited_one_refused(project: Path, mode: str) -> None:
    one = sitting(mode=mode)
    path = project / "export.json"
    edited = records.to_json(one)
    (opinion, *_) = [
        two for judgement in edited["judgements"] for two in judgement["opinions"] if two["candidate"] == REAL
    ]
    opinion["score"] = 1 - min(opinion["score"], 1)
    digest.write_json(path, edited)
    with pytest.raises(SelectionError, match="was edited or damaged"):
        verdicts.import_file(path, make.RECIPE, project)
    digest.write_json(path, records.to_json(make.seal(without(one))))
    with pytest.raises(SelectionError, match="does not judge exactly its"):
        verdicts.import_file(path, make.RECIPE, project)
    digest.write_json(path, records.to_json(one))
    verdicts.import_file(path, make.RECIPE, project)
    assert verdicts.load(make.RECIPE, project) == make.verdict(one)


@pytest.mark.parametrize("mode", design.MODES)
@pytest.mark.parametrize("real", [-5.0, 1.0, 5.0])
def test_no_figure_of_the_candidates_knows_that_it_was_there(mode: str, real: float) -> None:
    sittings = [sitting(real, mode, name) for name in ("anna", "ben")]
    noisy = []
    for one in sittings:
        judgements = [
            replace(
                judgement,
                opinions=[
                    replace(two, defects=["noise"] if two.candidate == REAL else [])
                    for two in judgement.opinions
                ],
            )
            for judgement in one.judgements
        ]
        noisy.append(replace(one, judgements=judgements))
    found = summarised(*noisy)
    assert len(found.anchors) == 2
    assert replace(found, anchors=[]) == summarised(*map(without, sittings))
    named = {one.candidate for one in [*found.strengths, *found.against_base, *found.against_nominee]}
    assert named == set(NAMES) and found.defects == {}


def test_its_mean_score_stands_beside_those_of_the_candidates_on_the_same_screens() -> None:
    (one,) = summarised(sitting(4.5)).anchors
    assert (one.sitting, one.mode, one.trials) == (1, "rate", 2)
    assert (one.real, one.candidates, one.median) == (95.0, 72.5, 75.0)  # of 50, 90, 70 and 80
    (pairs,) = summarised(sitting(9.0, "pair")).anchors
    assert (pairs.trials, pairs.real, pairs.candidates) == (4, 1.0, 0.0)


@pytest.mark.parametrize("mode", design.MODES)
def test_who_puts_it_above_the_median_candidate_hears_and_who_puts_it_lowest_does_not(mode: str) -> None:
    hears, deaf = summarised(sitting(9.0, mode, "anna"), sitting(-9.0, mode, "ben")).anchors
    assert (
        preferences.hears(hears) and not preferences.hears(deaf) and (hears.sitting, deaf.sitting) == (1, 2)
    )


def test_to_hear_no_difference_is_not_to_hear() -> None:
    for mode in design.MODES:
        (one,) = summarised(make.sitting(SPOKEN, lambda *_: 0.0, mode=mode)).anchors
        assert not preferences.hears(one)


def test_without_recordings_there_is_no_anchor() -> None:
    plain = make.sitting(make.samples(KNOWN), lambda *_: 0.0)
    assert summarised(plain).anchors == []


# --- in the selection and its report ---------------------------------------------------------------------------------


def decide(samples: list[SampleRecord], verdict: Verdict | None, known: list[Candidate] = KNOWN) -> Selection:
    totals = dict(zip(known, (1.0, 0.9, 0.8, 0.85), strict=True))
    rows = make.paired_losses(
        {one: {"diff": 0.9 * total, "stop": 0.1 * total} for one, total in totals.items()}
    )
    return selection.decide(
        make.run(),
        make.evaluations(rows, known),
        rows,
        samples,
        verdict,
        make.SELECT,
        True,
        {},
        make.checkpoints(known),
        make.measures(samples),
        make.race(samples),
    )


def many(real: float) -> tuple[list[SampleRecord], Verdict]:
    """Two listeners, eight lines that all have a recording, and a recording that wins or loses every comparison."""
    samples = make.samples(KNOWN, {f"{HELD_OUT}{number}": f"Sentence {number}." for number in range(8)})
    return samples, make.verdict(*(make.sitting(samples, taste(real), name) for name in ("anna", "ben")))


@pytest.mark.parametrize("real", [9.0, -9.0])
def test_it_is_never_chosen_and_changes_no_choice(real: float) -> None:
    samples, verdict = many(real)
    found = decide(samples, verdict)
    assert (found.decision, found.selected, found.decided_by) == ("ship", NAMES[1], "listening")
    assert {row.candidate for row in found.ranking} == set(NAMES)
    assert replace(found, listening=None, notes=[]) == replace(
        decide(samples, make.verdict(*map(without, verdict.sittings))), listening=None, notes=[]
    )


def test_a_listener_who_rates_it_lowest_is_warned_of_in_one_sentence_and_another_is_not() -> None:
    def warned(found: Selection) -> list[str]:
        return [note for note in found.notes if "real recordings" in note]

    assert warned(decide(*many(9.0))) == []
    first, second = warned(decide(*many(-9.0)))
    assert first == (
        "Listening: sitting 1 of verdicts/mini-lora.json gave the speaker's real recordings a mean score of 0, "
        "not above the candidates' median of 75: it cannot tell a voice from its imitation."
    )
    assert "sitting 2 of" in second and "anna" not in first + second, "reports travel further than verdicts"


def test_the_report_names_its_mean_beside_the_candidates(tmp_path: Path) -> None:
    def page(samples: list[SampleRecord], verdict: Verdict) -> str:
        found = decide(samples, verdict)
        known = make.checkpoints(KNOWN)
        return report.render(
            make.run(), found, make.steps(60), known, samples, make.measures(samples), tmp_path, {}
        )

    lines = {SAID: "Sentence 0.", "carrier": "The lamp is on."}
    samples = make.samples(KNOWN, lines, root=tmp_path)
    html = page(samples, make.verdict(make.sitting(samples, taste(4.5))))
    assert "real recordings, mean score" in words(html) and "cannot tell" not in words(html)
    assert "</th><td>rate</td><td>1</td><td>95</td><td>72.5</td><td>75</td></tr>" in html
    html = page(samples, make.verdict(make.sitting(samples, taste(-4.0))))
    assert "cannot tell</span></th><td>rate</td><td>1</td><td>10</td><td>72.5</td><td>75</td></tr>" in html
    plain = make.samples(KNOWN, root=tmp_path)
    assert "BS.1534" not in page(plain, make.verdict(make.sitting(plain, lambda *_: 0.0)))

"""What is tried by `voicelathe decoding`: which settings, on which steps, on which lines, and what is refused before anybody speaks."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import evaluations as make
from tests.factories import runs
from voicelathe import digest, families, layout, records
from voicelathe.config import params, schema
from voicelathe.errors import CheckpointError, LinesError, RequestError, SelectionError
from voicelathe.families import decoding
from voicelathe.records import CleanClip, Selection
from voicelathe.runs import results
from voicelathe.stages.decoding import fresh_lines, grid, standing, sweep

KNOWN = families.spec("voxcpm2").decoding
OWN = {"steps": 10.0, "guidance": 2.0, "max_length_ratio": 6.0}
RECIPE = "mini-lora"
MAIN = "step_0000040@1"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe that went through every stage; its metrics are those of its recipe."""
    runs.finished(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = params.load().recipes[RECIPE].listen.metrics
    heard = records.read_one(layout.run(RECIPE, "metrics.json"), records.SpeechMeasures)
    told = replace(heard, metrics=[records.MetricRun(name, "measured", "") for name in names])
    digest.write_json(layout.run(RECIPE, "metrics.json"), records.to_json(told))
    return tmp_path


def decided() -> Selection:
    return standing.decided(params.load(), RECIPE)


# --- which settings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", sorted(families.TABLE))
def test_every_family_has_a_short_list_that_holds_upstream_s_own_values(family: str) -> None:
    known = families.spec(family).decoding
    values = grid.of_family(known)
    assert values and all(known[name].default in some for name, some in values.items())
    assert not [one for name, some in values.items() for one in some if known[name].problem(one)]
    assert 4 <= len(grid.crossed(values, decoding.defaults(known))) <= 9, "a small grid"


def test_what_a_family_computes_is_a_count_of_steps_or_beams_and_nothing_else() -> None:
    counted = {
        name: [key for key, setting in families.spec(name).decoding.items() if setting.costs]
        for name in families.TABLE
    }
    assert counted == {
        "voxcpm15": ["steps"], "voxcpm2": ["steps"], "qwen3_tts": [], "cosyvoice3": [], "indextts2": ["beams"], "indextts25": ["beams"],
    }  # fmt: skip
    assert all(families.spec(name).decoding[key].whole for name, some in counted.items() for key in some)
    assert decoding.work(KNOWN, {**OWN, "steps": 16.0}) == 16.0
    assert decoding.work(families.spec("qwen3_tts").decoding, {}) == 1.0


def test_the_recipe_s_own_settings_are_tried_first_and_once() -> None:
    made = grid.crossed({"steps": [6.0, 10.0], "guidance": [2.0]}, OWN)
    assert made == [OWN, {**OWN, "steps": 6.0}]
    chosen = {**OWN, "guidance": 1.7}
    assert grid.crossed({"guidance": [1.5, 2.0]}, chosen)[0] == chosen
    assert len(grid.crossed({"guidance": [1.5, 2.0]}, chosen)) == 3


def test_a_setting_is_named_by_what_varies() -> None:
    assert grid.named(MAIN, {"steps": [6.0], "guidance": [1.5]}, OWN) == f"{MAIN} guidance 2, steps 10"


def test_a_grid_is_read_and_values_given_twice_count_once() -> None:
    assert grid.asked(KNOWN, ["steps=6,10,6", "guidance=1.5"]) == {"steps": [6.0, 10.0], "guidance": [1.5]}


def test_everything_that_is_wrong_with_a_grid_is_said_at_once() -> None:
    given = ["temperature=0.5", "steps=0,6.5,many,", "guidance", "max_length_ratio=6", "max_length_ratio=8"]
    with pytest.raises(RequestError) as refused:
        grid.asked(KNOWN, given)
    said = str(refused.value)
    for one in (
        "temperature: no such setting; there are steps, guidance, max_length_ratio",
        "steps = 0: must be from 1 to 100",
        "steps = 6.5: must be a whole number",
        "steps = many: must be a number",
        "steps = nothing: must be a number",
        "guidance: give a setting and its values, as --grid steps=V1,V2",
        "max_length_ratio is given twice",
    ):
        assert one in said, said


# --- which steps ------------------------------------------------------------------------------------------------------


def test_the_step_that_ships_comes_first_and_then_the_nearest_that_passes(project: Path) -> None:
    found = decided()
    assert standing.best(found, RECIPE, 2, False) == [found.selected, "step_0000010@1"]
    other = replace(found, selected="step_0000030@1")
    assert standing.best(other, RECIPE, 2, False) == ["step_0000030@1", MAIN]


def test_a_step_that_was_not_shown_to_lose_nothing_does_not_speak(project: Path) -> None:
    found = decided()
    weak = [one if one.candidate == MAIN else replace(one, standing="not_shown") for one in found.evidence]
    assert standing.best(replace(found, evidence=weak), RECIPE, 2, False) == [MAIN]


def test_where_nothing_ships_it_is_said_and_the_best_without_a_veto_speak_only_if_asked(
    project: Path,
) -> None:
    found = decided()
    ranking = [
        replace(one, vetoes=[records.Reason("garbled", "1 of 1")]) if one.candidate == MAIN else one
        for one in found.ranking
    ]
    nothing = replace(found, selected=None, decision="do_not_ship", ranking=ranking)
    with pytest.raises(SelectionError, match=r"nothing ships .*voicelathe decoding mini-lora --anyway"):
        standing.best(nothing, RECIPE, 2, False)
    assert standing.best(nothing, RECIPE, 2, True) == ["step_0000010@1", "step_0000020@1"]
    every = [replace(one, vetoes=[records.Reason("garbled", "all")]) for one in found.ranking]
    with pytest.raises(SelectionError, match="every step has a veto"):
        standing.best(replace(nothing, ranking=every), RECIPE, 2, True)


def test_without_a_selection_the_stage_that_makes_one_is_named(project: Path) -> None:
    layout.run(RECIPE, "selection.json").unlink()
    with pytest.raises(SelectionError, match=r"nothing was selected yet.*dvc repro select@mini-lora"):
        decided()


def test_a_selection_of_another_run_is_refused(project: Path) -> None:
    path = layout.run(RECIPE, "selection.json")
    digest.write_json(path, {**digest.read_json(path), "run_digest": "f" * 64})
    with pytest.raises(
        SelectionError, match=r"is of run ffffffffffffffff, but .*Decide first: dvc repro select"
    ):
        decided()


def test_settings_that_changed_since_the_selection_are_refused(project: Path) -> None:
    params.edit({f"recipes/{RECIPE}/speak/steps": 12})
    with pytest.raises(SelectionError, match=r"steps 12, but .* was decided with .*steps 10\. Decide first"):
        decided()


def test_other_metrics_than_those_of_the_decision_are_refused(project: Path) -> None:
    params.edit({f"recipes/{RECIPE}/listen/metrics": ["waveform", "recogniser"]})
    with pytest.raises(
        SelectionError, match=r"is of other ears \(activity, quality.*than recipes\.mini-lora"
    ):
        decided()


def test_another_recogniser_than_that_of_the_decision_is_refused(project: Path) -> None:
    speech = records.to_json(params.load().speech)
    lock = digest.read_json(Path("dvc.lock"))
    lock["stages"][f"listen@{RECIPE}"] = {"params": {"params.yaml": {"speech": speech}}}
    digest.write_json(Path("dvc.lock"), lock)
    assert decided().selected
    params.edit({"speech/recogniser/digest": "0" * 64})
    with pytest.raises(
        SelectionError, match=r"heard by the recogniser package:.* and params\.yaml has .*\(000000000000\)"
    ):
        decided()
    params.edit({"speech/recogniser": None})
    with pytest.raises(SelectionError, match=r"and params\.yaml has PocketSphinx now"):
        decided()


def test_a_checkpoint_that_is_gone_is_named_with_what_brings_it_back(project: Path) -> None:
    _, index = results.read(RECIPE)
    assert set(standing.weights([MAIN], index)) == {MAIN}
    shutil.rmtree(next(entry.path for entry in index if entry.step == 40))
    with pytest.raises(CheckpointError, match=r"step_0000040 is gone.*voicelathe retrain mini-lora"):
        standing.weights([MAIN], index)


# --- which lines ------------------------------------------------------------------------------------------------------


def test_lines_are_drawn_that_the_decision_did_not_hear(project: Path) -> None:
    own = [
        replace(
            runs.clip("validation", at), text=f"Nobody has said the word number {at}.", recording_id=f"r{at}"
        )
        for at in range(12)
    ]
    records.write(layout.split("validation"), own)
    heard = runs.pack({"short": "Over here.", "first": own[3].text})
    records.write(layout.LINES / "demo.jsonl", heard)
    drawn = fresh_lines.drawn(params.load(), RECIPE, 20)
    assert drawn.known == [] and len(drawn.pack) == 20
    said = {line.text for line in drawn.pack}
    assert not said & {line.text for line in heard} and {line.is_held_out for line in drawn.pack} == {
        True,
        False,
    }
    assert fresh_lines.drawn(params.load(), RECIPE, 20) == drawn, "the same every time"


def test_lines_of_a_pack_that_the_decision_heard_are_counted(project: Path) -> None:
    heard = runs.pack({"one": "The lamp is on.", "two": "It rains."})
    records.write(layout.LINES / "demo.jsonl", heard)
    other = runs.pack({"other": "THE LAMP IS ON", **{f"n{at}": f"A new sentence, {at}." for at in range(8)}})
    records.write(layout.LINES / "mine.jsonl", other)
    assert fresh_lines.of_pack(params.load(), RECIPE, layout.LINES / "mine.jsonl").known == ["other"]


def test_a_pack_with_a_line_that_was_trained_on_or_with_too_few_is_refused(project: Path) -> None:
    path = layout.LINES / "mine.jsonl"
    records.write(path, runs.pack({"leak": records.read(layout.split("train"), CleanClip)[0].text}))
    with pytest.raises(LinesError, match=r"leak of lines/mine\.jsonl"):
        fresh_lines.of_pack(params.load(), RECIPE, path)
    records.write(path, runs.pack({"one": "Nobody trained on that."}))
    with pytest.raises(LinesError, match="holds 1 lines, and it takes 8"):
        fresh_lines.of_pack(params.load(), RECIPE, path)


def test_where_too_few_lines_are_left_it_is_said_how_to_give_some(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fresh_lines, "FEWEST", 1000)
    with pytest.raises(
        LinesError, match=r"sentences are left .*voicelathe decoding mini-lora --lines lines/NAME"
    ):
        fresh_lines.drawn(params.load(), RECIPE, 40)


# --- what it may cost -------------------------------------------------------------------------------------------------


def test_a_grid_beyond_the_budget_says_how_many_lines_each_could_be_heard_on() -> None:
    how = schema.RaceSettings(block_lines=8, error_rate=0.05, max_samples=100, max_audio_s=None, workers=1)
    sweep.require("r", 6, 8, 2, how, 2.0)
    with pytest.raises(SelectionError) as refused:
        sweep.require("r", 18, 8, 2, how, 2.0)
    said = str(refused.value)
    assert "18 pairs of a step and settings x 8 lines of the first block x 2 seed(s) are 288 samples" in said
    assert "each could be heard on 2 line(s)" in said and "--max-samples 288" in said


def test_a_budget_in_seconds_is_foretold_by_the_lines_of_the_decision() -> None:
    how = schema.RaceSettings(block_lines=8, error_rate=0.05, max_samples=None, max_audio_s=100.0, workers=1)
    sweep.require("r", 6, 8, 1, how, 2.0)
    with pytest.raises(SelectionError, match=r"144 samples of about 2\.0 s: each could be heard on 2 line"):
        sweep.require("r", 18, 8, 1, how, 2.0)


NAMES = make.candidates(10, 20)
USED, OTHER = "step_0000010@1", "step_0000020@1"
BLOCK = dict(list(make.MANY.items())[:8])


def test_a_setting_that_says_nothing_once_is_out_and_the_one_in_use_stays_to_be_compared_with() -> None:
    silent = {(USED, "line-01"): "silent", (OTHER, "line-02"): "empty"}
    spoken = make.samples(NAMES, BLOCK, problems=silent)
    found = sweep.hopeless(spoken, make.measures(spoken), make.SELECT, USED, 24)
    assert found == {OTHER: "empty: line line-02, seed 42"}


def test_vetoes_that_the_setting_in_use_has_as_well_end_nothing() -> None:
    spoken = make.samples(NAMES, BLOCK)
    outside = {
        (name, line): {"garbled": "0.5, at most 0.4"} for name in (USED, OTHER) for line in list(BLOCK)[:7]
    }
    assert sweep.hopeless(spoken, make.measures(spoken, outside), make.SELECT, USED, 24) == {}
    alone = {place: why for place, why in outside.items() if place[0] == OTHER}
    found = sweep.hopeless(spoken, make.measures(spoken, alone), make.SELECT, USED, 24)
    assert found == {OTHER: "garbled on 7 lines, too many of 24"}

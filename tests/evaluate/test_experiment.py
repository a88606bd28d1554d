"""What DVC shows of a recipe is what its records say, in a form that DVC reads."""

import csv
import io
import json
from pathlib import Path

import pytest

from voicelathe import layout, records
from voicelathe.evaluate.report import experiment
from voicelathe.records import EvaluationRecord, Selection

RECIPE = "mini-lora"


@pytest.fixture
def chosen(finished_project: Path) -> Selection:
    return records.read_one(finished_project / layout.run(RECIPE, "selection.json"), Selection)


def test_the_metrics_are_those_of_the_selected_candidate_and_of_the_base(
    finished_project: Path, chosen: Selection
) -> None:
    found, _ = experiment.of(RECIPE, chosen, finished_project)
    by_name = {
        one.candidate: one
        for one in records.read(finished_project / layout.run(RECIPE, "evaluations.jsonl"), EvaluationRecord)
    }
    heard = {one.candidate: one for one in chosen.evidence}
    mine, base = by_name[str(chosen.selected)], by_name["base"]
    assert (
        found["decision"] == "ship"
        and found["selected_step"] == chosen.step
        and found["shown"] == chosen.selected
    )
    assert (found["validation_total"], found["base_total"]) == (round(mine.total, 6), round(base.total, 6))
    assert found["validation_diff"] == mine.losses["diff"] and found["base_stop"] == base.losses["stop"]
    assert found["likeness"] == round(heard[mine.candidate].levels["likeness"].mean, 6) == 0.8
    assert found["cer"] == round(1 - heard[mine.candidate].levels["words"].mean, 6) == 0.1
    assert found["likeness_gain"] == pytest.approx(0.2)
    assert found["lowest_total"] == round(min(one.total for one in by_name.values() if one.step), 6)
    assert found["quality"] is None, "nobody measured it"
    assert all(value is None or isinstance(value, str | int | float) for value in found.values()), "flat"


def test_a_refused_recipe_shows_the_best_of_those_that_were_refused(
    finished_project: Path, chosen: Selection
) -> None:
    from dataclasses import replace

    refused = replace(chosen, decision="do_not_ship", selected=None, step=None)
    found, _ = experiment.of(RECIPE, refused, finished_project)
    assert found["decision"] == "do_not_ship" and found["selected_step"] is None
    assert found["shown"] == chosen.nominee and found["validation_total"] is not None


def test_the_plots_hold_every_step_and_every_checkpoint(
    finished_project: Path, chosen: Selection, tmp_path: Path
) -> None:
    _, plots = experiment.of(RECIPE, chosen, finished_project)
    tables = {name: list(csv.DictReader(io.StringIO(text))) for name, text in plots.items()}
    assert [int(row["step"]) for row in tables[experiment.TRAINING]] == [*range(1, 61)]
    assert [int(row["step"]) for row in tables[experiment.CHECKPOINTS]] == [0, 10, 20, 30, 40, 50, 60]
    assert {"total", "diff", "stop", "words", "likeness", "cer", "standing"} <= {
        *tables[experiment.CHECKPOINTS][0]
    }
    assert all(row["words"] and row["likeness"] for row in tables[experiment.WORDS_LIKENESS])


def test_what_is_written_is_what_the_stage_declares(
    finished_project: Path, chosen: Selection, tmp_path: Path
) -> None:
    for name in ("evaluations.jsonl", "steps.jsonl"):
        target = tmp_path / layout.run(RECIPE, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((finished_project / layout.run(RECIPE, name)).read_bytes())
    experiment.write(RECIPE, chosen, tmp_path)
    assert all((tmp_path / layout.run(RECIPE, name)).is_file() for name in experiment.FILES)
    assert json.loads((tmp_path / layout.run(RECIPE, experiment.METRICS)).read_text())["decision"] == "ship"


def test_a_table_without_rows_still_has_the_columns_that_a_plot_asks_for() -> None:
    assert experiment._table([], ["words", "likeness"]) == "words,likeness\n"

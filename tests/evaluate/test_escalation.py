"""A full fine-tune needs a LoRA run on the same split that moved the right way, or a recorded reason."""

from pathlib import Path

import pytest

from tests.factories import runs
from voicelathe import digest, layout
from voicelathe.config import params
from voicelathe.stages import lora_first

EVIDENCE = "runs/mini-lora/selection.json"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    runs.finished(tmp_path, "mini-lora")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def judged(**changes: object) -> tuple[list[str], list[str]]:
    params.edit(
        {
            f"recipes/mini-full/preflight/{name}": value
            for name, value in {"evidence": EVIDENCE, "override": None, **changes}.items()
        }
    )
    return lora_first.check(params.load(), "mini-full")


def change(**values: object) -> None:
    path = layout.run("mini-lora", "selection.json")
    digest.write_json(path, {**digest.read_json(path), **values})


def test_after_a_lora_run_that_moved_nothing_speaks_against_it(project: Path) -> None:
    assert judged() == ([], [])


def test_an_adapter_needs_no_run_before_it(project: Path) -> None:
    assert lora_first.check(params.load(), "mini-lora") == ([], [])


def test_a_lora_run_that_came_no_nearer_to_the_speaker_is_no_go_although_its_loss_is_lower(
    project: Path,
) -> None:
    change(moved=False)
    ((refused,), _) = judged()
    assert refused.startswith(
        "lora_did_not_move: no checkpoint of mini-lora is shown to be nearer to the speaker than the base"
    )
    assert "step_0000040@1: likeness +0.200 against base" in refused


def test_where_nothing_was_heard_the_losses_say_whether_it_moved_and_that_nothing_was_heard(
    project: Path,
) -> None:
    change(moved=False, nearest=None)
    ((refused,), _) = judged()
    assert "nothing was heard; step_0000040@1: loss -0.1000 against base" in refused


def test_a_lora_run_on_another_split_is_no_go(project: Path) -> None:
    with layout.split("train").open("ab") as file:
        file.write(b"\n")
    ((refused,), _) = judged()
    assert refused.startswith("lora_other_split")


@pytest.mark.parametrize(
    "evidence", ["data/gate/passed.json", "runs/mini-full/selection.json", "runs/nowhere/selection.json"]
)
def test_what_is_no_lora_run_is_no_go(project: Path, evidence: str) -> None:
    ((refused,), _) = judged(evidence=evidence)
    assert refused.startswith("no_lora_run") and "recipes.mini-full.preflight.override" in refused


def test_an_override_lets_it_pass_and_is_recorded_with_its_words(project: Path) -> None:
    refused, (waived,) = judged(evidence="data/gate/passed.json", override="the adapter was tried elsewhere")
    assert (
        not refused
        and waived.startswith("no_lora_run")
        and waived.endswith("waived: the adapter was tried elsewhere")
    )

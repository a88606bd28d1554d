"""`voicelathe why`: the decision, the gates that say no, and what was refused before."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.factories import mlflow_stores, runs
from voicelathe.errors import PromotionError
from voicelathe.registry.history import refusals

RECIPE = "mini-lora"


def test_a_recipe_that_may_go_is_told_how_and_the_advice_works(tracked: Path, run: Run) -> None:
    told = run("why", RECIPE)
    assert told.code == 0 and "the decision is ship step_0000040@1." in told.out
    assert f"Promote it: voicelathe promote {RECIPE}\n" in told.out
    assert run("promote", RECIPE).code == 0


def test_a_recipe_without_a_selected_candidate_asks_no_gate_until_one_is_named(
    tracked: Path, run: Run
) -> None:
    runs.select(tracked, RECIPE, "do_not_ship", None)
    told = run("why", RECIPE)
    assert "the decision is do_not_ship." in told.out
    assert f"voicelathe why {RECIPE} --candidate STEP" in told.out
    named = run("why", RECIPE, "--candidate", "40")
    assert "  selection: the decision is do_not_ship" in named.out
    advice = f'voicelathe promote {RECIPE} --candidate 40 --because "the reason"'
    assert advice in named.out
    assert run("promote", RECIPE, "--candidate", "40", "--because", "the reason").code == 0


def test_what_no_reason_overrides_is_said_and_no_command_is_offered(tracked: Path, run: Run) -> None:
    (tracked / "consent/awb.json").unlink()
    told = run("why", RECIPE)
    assert "  consent: " in told.out and "(no reason overrides this)" in told.out
    assert "voicelathe promote" not in told.out


def test_one_gate_that_no_reason_overrides_is_enough_to_offer_no_command(tracked: Path, run: Run) -> None:
    (tracked / "consent/awb.json").unlink()
    told = run("why", RECIPE, "--candidate", "20")
    assert "  selection: " in told.out and "(no reason overrides this)" in told.out
    assert "voicelathe promote" not in told.out


def test_what_is_in_production_already_is_said_and_no_command_is_offered(tracked: Path, run: Run) -> None:
    assert "Nothing is in production." in run("why", RECIPE).out
    assert run("promote", RECIPE).code == 0
    told = run("why", RECIPE)
    assert "step_0000040@1 is in production already, as version 1." in told.out
    assert "voicelathe promote" not in told.out
    other = run("why", RECIPE, "--candidate", "20")
    assert "In production is version 1, mini-lora step_0000040@1." in other.out
    assert f"voicelathe promote {RECIPE} --candidate 20 --because" in other.out


def test_an_alias_that_was_moved_by_hand_is_said_and_the_advice_takes_it_over(
    tracked: Path, run: Run
) -> None:
    run("promote", RECIPE)
    run("promote", RECIPE, "--candidate", "20", "--because", "warmer")
    mlflow_stores.client(tracked).set_registered_model_alias("voicelathe", "production", "1")
    told = run("why", RECIPE)
    assert "the alias was moved by hand" in told.out and "already" not in told.out
    advice = f'voicelathe promote {RECIPE} --take-over 1 --because "the reason"'
    assert advice in told.out
    assert run("promote", RECIPE, "--take-over", "1", "--because", "the reason").code == 0


def test_without_mlflow_the_gates_are_asked_nevertheless(tracked: Path, run: Run) -> None:
    (tracked / "mlflow.db").write_bytes(b"no database")
    told = run("why", RECIPE)
    assert told.code == 0 and "What is in production could not be asked: " in told.out
    assert f"voicelathe promote {RECIPE}\n" in told.out


def test_earlier_refusals_of_this_recipe_are_listed_and_no_others(tracked: Path, run: Run) -> None:
    for name in (RECIPE, "another"):
        with pytest.raises(PromotionError), refusals.noted(tracked, "promote", name, None):
            raise PromotionError(f"{name} must not go")
    told = run("why", RECIPE)
    assert f"{RECIPE} must not go" in told.out and "another must not go" not in told.out

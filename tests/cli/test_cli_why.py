"""`voicelathe why`: the decision, the gates that say no, and what was refused before."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.factories import runs
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


def test_earlier_refusals_of_this_recipe_are_listed_and_no_others(tracked: Path, run: Run) -> None:
    for name in (RECIPE, "another"):
        with pytest.raises(PromotionError), refusals.noted(tracked, "promote", name, None):
            raise PromotionError(f"{name} must not go")
    told = run("why", RECIPE)
    assert f"{RECIPE} must not go" in told.out and "another must not go" not in told.out

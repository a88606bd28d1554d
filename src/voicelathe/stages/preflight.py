"""Stage `preflight`: does it fit on this machine, and do a few real steps go the right way?"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from voicelathe import records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.plan import cards, forecast
from voicelathe.runs import controls, early_lines, identity, references, replay
from voicelathe.runs.results import FULL_SCALE, candidates
from voicelathe.stages import ceiling
from voicelathe.stages.speak import speak
from voicelathe.stages.train import train

PROBED = ("text_ignored", "stop_head_forgets")  # signs of train.anomalies that a checkpoint must not show


def preflight(
    params: schema.Params, recipe: str, revision: int, refused: list[str], waived: list[str]
) -> records.PreflightRecord:
    """Stage `preflight`: does it fit, and if so, a few steps with the recipe's own settings, two checkpoints heard beside the base.

    `refused` are reasons against it that others found: with any of them nothing is tried.
    """
    one = find_recipe(params, recipe)
    run = identity.of_training(params, recipe, trial(one), revision, prefix="preflight-")
    if refused:
        return records.PreflightRecord("no_go", refused, [], [], [], None, waived, [], run.inputs)
    rehearsal, refused = _fits(params, recipe, one)
    if refused:
        return records.PreflightRecord("no_go", refused, [], [], [], rehearsal, waived, [], run.inputs)
    run, index_ = train(params, run)
    steps = records.read(Path(run.directory) / "steps.jsonl", records.StepRecord)
    heard = candidates([index_[0], *index_[-2:]], [FULL_SCALE])
    line = records.Line("preflight", one.preflight.line.text, one.preflight.line.language, params.seed)
    out = Path(run.directory) / "speech"
    samples = speak(params, run, heard, [line], one.preflight.max_seconds, one.speak, out)
    reasons = _failures(steps, samples)
    return records.PreflightRecord(
        "no_go" if reasons else "go", reasons, steps, index_, samples, rehearsal, waived, [], run.inputs
    )


def notices(params: schema.Params, recipe: str) -> list[str]:
    """What people should know before the hours are spent. Raises where a recipe asks for what its clips cannot give."""
    asked = (controls.notices, references.notices, replay.notices, ceiling.notices, early_lines.notices)
    return [text for ask in asked for text in ask(params, recipe)]


def trial(one: schema.Recipe) -> schema.Train:
    """The recipe's own training, a few steps of it: two checkpoints, and a probe at each of them at least."""
    every = max(1, one.preflight.steps // 2)
    return replace(
        one.train,
        steps=one.preflight.steps,
        checkpoint_every=every,
        warmup_steps=1,
        decay_steps=None if one.train.decay_steps is None else 1,
        probe_every=min(every, one.train.probe_every),
        early_stopping=None,
    )


def _fits(
    params: schema.Params, recipe: str, one: schema.Recipe
) -> tuple[records.Rehearsal | None, list[str]]:
    """The rehearsal of a recipe, and why this machine cannot hold it: memory with the one setting to change, disk."""
    if not forecast.can_rehearse(params, one.base):
        return None, []
    card = cards.present(params.machine)
    found, _ = forecast.rehearse(params, one.base, one.train, recipe, card is None or not card.is_host)
    reasons = []
    if card is None:
        _say(
            f"{recipe}: nvidia-smi does not say how much memory the card has; whether it fits is not checked"
        )
    else:
        planned = forecast.forecast(params, recipe, one, found, card, card.name)
        if (refused := cards.refusal(card, one.train)) is not None:
            reasons.append(f"precision: {refused}")
        if found.paged and not card.can_page:
            _say(f"{recipe}: {forecast.NO_PAGING}")
        if not planned.fits:
            change = forecast.remedy(params, recipe, one, card, None, _say)
            beside = planned.memory[forecast.EARLY]
            share = f", {beside / 1e9:.1f} of them to judge checkpoints beside it" if beside else ""
            reasons.append(
                f"memory: needs {planned.total / 1e9:.1f} GB in phase `{planned.worst}`{share} and {card.name} has {card.bytes / 1e9:.1f} GB; "
                f"change {change}"
            )
    return found, [*reasons, *disk_reasons(one, forecast.disk_bytes(params, one.train, found))]


def disk_reasons(one: schema.Recipe, needed: int) -> list[str]:
    """Room for everything the run keeps, and what params.yaml wants left free."""
    need, free = needed + one.preflight.min_free_disk_gib * 2**30, shutil.disk_usage(".").free
    if free >= need:
        return []
    return [
        f"disk: the run needs about {need / 2**30:.1f} GiB and less is free; change train.checkpoint_every, or make room"
    ]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _failures(steps: list[records.StepRecord], samples: list[records.SampleRecord]) -> list[str]:
    """Hard failures, and what the last probe says of text and end of speech: a few steps cannot show more."""
    reasons = []
    if steps[-1].total > 2.0 * steps[0].total:
        reasons.append(
            f"loss_exploded: {steps[0].total:.3f} at step 1, {steps[-1].total:.3f} at step {steps[-1].step}; lower the learning rate"
        )
    last = next((one for one in reversed(steps) if one.probe), steps[-1])
    reasons += [sign for sign in last.signs if sign.code in PROBED]
    broken = [sample for sample in samples if sample.step > 0 and sample.problem in records.HARD_FAILURES]
    reasons += [f"{sample.problem}_speech: {sample.candidate} said nothing usable" for sample in broken]
    return reasons

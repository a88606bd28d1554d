"""Which fine-tunes are finished, and what did their stages leave?"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.decisions import hearing, making, oracle, packs
from benchmarks.decisions.cases import CASES
from benchmarks.decisions.finished import inside
from benchmarks.decisions.hearing import Heard
from benchmarks.decisions.making import Place
from benchmarks.decisions.replay import Trained
from benchmarks.decisions.report import Judged
from voicelathe import layout, records
from voicelathe.config import params
from voicelathe.evaluate import losses
from voicelathe.evaluate.scoring import probing
from voicelathe.records import BaseFacts, EvaluationRecord, ProbeRecord
from voicelathe.runs import results


def finished(place: Place, num_draws: int = 1) -> Iterator[Judged]:
    """Cases whose candidates were all heard, by their mark, each with so many draws of its lines. Other pools or ears than then: they speak again."""
    for case in CASES:
        if making.is_heard(place, case):
            yield from judged(place.project(case), case.name, num_draws)


def judged(project: Path, recipe: str, num_draws: int) -> Iterator[Judged]:
    whole, likeness = making.heard(project, recipe)
    known = _trained(project, recipe, whole)
    for number in range(num_draws):
        decision, other = packs.drawn(recipe, number)
        truth = oracle.of(hearing.of_lines(whole, other), hearing.of_lines(likeness, other))
        yield Judged(replace(known, pack=decision, heard=hearing.of_lines(whole, decision)), truth)


def _trained(project: Path, recipe: str, whole: Heard) -> Trained:
    with inside(project):
        chosen = params.load()
        how = params.recipe(chosen, recipe)
        run, index = results.read(recipe)
        evaluations = records.read(layout.run(recipe, "evaluations.jsonl"), EvaluationRecord)
        facts = records.read_one(layout.latents(how.base) / "base.json", BaseFacts)
        probes = records.read(layout.run(recipe, "probes.jsonl"), ProbeRecord)
        probed = probing.judge(recipe, probes, evaluations, how.select.probes, facts, run.identity.seed)
        clip_losses = losses.read(layout.run(recipe, "clip_losses.parquet"))
    return Trained(
        recipe, run, evaluations, clip_losses, index, probed, how.select, how.listen.race, packs.pool(), whole,
        facts.trained,
    )  # fmt: skip

"""Which fine-tunes are finished, and what did their stages leave?"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.decisions import making, oracle, packs
from benchmarks.decisions.cases import CASES
from benchmarks.decisions.finished import inside
from benchmarks.decisions.making import Place
from benchmarks.decisions.replay import Trained
from benchmarks.decisions.report import Judged
from voicelathe import layout, records
from voicelathe.config import params
from voicelathe.evaluate import losses
from voicelathe.evaluate.scoring import probing
from voicelathe.records import BaseFacts, EvaluationRecord, ProbeRecord
from voicelathe.runs import results


def finished(place: Place) -> Iterator[Judged]:
    """Cases whose candidates were all heard, by their mark. Other packs or ears than then: they speak again."""
    for case in CASES:
        if making.is_heard(place, case):
            yield judged(place.project(case), case.name)


def judged(project: Path, recipe: str) -> Judged:
    decision, truth = making.heard(project, recipe)
    with inside(project):
        chosen = params.load()
        how = params.recipe(chosen, recipe)
        run, index = results.read(recipe)
        evaluations = records.read(layout.run(recipe, "evaluations.jsonl"), EvaluationRecord)
        facts = records.read_one(layout.latents(how.base) / "base.json", BaseFacts)
        probes = records.read(layout.run(recipe, "probes.jsonl"), ProbeRecord)
        probed = probing.judge(recipe, probes, evaluations, how.select.probes, facts, run.identity.seed)
        clip_losses = losses.read(layout.run(recipe, "clip_losses.parquet"))
    trained = Trained(
        recipe, run, evaluations, clip_losses, index, probed, how.select, how.listen.race, packs.decision(), decision,
        facts.trained,
    )  # fmt: skip
    return Judged(trained, oracle.of(truth))

"""Which checkpoints are tried? The one that ships and the next best that was heard, by the decision as it stands."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voicelathe import checkpoints, layout, records
from voicelathe.config import schema
from voicelathe.config.params import read_yaml
from voicelathe.config.params import recipe as find_recipe
from voicelathe.errors import SelectionError
from voicelathe.evaluate import guards, scores, selection
from voicelathe.evaluate.evidence import BASES
from voicelathe.families import decoding
from voicelathe.process import jobs
from voicelathe.records import Candidate, CheckpointRecord, Evidence, Selection, SpeechMeasures
from voicelathe.runs import results

LOCK = Path("dvc.lock")
STAND_IN = "words"  # the metric of PocketSphinx, which hears where no recogniser is pinned


def decided(params: schema.Params, recipe: str) -> Selection:
    """The decision, if it is of today's run, settings and ears. Raises SelectionError or RecordError with what to run first."""
    one, path = find_recipe(params, recipe), layout.run(recipe, "selection.json")
    if not path.is_file():
        raise SelectionError(
            f"{path} is missing: nothing was selected yet, so there is no best step to try other settings on. Run: dvc repro select@{recipe}"
        )
    run, _ = results.read(recipe)
    found = records.read_one(path, Selection)
    again = f"Decide first: dvc repro select@{recipe}"
    if found.run_digest != run.run_digest:
        raise SelectionError(
            f"{path} is of run {found.run_digest[:16]}, but {layout.run(recipe, 'run.json')} is of {run.run_digest[:16]}. {again}"
        )
    if found.decoding != one.speak:
        raise SelectionError(
            f"recipes.{recipe}.speak is {decoding.as_text(one.speak)}, but {path} was decided with {decoding.as_text(found.decoding)}. {again}"
        )
    _require_ears(params, recipe, again)
    return found


def _require_ears(params: schema.Params, recipe: str, again: str) -> None:
    """Raises SelectionError where other metrics, or another recogniser, heard the candidates than would hear the settings."""
    path, how = layout.run(recipe, "metrics.json"), find_recipe(params, recipe).listen
    heard = records.read_one(path, SpeechMeasures)
    then, now = {run.metric for run in heard.metrics} - {STAND_IN}, set(how.metrics) - {STAND_IN}
    if then != now:
        raise SelectionError(
            f"{path} is of other ears ({', '.join(sorted(then))}) than recipes.{recipe}.listen.metrics names ({', '.join(sorted(now))}), "
            f"so the best steps were chosen by other figures. {again}"
        )
    known, pinned = _recogniser_then(recipe), _model(records.to_json(params.speech))
    if known is not None and known != pinned:
        raise SelectionError(
            f"{path} was heard by the recogniser {known or 'PocketSphinx'}, and params.yaml has {pinned or 'PocketSphinx'} now "
            f"(speech.recogniser), so the best steps were chosen by other ears. {again}"
        )


def _recogniser_then(recipe: str) -> str | None:
    """What dvc.lock says of the recogniser that listen heard with; None where it says nothing."""
    if not LOCK.is_file():
        return None
    stage = read_yaml(LOCK).get("stages", {}).get(f"listen@{recipe}", {})
    speech = stage.get("params", {}).get("params.yaml", {}).get("speech")
    return None if speech is None else _model(speech)


def _model(speech: Mapping[str, Any]) -> str:
    """A recogniser by name and digest; nothing where none is pinned."""
    one = speech.get("recogniser")
    return f"{one['model']} ({str(one['digest'])[:12]})" if one else ""


def best(found: Selection, recipe: str, number: int, anyway: bool) -> list[str]:
    """Up to `number` candidates, the best first. Raises SelectionError where nothing ships, unless `anyway`, and where nothing is left."""
    vetoed = {one.candidate for one in found.ranking if one.vetoes}
    order = [one.candidate for one in found.ranking]
    left = [one for one in found.evidence if one.candidate not in BASES and one.candidate not in vetoed]
    if found.selected is None and not anyway:
        raise SelectionError(
            f"{recipe}: nothing ships (runs/{recipe}/selection.json: {found.decision}), so no step speaks in production whose settings could be "
            f"better. To try them on the best steps without a veto: voicelathe decoding {recipe} --anyway"
        )
    if found.selected is not None:
        left = [one for one in left if one.candidate == found.selected or one.standing == guards.PASSES]
    if not left:
        raise SelectionError(
            f"{recipe}: every step has a veto (runs/{recipe}/report.html), and other settings do not lift one. Train otherwise: docs/choosing.md"
        )
    left.sort(key=lambda one: _place(one, found.selected, order))
    return [one.candidate for one in left[:number]]


def _place(one: Evidence, selected: str | None, order: Sequence[str]) -> tuple[bool, int, float, int]:
    """What ships, then by standing, likeness and loss."""
    standing = [*selection.STANDINGS, guards.FAILS].index(one.standing)
    likeness = one.levels[scores.LIKENESS].mean if scores.LIKENESS in one.levels else 0.0
    return one.candidate != selected, standing, -likeness, order.index(one.candidate)


def weights(names: Sequence[str], index: Sequence[CheckpointRecord]) -> dict[str, jobs.WeightsRef]:
    """The weights of these candidates, of which every byte is there. Raises SelectionError or CheckpointError."""
    by_step: Mapping[int, CheckpointRecord] = {entry.step: entry for entry in index}
    found = {}
    for name in names:
        candidate = Candidate.named(name)
        entry = by_step.get(candidate.step)
        if entry is None:
            raise SelectionError(
                f"selection.json names {name}, but checkpoints.json lists no step {candidate.step}. Decide again: dvc repro -f select"
            )
        checkpoints.verify(Path(entry.path), entry.sha256)
        found[name] = jobs.WeightsRef(candidate, entry.kind, entry.path, entry.sha256)
    return found

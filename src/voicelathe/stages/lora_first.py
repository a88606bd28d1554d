"""May a full fine-tune be tried? Only after a LoRA run on the same split that moved the right way, or with a recorded reason.

A LoRA run costs hours less and forgives more. Where it does not move toward the voice, the data or the recipe is wrong, and a full
fine-tune of the same data only hides that.
"""

from pathlib import Path

from voicelathe import digest, layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.errors import RecordError
from voicelathe.records import RunRecord, Selection


def check(params: schema.Params, recipe: str) -> tuple[list[str], list[str]]:
    """Reasons against it, and reasons that `preflight.override` set aside; both empty for an adapter."""
    one = find_recipe(params, recipe)
    if one.train.mode != "full":
        return [], []
    refused = _refused(params, recipe, Path(one.preflight.evidence))
    if refused is None:
        return [], []
    if one.preflight.override:
        return [], [f"{refused}; waived: {one.preflight.override}"]
    return [f"{refused}. Or say in recipes.{recipe}.preflight.override why it need not"], []


def _refused(params: schema.Params, recipe: str, evidence: Path) -> str | None:
    where, name = f"recipes.{recipe}.preflight.evidence", evidence.parent.name
    loras = [other for other, one in params.recipes.items() if one.train.mode == "lora"]
    if evidence != layout.run(name, "selection.json") or (name in params.recipes and name not in loras):
        return f"no_lora_run: {where} = {evidence} is not the selection of a LoRA recipe; name one: runs/RECIPE/selection.json"
    try:
        run = records.read_one(layout.run(name, "run.json"), RunRecord)
        found = records.read_one(evidence, Selection)
    except RecordError as problem:
        return f"no_lora_run: {problem}"
    if run.identity.train.mode != "lora" or run.run_digest != found.run_digest:
        return f"no_lora_run: {evidence} is not of a finished LoRA run; dvc repro select@{name}"
    split = layout.split("train")
    if run.inputs.get(split.as_posix()) != digest.of_file(split):
        return f"lora_other_split: {name} was trained on another split than {split} is now; dvc repro select@{name}"
    if not found.moved:
        return f"lora_did_not_move: no checkpoint of {name} is shown to be nearer to the speaker than the base ({_how_far(found)}); look at the data and the recipe first"
    return None


def _how_far(found: Selection) -> str:
    if found.nearest is not None:
        return f"{found.nearest.candidate}: likeness {found.nearest.difference:+.3f} against {found.nearest.against}"
    best = found.best_against_base
    return f"nothing was heard; {best.candidate}: loss {best.difference:+.4f} against {best.against}"

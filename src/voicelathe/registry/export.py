"""A candidate as files that upstream's own package opens, with a model card, ready for a model hub.

The gates of a promotion are asked: consent, licence, data and integrity cannot be overridden. The folder holds nothing about this
machine and nothing personal, and appears whole or not at all.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from voicelathe import checkpoints, digest, families, layout
from voicelathe.data import consent
from voicelathe.data.lexicon import lexicon_file
from voicelathe.errors import ConsentError, PromotionError
from voicelathe.families.shared import conversion
from voicelathe.process import jobs, runner
from voicelathe.registry import card, gates
from voicelathe.registry.authority import Authority
from voicelathe.registry.gates import Case
from voicelathe.registry.speaking import say
from voicelathe.tracking import files as run_files

CARD, SERVERS, PROVENANCE = "README.md", "SERVE.md", "provenance.json"


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    candidate: str
    form: str  # adapter | merged | full
    num_files: int
    num_bytes: int


def export(
    what: str,
    to: Path,
    root: Path,
    candidate: str | None = None,
    because: str | None = None,
    merged: bool = False,
    base_model: str | None = None,
) -> Exported:
    """Write a recipe's candidate (None: the selected one), or a version by its `models:/` URI, into a new folder.

    An adapter at another LoRA scale than 1 is written with that scale in its weights. `base_model`: how the card names the base, for
    example its repository on a hub. Raises PromotionError with every gate that says no, and for a folder that is not empty.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise PromotionError(f"{to} is not an empty folder. Name a new one: an export never overwrites.")
    chosen = gates.load_params(root)
    recipe, version = what, None
    if what.startswith("models:/"):
        recipe, version, candidate, because = _promoted(what, root, candidate, because)
    case = gates.examine(recipe, root, chosen, candidate)
    _require_form(case, merged)
    _require_no_mark(case)
    waived = gates.require(case, because, "be exported")
    form = "merged" if merged else "adapter" if case.shown.checkpoint.kind == "lora" else "full"
    draft = to.with_name(f".{to.name}.{os.getpid()}.partial")
    try:
        _write(case, draft, form)
        if form != "adapter":
            _for_upstream(case.files.run.identity.family, draft)
        about = card.about(case, form, base_model, version, because, waived)
        digest.write_text(draft / CARD, card.render(about))
        if (servers := card.serving(about)) is not None:
            digest.write_text(draft / SERVERS, servers)
        if (found := case.files.run.identity.lexicon) is not None:
            digest.write_text(draft / card.LEXICON, lexicon_file.written(found))
        files = digest.of_tree(draft)
        digest.write_json(draft / PROVENANCE, card.provenance(about, files))
        size = sum(path.stat().st_size for path in draft.rglob("*") if path.is_file())
        if to.exists():
            to.rmdir()
        draft.rename(to)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Exported(to, case.shown.candidate.name, form, len(files) + 1, size)


def _for_upstream(family: str, out: Path) -> None:
    """Files that upstream reads in one form only: a pickle of tensors beside the safetensors they come from (decision 0007)."""
    for name, source in families.spec(family).pickled.items():
        conversion.restore(out / source, out / name)


def _promoted(
    uri: str, root: Path, candidate: str | None, because: str | None
) -> tuple[str, str, str, str | None]:
    """Recipe, version, candidate and reason of a promoted version. What was overridden for production stays overridden."""
    if candidate is not None:
        raise PromotionError(f"--candidate {candidate}: {uri} is one candidate already. Leave it out.")
    promotion = Authority(root).find(say.resolve(uri, root))
    run = run_files.read(promotion.recipe, root).run
    if run.run_digest != promotion.run_digest:
        raise PromotionError(
            f"{uri} is of run {promotion.run_digest[:16]}, but runs/{promotion.recipe} holds the records of {run.run_digest[:16]}: its card "
            "could not be written. Check out the commit that was promoted, dvc checkout, and export there."
        )
    return promotion.recipe, promotion.version, promotion.candidate, because or promotion.because


def _require_form(case: Case, merged: bool) -> None:
    kind = case.shown.checkpoint.kind
    if case.shown.candidate.prompted:
        raise PromotionError(
            f"{case.shown.candidate.name} is the untouched base with a recording of the speaker in front: there are no weights to export, and "
            "whoever had the recording could let any model speak so. Serve it from this project instead (docs/serving.md)."
        )
    if kind == "base":
        raise PromotionError(
            f"{case.shown.candidate.name} is the untouched base: there is nothing to export."
        )
    if merged and kind != "lora":
        raise PromotionError(
            f"--merged: {case.shown.candidate.name} is a whole model already. Leave the option out."
        )


def _require_no_mark(case: Case) -> None:
    """Whatever opens an export speaks without this project. Raises ConsentError where a speaker demands a mark."""
    for speaker in case.speakers:
        if consent.load(speaker, case.files.root / layout.CONSENT).watermark_required:
            raise ConsentError(
                f"{consent.path_of(speaker)}: watermark_required cannot be honoured by an export: other programs speak with it and mark "
                "nothing. Serve this voice from this project instead (docs/serving.md)."
            )


def _write(case: Case, out: Path, form: str) -> None:
    """The weights in upstream's format, with the base's other files where the format is a whole directory."""
    shown, root = case.shown, case.files.root
    if form == "full" or (form == "adapter" and shown.candidate.lora_scale == 1.0):
        source = root / shown.checkpoint.path
        for name in checkpoints.verify(source, shown.checkpoint.sha256)["files"]:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, out / name)
        return
    run, lora = case.files.run, case.files.run.identity.train.lora
    assert lora is not None
    base = str(root / case.base.path)
    target = jobs.Target(run.identity.family, base, run.identity.base_digest, case.params.machine)
    weights = jobs.WeightsRef(
        shown.candidate, "lora", str(root / shown.checkpoint.path), shown.checkpoint.sha256
    )
    runner.run(jobs.ExportJob(target, lora, weights, form == "merged", str(out)), run.recipe)

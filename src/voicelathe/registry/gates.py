"""May this candidate go into production? Every reason against it at once, each with what to do next.

Some may be overridden with a reason that is recorded for ever; consent, licence, data and integrity may not.
"""

import getpass
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicelathe import checkpoints, digest, families, layout, lines, records
from voicelathe.config import params, schema
from voicelathe.data import consent
from voicelathe.errors import PromotionError, SelectionError, VoiceLatheError, listing
from voicelathe.evaluate.listening import names, verdicts
from voicelathe.registry import based, chain
from voicelathe.registry.history import journal
from voicelathe.registry.speaking import reference
from voicelathe.registry.speaking.reference import CarriedClip
from voicelathe.runs import identity, replay
from voicelathe.tracking import files as run_files
from voicelathe.tracking.files import RunFiles, Shown

FORBIDDING = ("nc", "noncommercial", "research", "unknown", "proprietary")  # as a part of a licence's name


@dataclass(frozen=True)
class Objection:
    """One gate that says no."""

    gate: str
    message: str
    waivable: bool


@dataclass(frozen=True)
class Case:
    """A candidate with everything that was looked at to judge it."""

    files: RunFiles
    shown: Shown
    params: schema.Params
    speakers: dict[
        str, list[str]
    ]  # speaker -> languages of the clips trained on, or of the one that is heard
    objections: list[Objection]
    inputs: dict[str, str]
    heard: CarriedClip | None = None  # what the candidate hears before it speaks

    @property
    def base(self) -> schema.Base:
        return self.params.bases[self.files.run.identity.base]


def examine(recipe: str, root: Path, chosen: schema.Params, candidate: str | None) -> Case:
    """Look at everything that speaks against a candidate (None: the selected one); nothing is changed.

    Cost: reads every byte of the candidate's weights, of the base and of everything the run was made from.
    """
    files = run_files.read(recipe, root)
    shown = run_files.find(files, candidate)
    heard, unheard = _heard(files, shown, chosen)
    speakers = _speakers(files, chosen, heard)
    objections = [
        *unheard,
        *_selection(files, shown),
        *_evidence(files, shown),
        *_data(files),
        *_consent(root, chosen, speakers, models_of(files.run.identity.base, files.run.identity.family)),
        *mixed_in(files, shown),
        *_licence(chosen, files),
        *_terms(files.run.identity.family),
        *_weights(files, shown, chosen),
    ]
    if all(
        one.waivable for one in objections
    ):  # what is broken was named above, and this reads all the audio
        objections += _chain(recipe, root)
    paths = [
        layout.run(recipe, name)
        for name in ("run.json", "checkpoints.json", "evaluations.jsonl", "samples.jsonl")
    ]
    paths += [
        layout.run(recipe, "selection.json"),
        layout.GATE,
        *(layout.CONSENT / f"{one}.json" for one in speakers),
    ]
    inputs = digest.of_files({path.as_posix(): root / path for path in paths if (root / path).is_file()})
    return Case(files, shown, chosen, speakers, objections, inputs, heard)


def require(case: Case, because: str | None, step: str = "go into production") -> list[str]:
    """The gates that `because` overrides. Raises PromotionError with all objections that stand against this step."""
    standing = [one for one in case.objections if not (one.waivable and because)]
    if not standing:
        return sorted({one.gate for one in case.objections})
    waivable = all(one.waivable for one in standing)
    raise PromotionError(
        f"{case.files.run.recipe}: {case.shown.candidate.name} must not {step}:\n"
        + listing(f"{one.gate}: {one.message}" for one in standing)
        + ('\nTo do it nevertheless, on the record: --because "the reason"' if waivable else "")
    )


def _selection(files: RunFiles, shown: Shown) -> Iterator[Objection]:
    selection = files.selection
    if selection.decision != "ship":
        why = "; ".join(selection.reasons)
        yield Objection("selection", f"the decision is {selection.decision}: {why}", waivable=True)
    elif selection.selected != shown.candidate.name:
        yield Objection(
            "selection", f"{selection.selected} was selected, not {shown.candidate.name}", waivable=True
        )
    for path, expected in selection.inputs.items():
        if not (files.root / path).exists() or _digest(files.root / path) != expected:
            message = f"{path} is not the file the decision was made on. Decide again: dvc repro select@{selection.recipe}"
            yield Objection("selection", message, waivable=False)


def _evidence(files: RunFiles, shown: Shown) -> Iterator[Objection]:
    missing = [one.candidate.name for one in files.candidates if one.evaluation is None]
    if missing:
        message = f"not evaluated: {', '.join(missing)}. Run: dvc repro evaluate@{files.run.recipe}"
        yield Objection("evaluation", message, waivable=False)
    if not shown.samples:
        message = f"it never spoke. Run: dvc repro listen@{files.run.recipe}"
        yield Objection("listening", message, waivable=True)
    elif files.selection.listening is None:
        page = layout.run(files.run.recipe, "listening.html")
        message = f"nobody has judged the samples. Listen: {page}, then: voicelathe verdict import {files.run.recipe} FILE"
        yield Objection("listening", message, waivable=True)
    else:
        yield from _listeners(files.run.recipe, files.root)
    failed = [f"{sample.line_id}: {sample.problem}" for sample in shown.samples if sample.problem]
    if failed:
        yield Objection("listening", f"failed samples ({', '.join(failed)})", waivable=True)


def _listeners(recipe: str, root: Path) -> Iterator[Objection]:
    """Whoever promotes is no witness of the own decision. Names are compared as they look; another name is not found."""
    try:
        verdict = verdicts.load(recipe, root)
    except SelectionError as problem:
        yield Objection("listening", str(problem), waivable=False)
        return
    heard = {names.seen(one.listener) for one in verdict.sittings} if verdict else set()
    if heard == {names.seen(getpass.getuser())}:
        message = f"only {getpass.getuser()} has listened, who promotes this, too: have somebody else listen, or say why that is enough"
        yield Objection("listening", message, waivable=True)


def _data(files: RunFiles) -> Iterator[Objection]:
    """The gate must have passed exactly the rows the run was trained on."""
    again = "Run: dvc repro gate"
    path = files.root / layout.GATE
    if not path.is_file():
        yield Objection(
            "data gate", f"{layout.GATE} is missing: the data never passed. {again}", waivable=False
        )
        return
    passed = records.read_one(path, records.Passed)
    trained_on = files.run.inputs.get(layout.split("train").as_posix())
    if trained_on != passed.splits.get("train"):
        message = f"{passed.splits.get('train')} passed as training data, but the run was trained on {trained_on}. {again}"
        yield Objection("data gate", message, waivable=False)
    for name, sha256 in passed.splits.items():
        split = files.root / layout.split(name)
        found = digest.of_file(split) if split.is_file() else None
        if found != sha256:
            message = f"{layout.split(name)} has sha256 {found}, but {sha256} passed. {again}"
            yield Objection("data gate", message, waivable=False)
    if passed.policy != "required":
        message = (
            f"the data passed under consent.policy = {passed.policy}: nothing trained on it may be promoted"
        )
        yield Objection("consent", message, waivable=False)
    if (files.root / files.run.directory / identity.RESEARCH).is_file():
        message = (
            "the weights were trained while the data had passed for research only (consent.policy = research). With consent, "
            f"train them again: voicelathe retrain {files.run.recipe}"
        )
        yield Objection("consent", message, waivable=False)


def _consent(
    root: Path, chosen: schema.Params, speakers: Mapping[str, Sequence[str]], models: Sequence[str]
) -> Iterator[Objection]:
    if chosen.consent.policy != "required":
        message = f"consent.policy = {chosen.consent.policy}: nothing trained under it may be promoted"
        yield Objection("consent", message, waivable=False)
    for problem in consent_problems(root, speakers, models):
        yield Objection("consent", problem, waivable=False)


def mixed_in(files: RunFiles, shown: Shown) -> Iterator[Objection]:
    """Whom the weights saw against forgetting, too, must still agree to be trained on; nobody hears their voices, so no more is asked."""
    again = f"Its clips were mixed in (train.replay_share). Renew the record, or take them out of general.manifest and train again: dvc repro select@{files.run.recipe}"
    try:
        used = {} if shown.checkpoint.kind == "base" else replay.speakers(files.run, files.root)
        found = replay.without_consent(used, journal.today(files.root), files.root / layout.CONSENT)
        problems = [f"{one} {again}" for one in found]
    except VoiceLatheError as problem:
        problems = [str(problem)]
    yield from (Objection("consent", one, waivable=False) for one in problems)


def consent_problems(
    root: Path, speakers: Mapping[str, Sequence[str]], models: Sequence[str] = ()
) -> list[str]:
    """What is wrong today with the consent of these speakers to a voice of theirs in these languages, made by this model."""
    watermark = load_params(root).consent.watermark
    today, place = journal.today(root), root / layout.CONSENT
    return [
        text
        for one, used in speakers.items()
        for text in consent.problems(one, "clone", today, used, place, models, watermark)
    ]


def models_of(base: str, family: str) -> list[str]:
    """The names that a consent record may know a model by."""
    return sorted({base, family})


def _heard(
    files: RunFiles, shown: Shown, chosen: schema.Params
) -> tuple[CarriedClip | None, list[Objection]]:
    """The clip in front of everything that the candidate says, or why it cannot be carried."""
    try:
        return reference.of_candidate(files, shown, chosen), []
    except VoiceLatheError as problem:
        return None, [Objection("reference", str(problem), waivable=False)]


def _speakers(files: RunFiles, chosen: schema.Params, heard: CarriedClip | None) -> dict[str, list[str]]:
    """Whose voice it is: of those it was trained on; of a base that hears a clip, whoever speaks there, also in the usual language of the lines."""
    if heard is not None:
        spoken = lines.read(files.root / chosen.recipes[files.run.recipe].listen.lines)
        return {heard.clip.speaker_id: sorted({heard.clip.language, lines.commonest_language(spoken)})}
    used: dict[str, set[str]] = {}
    for clip in records.read(files.root / layout.split("train"), records.CleanClip):
        used.setdefault(clip.speaker_id, set()).add(clip.language)
    return {speaker: sorted(languages) for speaker, languages in sorted(used.items())}


def _licence(chosen: schema.Params, files: RunFiles) -> Iterator[Objection]:
    base = files.run.identity.base
    licence = chosen.bases[base].licence if base in chosen.bases else ""
    if forbids(licence):
        message = f"bases.{base}.licence = {licence!r} does not allow it. Correct the field if it is wrong."
        yield Objection("licence", message, waivable=False)


def forbids(licence: str) -> bool:
    """Whether a licence of this name keeps a model from production; an unknown one does."""
    parts = licence.lower().replace("_", "-").split("-")
    return not licence.strip() or any(part in FORBIDDING for part in parts)


def _terms(family: str) -> Iterator[Objection]:
    """What a licence asks beyond a notice has to be taken on by somebody, by name and for ever."""
    if terms := families.spec(family).terms:
        yield Objection("terms", f"{terms} Say with --because that you keep them.", waivable=True)


def _weights(files: RunFiles, shown: Shown, chosen: schema.Params) -> Iterator[Objection]:
    identity = files.run.identity
    try:
        if shown.checkpoint.kind != "base":
            checkpoints.verify(files.root / shown.checkpoint.path, shown.checkpoint.sha256)
    except VoiceLatheError as problem:
        yield Objection("weights", str(problem), waivable=False)
    try:
        based.find(chosen, identity.base, identity.base_digest, files.root)
        families.find(identity.family).verify(
            files.root / chosen.bases[identity.base].path, identity.base_digest
        )
    except VoiceLatheError as problem:
        yield Objection("base", str(problem), waivable=False)


def _chain(recipe: str, root: Path) -> Iterator[Objection]:
    """The whole way back to the raw manifest and its audio, except the weights and the base, which were hashed already."""
    broken = next((link for link in chain.recipe_links(recipe, root, weights=False) if not link.holds), None)
    if broken is not None:
        yield Objection("chain", f"{broken}. Restore it, or run the stages after it again", waivable=False)


def _digest(path: Path) -> str:
    return digest.of_file(path) if path.is_file() else digest.of_value(digest.of_tree(path))


def load_params(root: Path) -> schema.Params:
    return params.load(root / params.FILE)

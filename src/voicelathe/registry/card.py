"""The model card of an export: what it is, what it was made from, how it was judged, and what nobody may do with it.

Every number is read from the records that the decision rests on. Speakers are counted and never named, and no path of this machine
is in it: the folder is made to be given away.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voicelathe import __version__, digest, families, layout, records
from voicelathe.data import consent
from voicelathe.data.lexicon import lexicon_file
from voicelathe.families import decoding
from voicelathe.records import CleanClip, SpeechMeasures
from voicelathe.registry import judged
from voicelathe.registry.gates import Case
from voicelathe.registry.speaking import tag

HUB_LICENCES = {  # SPDX names that the hub knows; any other is `other` with its name beside it
    *("apache-2.0", "mit", "cc-by-4.0", "cc-by-3.0", "cc-by-sa-4.0", "cc0-1.0", "bsd-3-clause", "bsd-2-clause", "unlicense", "openrail")
}  # fmt: skip
LEXICON = "lexicon.yaml"  # of an export
KINDS = {"adapter": "adapter", "merged": "finetune", "full": "finetune"}
WHAT = {
    "adapter": "A LoRA adapter; it needs the base beside it.",
    "merged": "A LoRA adapter worked into the weights of its base, rounded to bf16: it speaks nearly, not exactly, as the adapter does.",
    "full": "All weights, fine-tuned.",
}


@dataclass(frozen=True)
class About:
    """Everything the card says."""

    case: Case
    form: str  # adapter | merged | full
    base_model: str
    version: str | None  # in production
    because: str | None
    waived: Sequence[str]
    clips: Mapping[str, Sequence[CleanClip]]  # split -> its clips
    summary: Mapping[str, float]  # of the audit; empty where it is not here
    measures: SpeechMeasures | None
    scopes: Sequence[consent.Consent]


def about(
    case: Case,
    form: str,
    base_model: str | None,
    version: str | None,
    because: str | None,
    waived: Sequence[str],
) -> About:
    """Read what the card needs beside the case."""
    root, recipe = case.files.root, case.files.run.recipe
    summary, measures = root / layout.SUMMARY, root / layout.run(recipe, "metrics.json")
    return About(
        case=case,
        form=form,
        base_model=base_model or case.files.run.identity.base,
        version=version,
        because=because,
        waived=waived,
        clips={name: records.read(root / layout.split(name), CleanClip) for name in layout.SPLITS},
        summary=digest.read_json(summary) if summary.is_file() else {},
        measures=records.read_one(measures, SpeechMeasures) if measures.is_file() else None,
        scopes=[consent.load(name, root / layout.CONSENT) for name in sorted(case.speakers)],
    )


def render(card: About) -> str:
    """README.md, with the front matter that a hub reads."""
    run, shown = card.case.files.run, card.case.shown
    parts = [
        _front_matter(card),
        f"# {run.recipe}, {shown.candidate.name}\n\nA text-to-speech voice, fine-tuned from `{card.base_model}`. {WHAT[card.form]}",
        *(["**The base has random weights: this is a demonstration of the format, not a voice.**"] if not card.case.base.trained else []),
        f"## Use\n\n```python\n{usage(card)}\n```\n\n{_judged_with(card)}{_read_by(card)}",
        "## What nobody may do with it\n\n" + "\n".join(_scope(card)),
        "## Data\n\n" + "\n".join(_data(card)),
        "## Evaluation\n\n" + "\n".join(judged.evaluation(card.case, card.measures)),
        "## Decision\n\n" + "\n".join(_decision(card)),
        "## Limits\n\n" + "\n".join(_limits(card)),
        "## Provenance\n\n" + "\n".join(_provenance(card)),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def provenance(card: About, files: Mapping[str, str]) -> dict[str, Any]:
    """provenance.json: digests of what it was made from, and of every file of the export besides itself."""
    run, shown = card.case.files.run, card.case.shown
    return {
        "made_by": f"voicelathe {__version__}",
        "form": card.form,
        "recipe": run.recipe,
        "candidate": shown.candidate.name,
        "version": card.version,
        "run_digest": run.run_digest,
        "checkpoint_sha256": shown.checkpoint.sha256,
        "base_digest": run.identity.base_digest,
        "decoding": card.case.files.selection.decoding,
        **tag.of_lexicon(run.identity.lexicon),
        "inputs": _inputs(card),
        "consent": [digest.of_file(_record(card, name)) for name in sorted(card.case.speakers)],
        "overridden": list(card.waived),
        "files": dict(files),
    }


def usage(card: About) -> str:
    """Python that opens the export with upstream's own package."""
    spec = families.spec(card.case.files.run.identity.family)
    text = spec.usage["adapter" if card.form == "adapter" else "full"]
    text = text.replace("DECODING", decoding.as_arguments(spec.decoding, card.case.files.selection.decoding))
    return text.replace("BASE", card.base_model).replace("HERE", ".")


def serving(card: About) -> str | None:
    """SERVE.md: how other programs serve the export; None where none is known."""
    text = families.spec(card.case.files.run.identity.family).servers.get(
        "adapter" if card.form == "adapter" else "full"
    )
    if text is None:
        return None
    recipe, candidate = card.case.files.run.recipe, card.case.shown.candidate.name
    return (
        "# Serving this voice with other programs\n\nWritten from their documents; none of these programs was run with it here. `HERE` is this "
        "folder's whole path. Consent and licence (README.md) bind whoever serves it, and no other program asks for them.\n\n"
        f"{text.replace('BASE', card.base_model)}\n## With which settings?\n\n{_judged_with(card)}{_read_by(card)}\n\n## Does it say what was judged?\n\nIn the project this came from:\n\n```sh\n"
        f"voicelathe conform http://127.0.0.1:8091/v1 --recipe {recipe} --candidate {candidate}\n```\n\n"
        "It speaks the judged lines through that server and compares words, likeness and length; exit code 3 if they differ.\n"
    )


def _judged_with(card: About) -> str:
    """In our words and in upstream's, because other programs have their own defaults."""
    known = families.spec(card.case.files.run.identity.family).decoding
    used = card.case.files.selection.decoding
    theirs = decoding.as_arguments(known, used)
    return (
        f"Everything below was judged with {decoding.as_text(used)} (upstream's names: `{theirs}`), and without taking a bad take again. "
        "With other settings it is another voice, which nobody has judged."
    )


def _read_by(card: About) -> str:
    """What other programs have to do with a text before they give it to this voice; empty where nothing."""
    found = card.case.files.run.identity.lexicon
    if found is None:
        return ""
    return (
        f"\n\nTexts were read with the lexicon `{LEXICON}` (digest of what it says: `{lexicon_file.identity(found)}`), in training and wherever it was judged. Other programs "
        "do not know it: respell every text before it is spoken.\n\n```python\nfrom pathlib import Path\n\nfrom voicelathe.data.lexicon import lexicon_file, reading\n\n"
        f'text = reading.as_read(lexicon_file.read(Path("{LEXICON}")), text, language="en")\n```'
    )


def _front_matter(card: About) -> str:
    licence, run = card.case.base.licence, card.case.files.run
    spec = families.spec(run.identity.family)
    known = licence.lower() in HUB_LICENCES
    languages = sorted({language.split("-")[0] for used in card.case.speakers.values() for language in used})
    lines = [
        "---",
        f"license: {licence.lower() if known else 'other'}",
        *([] if known else [f"license_name: {licence}"]),
        f"base_model: {card.base_model}",
        f"base_model_relation: {KINDS[card.form]}",
        "language:", *(f"- {one}" for one in languages),
        *([] if spec.elsewhere else [f"library_name: {spec.requires[0]}"]),  # a hub knows packages, not checkouts
        "pipeline_tag: text-to-speech",
        "tags:", "- text-to-speech", "- voicelathe", f"- {run.identity.family}", f"- {run.identity.train.mode}",
        "---",
    ]  # fmt: skip
    return "\n".join(lines)


def _scope(card: About) -> Iterator[str]:
    yield f"Licence of the base: {card.case.base.licence}. It covers the weights, and gives no right to the voice of a person."
    spec = families.spec(card.case.files.run.identity.family)
    if spec.terms:
        yield f"\n**{spec.terms}**"
    if spec.carries_recordings:
        yield "\n**It holds recordings: one training clip of each speaker, as sound. Whoever gets it gets them.**"
    for number, one in enumerate(card.scopes, 1):
        granted = [name for name in consent.PURPOSES if one.purposes.get(name)]
        refused = [name for name in consent.PURPOSES if not one.purposes.get(name)]
        end = one.valid_until or "no end"
        revocable = (
            "may be revoked: this voice must not speak from then on" if one.revocable else "not revocable"
        )
        yield f"\nSpeaker {number} of {len(card.scopes)}, who agreed:"
        yield f"* granted: {', '.join(granted)}"
        yield f"* **not granted: {', '.join(refused) or 'nothing that is asked for'}**"
        yield f"* languages: {', '.join(one.languages)}; territories: {', '.join(one.territories)}; models: {', '.join(one.models_allowed)}"
        yield f"* from {one.valid_from} to {end}; {revocable}"
        if one.disclosure_required:
            yield "* whoever hears it must be told that it is generated"
        if one.watermark_required:
            yield "* every file must carry a watermark"


def _data(card: About) -> Iterator[str]:
    speakers = {clip.speaker_id for clips in card.clips.values() for clip in clips}
    yield f"Recordings are kept whole: none has clips in two splits. Speakers: {len(speakers)}."
    if share := card.case.files.run.identity.train.replay_share:
        yield f"\nOf all clips that it saw in training, {share:.1%} were of other speakers, mixed in against forgetting (train.replay_share)."
    yield "\n| split | clips | recordings | minutes |\n|---|---:|---:|---:|"
    for name, clips in card.clips.items():
        minutes = sum(clip.duration_s for clip in clips) / 60
        yield f"| {name} | {len(clips)} | {len({clip.recording_id for clip in clips})} | {minutes:.1f} |"
    if not card.summary:
        return
    dropped = {
        name.removeprefix("dropped_"): value
        for name, value in card.summary.items()
        if name.startswith("dropped_") and name != "dropped_share" and value
    }
    yield f"\nOf {card.summary['rows']:g} rows, {card.summary['dropped']:g} were dropped; one may have several reasons:"
    yield "\n| reason | rows |\n|---|---:|"
    yield from (f"| {name} | {value:g} |" for name, value in sorted(dropped.items()))


def _decision(card: About) -> Iterator[str]:
    selection, shown = card.case.files.selection, card.case.shown
    yield f"The selection said `{selection.decision}`, by {selection.decided_by}; it chose {selection.selected or 'none'}."
    yield from (f"* {reason}" for reason in selection.reasons)
    if selection.selected != shown.candidate.name:
        yield f"* **This is not the candidate it chose.** Why it was exported: {card.because}"
    elif card.waived:
        yield f"* Overridden: {', '.join(card.waived)}. Why: {card.because}"
    heard = selection.listening
    yield (
        "* Nobody has judged it by ear."
        if heard is None
        else f"* Blind listening: {heard.sittings} sittings, {heard.units} listeners x lines."
    )


def _limits(card: About) -> Iterator[str]:
    yield from (f"* {note}" for note in card.case.files.selection.notes)
    probed = [
        one for one in card.case.files.selection.probes if one.candidate == card.case.shown.candidate.name
    ]
    yield from (f"* {finding}" for one in probed for finding in one.findings)
    kept = (one.control_kept for one in probed)
    yield from (f"* Control kept: {share:.2f} of the base's." for share in kept if share is not None)
    samples = card.case.shown.samples
    stopped = sum(one.stopped for one in samples)
    yield f"* Of {len(samples)} sentences it spoke, {stopped} ended by themselves."
    yield "* Voices, languages and manners of speaking that are not in its data were not tried."


def _provenance(card: About) -> Iterator[str]:
    run = card.case.files.run
    yield f"* run `{run.run_digest}`, weights `{card.case.shown.checkpoint.sha256}`, base `{run.identity.base_digest}`"
    if card.version is not None:
        yield f"* version {card.version} of the registry it was promoted in"
    yield f"* {run.num_steps} steps of {run.identity.train.clips_per_step} clips, seed {run.identity.training_seed}, torch {run.identity.torch}"
    if run.stopped_early is not None:
        yield f"* {run.stopped_early.told}"
    yield "* the sha256 of every file here and of every record it rests on: `provenance.json`"


def _inputs(card: About) -> dict[str, str]:
    """Records by name; those of consent bear the speakers' names and are listed without."""
    consents = f"{layout.CONSENT.as_posix()}/"
    return {
        **{name: sha256 for name, sha256 in card.case.inputs.items() if not name.startswith(consents)},
        **card.case.files.run.inputs,
    }


def _record(card: About, speaker: str) -> Any:
    return consent.path_of(speaker, card.case.files.root / layout.CONSENT)

"""Does a respelling help? A checkpoint speaks every sentence that has the word, without the entry and with it, with the same seeds.

The recogniser hears both, and the word counts as right where it is heard as it is written. An entry helps if that is so more often than
chance explains: McNemar's exact test over pairs of takes, one-sided, corrected for the number of entries (Holm). What was spoken is kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voicelathe import layout, lines, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data.lexicon import lexicon_file, reading
from voicelathe.data.text import languages
from voicelathe.errors import LexiconError
from voicelathe.evaluate import statistics
from voicelathe.evaluate.guards import SIGNIFICANT
from voicelathe.evaluate.listening import design
from voicelathe.evaluate.scoring import judging
from voicelathe.process import environments, jobs, runner, sample_files
from voicelathe.records import CleanClip, Lexicon, PackLine, Respelling, SampleRecord
from voicelathe.runs import results
from voicelathe.runs.identity import target
from voicelathe.speech import recogniser_files, transcripts

PLACE = layout.CACHE / "lexicon"
MAX_SENTENCES = 12  # of one word


@dataclass(frozen=True)
class Take:
    """One sentence with one seed, as it was heard without the entries and with them; None: nothing could be heard."""

    text: str
    language: str
    without: str | None
    with_: str | None


@dataclass(frozen=True)
class TriedEntry:
    """What came of one entry."""

    entry: Respelling
    takes: int
    right_without: int
    right_with: int
    gained: int  # takes in which only the entry made it right
    lost: int
    p: float  # that so many of them were gained by chance, corrected for the number of entries

    @property
    def helps(self) -> bool:
        return self.p < SIGNIFICANT and self.gained > self.lost


@dataclass(frozen=True)
class LexiconTrial:
    """Everything that was tried, and where to listen."""

    tried: list[TriedEntry]
    candidate: str
    place: Path


def hold(
    params: schema.Params, recipe: str, entries: Sequence[Respelling], candidate: str | None, num_seeds: int
) -> LexiconTrial:
    """Raises LexiconError for entries that cannot be tried: no sentence has the word, they clash, nobody can hear them."""
    ears = recogniser_files.reference(params.speech, params.machine)
    if ears is None:
        raise LexiconError(
            "speech.recogniser in params.yaml is null, so nobody can hear whether an entry helps: voicelathe recogniser add"
        )
    run, index = results.read(recipe)
    if lacking := environments.lacking(run.identity.family, "speak"):
        raise LexiconError(f"{recipe}: nothing can be spoken. {lacking}")
    how = find_recipe(params, recipe).listen
    before = run.identity.lexicon
    after = with_entries(before, entries)
    said = _sentences(lines.of(params, recipe), entries, after.write_out_numbers)
    seeds = [how.seeds[0] + number for number in range(num_seeds)]
    wanted = [replace(line, seed=seed) for line in said for seed in seeds]
    arms = {}
    ref = _ref(recipe, index, candidate)
    place = PLACE / recipe / ref.candidate.name
    for name, lexicon in (("without", before), (lexicon_file.identity(after)[:16], after)):
        job = jobs.SpeakJob(
            target=target(params, run.identity.base, lexicon), lora=run.identity.train.lora, weights=[ref], lines=wanted,
            max_seconds=how.max_seconds, decoding=find_recipe(params, recipe).speak, reference=None, out=(place / name).as_posix(),
            interactive=False,
        )  # fmt: skip
        runner.run(job, recipe)
        arms[name] = [sample_files.read(job, ref, line) for line in wanted]
    heard = [_heard(params, run, said, wanted, ears) for said in arms.values()]
    takes = [Take(line.text, line.language, *both) for line, *both in zip(wanted, *heard, strict=True)]
    return LexiconTrial(judged(entries, takes, after.write_out_numbers), ref.candidate.name, place)


def with_entries(lexicon: Lexicon | None, entries: Sequence[Respelling]) -> Lexicon:
    """The lexicon with entries added or replaced. Raises LexiconError where the whole would be refused as a file."""
    new = {(one.language, reading.folded(one.written)) for one in entries}
    kept = [
        one
        for one in (lexicon.respellings if lexicon else ())
        if (one.language, reading.folded(one.written)) not in new
    ]
    if len(new) < len(entries):
        raise LexiconError(
            "One word has two respellings here. Try one at a time: both would have to hold in the same sentences."
        )
    made = Lexicon(
        tuple(sorted([*kept, *entries], key=lambda one: (one.language, one.written))),
        bool(lexicon and lexicon.write_out_numbers),
    )
    return lexicon_file.parse(lexicon_file.written(made), "The lexicon with these entries")


def judged(
    entries: Sequence[Respelling], takes: Sequence[Take], write_out_numbers: bool = False
) -> list[TriedEntry]:
    """The test of every entry over the takes whose text it changes. A take that was not heard on one side counts as wrong there."""
    found = []
    for entry in entries:
        alone = Lexicon((entry,), write_out_numbers)
        own = [one for one in takes if reading.changed(alone, one.text, one.language)]
        pairs = [(_is_right(entry, one, one.without), _is_right(entry, one, one.with_)) for one in own]
        gained, lost = pairs.count((False, True)), pairs.count((True, False))
        right = (sum(before for before, _ in pairs), sum(after for _, after in pairs))
        found.append(TriedEntry(entry, len(pairs), *right, gained, lost, at_least(gained, gained + lost)))
    corrected = statistics.holm([one.p for one in found]) if found else []
    return [replace(one, p=p) for one, p in zip(found, corrected, strict=True)]


def at_least(gained: int, changed: int) -> float:
    """The chance of so many heads or more among so many throws of a fair coin: McNemar's exact test, one-sided."""
    ways = sum(math.comb(changed, number) for number in range(gained, changed + 1))
    return float(ways / (1 << changed))


def _is_right(entry: Respelling, take: Take, heard: str | None) -> bool:
    return heard is not None and transcripts.is_right(entry.written, take.text, heard, take.language)


def _sentences(
    pack: Sequence[PackLine], entries: Sequence[Respelling], write_out_numbers: bool
) -> list[records.Line]:
    """Lines of the pack and sentences of the validation split that have the words. Raises LexiconError for a word that none has."""
    validation = records.read(layout.split("validation"), CleanClip)
    texts = [(line.id, line.text, line.language) for line in pack]
    texts += [
        (clip.clip_id, clip.text, clip.language)
        for clip in validation
        if clip.text not in {line.text for line in pack}
    ]
    found: dict[str, records.Line] = {}
    for entry in entries:
        alone = Lexicon((entry,), write_out_numbers)
        own = [one for one in texts if reading.changed(alone, one[1], one[2])]
        if not own:
            raise LexiconError(
                f"No line of the recipe's pack and no sentence of the validation split in {languages.canonical(entry.language)} has "
                f"{entry.written!r} as a word (docs/lexicon.md says what is one). Add lines that have it to the pack."
            )
        found |= {name: records.Line(name, text, language, 0) for name, text, language in own[:MAX_SENTENCES]}
    return list(found.values())


def require_heard(runs: Sequence[records.MetricRun]) -> None:
    """Raises LexiconError where takes were lost: counted as wrong in one arm, they would make an entry look helpful."""
    for one in runs:
        if not one.is_whole:
            raise LexiconError(
                f"The recogniser did not hear everything ({one.status}): {one.detail} Nothing was judged; run the same command again."
            )


def _ref(recipe: str, index: Sequence[records.CheckpointRecord], candidate: str | None) -> jobs.WeightsRef:
    """The weights that were named, or the selected ones. Raises LexiconError where there are none."""
    wanted = candidate or records.read_one(layout.run(recipe, "selection.json"), records.Selection).selected
    if wanted is None:
        raise LexiconError(
            f"runs/{recipe}/selection.json selected nothing. Name a checkpoint: --candidate STEP"
        )
    step, _, scale = wanted.removeprefix("step_").partition("@")
    entry = next((one for one in index if one.step > 0 and step.isdecimal() and one.step == int(step)), None)
    try:
        strength = float(scale) if scale else results.FULL_SCALE
    except ValueError:
        entry, strength = None, 0.0
    if entry is None:
        raise LexiconError(
            f"--candidate {wanted}: there are steps {', '.join(str(one.step) for one in index if one.step > 0)}, as 2000 or 2000@0.35."
        )
    return results.candidates([entry], [strength])[0]


def _heard(
    params: schema.Params,
    run: records.RunRecord,
    samples: Sequence[SampleRecord],
    wanted: Sequence[records.Line],
    ears: records.RecogniserRef,
) -> list[str | None]:
    """What the recogniser heard of each sample. Raises LexiconError where it did not listen."""
    tags = {line.line_id: line.language for line in wanted}
    hearable = [one for one in samples if design.is_hearable(one)]
    real = judging.real_clips(params.ingest.audio_root, run, {line.text for line in wanted})
    how = find_recipe(params, run.recipe).listen
    with judging.Panel(["recogniser"], how.metric_timeout_s, ears, params.engine) as panel:
        told = panel.ask(real, [judging.clip(one, tags) for one in hearable])
    found = judging.measures(run.recipe, run.run_digest, hearable, told, len(real), {})
    if hearable:
        require_heard(found.metrics)
    said = {(one.line_id, one.seed): one.said for one in found.samples}
    return [said.get((line.line_id, line.seed)) for line in wanted]

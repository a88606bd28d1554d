"""Which reference clip makes the base most like the speaker and keeps its words, and in which way is it best heard?

Clips race as candidates do (`evaluate.racing`): the base speaks the recipe's lines after each of them, all with the same seeds. The clip
in use today is the one to beat, and it also races in every other way that the family has (by its sound alone, continued as a prompt, or
both): the base is to be beaten in its best. The bar is that of the guards. Likeness is to recordings of the train split, which no clip in the race is of, and which this base has not seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voicelathe import families, layout, lines, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data.lexicon import lexicon_file
from voicelathe.data.split import speakers
from voicelathe.errors import ParamsError, SelectionError
from voicelathe.evaluate import chances, guards, racing, scores, statistics
from voicelathe.evaluate.listening import design
from voicelathe.evaluate.scores import LIKENESS, WORDS
from voicelathe.evaluate.scoring import judging
from voicelathe.process import jobs, runner, sample_files
from voicelathe.records import CleanClip, Drop, LineTest, PackLine, SampleRecord
from voicelathe.runs import identity
from voicelathe.speech import recogniser_files
from voicelathe.stages.references.clips import pair, reference, usable
from voicelathe.stages.speak import takes

METRICS = ("recogniser", "speaker", "quality")
PLACE = layout.CACHE / "references"


@dataclass(frozen=True)
class Tried:
    """One clip heard in one way, and how the base spoke after it."""

    name: str
    clip: CleanClip
    way: schema.Way
    levels: dict[str, records.Level]
    gains: list[LineTest]  # words and likeness against the clip in use; none for that one itself
    drop: Drop | None  # of the race


@dataclass(frozen=True)
class Audition:
    """Everything that was tried, the clip in use first, and the better one if one was shown to be better."""

    tried: list[Tried]
    better: Tried | None
    num_lines: int
    place: Path  # of what was spoken, a folder for each clip and way
    unheard: list[records.MetricRun]  # metrics that did not judge everything


def hold(params: schema.Params, recipe: str, number: int) -> Audition:
    """Raises ParamsError where the recipe lets no base hear a clip, SelectionError where there is nothing to choose from."""
    one = find_recipe(params, recipe)
    way = one.evaluate.zero_shot
    if way is None:
        raise ParamsError(
            f"recipes.{recipe}.evaluate.zero_shot is null, so its base hears no clip before it speaks and none has to be chosen."
        )
    pack = lines.of(params, recipe)
    own = speakers.main_speaker(records.read(layout.split("validation"), CleanClip))
    now = reference(params, recipe)
    said = {line.recording_id for line in pack if line.recording_id is not None}
    clips = usable(own, now.clips[0], said, number) if now else []
    others = families.spec(params.bases[one.base].family).zero_shot
    tried = [(clip, way) for clip in clips]
    tried += [(clip, other) for clip in clips[:1] for other in others if other != way]
    if len(tried) < 2:
        raise SelectionError(
            f"{layout.split('validation')} holds {len(clips)} clip(s) of {own[0].speaker_id} that could stand in front, and it takes two: 2 to 15 s, of a recording "
            f"that {one.listen.lines} says nothing of. Propose a pack of other recordings, or record more: docs/choosing.md"
        )
    return _Race(params, recipe, pack, own, tried).run()


class _Race:
    """One audition while it goes on."""

    def __init__(
        self,
        params: schema.Params,
        recipe: str,
        pack: Sequence[PackLine],
        own: Sequence[CleanClip],
        tried: Sequence[tuple[CleanClip, schema.Way]],
    ) -> None:
        self.params, self.recipe, self.pack = params, recipe, list(pack)
        heard = [pair(own, clip, params.ingest.audio_root, way) for clip, way in tried]
        self.own, self.heard = own, {one.name: one for one in heard if one}
        self.settings = find_recipe(params, recipe)
        self.target = identity.target(params, self.settings.base, lexicon_file.of_project(params))
        self.place = PLACE / self.settings.base
        self.samples: list[SampleRecord] = []
        self.told: judging.Parts = []

    def run(self) -> Audition:
        """Race, then ask who was shown to be better than the clip in use."""
        params, how = self.params, self.settings.listen
        speaker = self.own[0].speaker_id
        train = [one for one in records.read(layout.split("train"), CleanClip) if one.speaker_id == speaker]
        if not train:
            raise SelectionError(
                f"{layout.split('train')} holds no clip of {speaker}, to whom the base should be like. Record more of {speaker}, or split anew "
                "with more recordings: docs/choosing.md"
            )
        self.real = judging.held_out(train, params.ingest.audio_root, params.seed)
        ears = recogniser_files.reference(params.speech, params.machine)
        used, *others = self.heard
        race = replace(how.race, max_samples=None, max_audio_s=None)  # that budget is for checkpoints
        with judging.Panel(METRICS, how.metric_timeout_s, ears, params.engine) as self.panel:
            rounds, _ = racing.run(
                self,
                self.recipe,
                [used],
                others,
                [line.id for line in self.pack],
                len(how.seeds),
                race,
                chances.to_replace,
            )
        drops = {drop.candidate: drop for each in rounds for drop in each.drops}
        bar = self._bar()
        found = bar.found
        tried = [self._tried(name, used, found, drops.get(name)) for name in self.heard]
        unheard = [one.run for one in judging.joined(self.told) if not one.run.is_whole]
        return Audition(tried, better(tried, bar), len(found.lines(used)), self.place, unheard)

    def _tried(self, name: str, used: str, found: scores.Scores, drop: Drop | None) -> Tried:
        gains = [scores.test(found, measure, name, used) for measure in (WORDS, LIKENESS) if name != used]
        heard = self.heard[name]
        shown = [one for one in gains if one]
        return Tried(name, heard.clips[0], heard.way, scores.levels(found, name), shown, drop)

    def speak(self, names: Sequence[str], lines: Sequence[str]) -> racing.BlockResult:
        """One block: the base speaks it after each of these clips, metrics hear it."""
        by_id = {line.id: line for line in self.pack}
        wanted = takes([by_id[one] for one in lines], self.settings.listen.seeds)
        new = self._spoken(names, wanted)
        self.told += self.panel.parts(self.real, judging.clips(new, wanted))
        self.samples += new
        audio_s = math.fsum(one.duration_s for one in self.samples)
        return racing.BlockResult(self._bar(), {}, len(self.samples), audio_s)

    def _spoken(self, names: Sequence[str], wanted: list[records.Line]) -> list[SampleRecord]:
        refs = {name: self._ref(name) for name in names}
        job = jobs.SpeakJob(
            target=self.target, lora=None, weights=list(refs.values()), lines=wanted, max_seconds=self.settings.listen.max_seconds,
            decoding=self.settings.speak, reference=None, out=self.place.as_posix(), interactive=False,
        )  # fmt: skip
        runner.run(job, self.recipe)
        return [
            replace(sample_files.read(job, ref, line), candidate=name)
            for name, ref in refs.items()
            for line in wanted
        ]

    def _ref(self, name: str) -> jobs.WeightsRef:
        """The base that hears this clip in this way."""
        candidate = records.Candidate(0, None, True)
        return jobs.WeightsRef(candidate, "base", self.target.base, self.target.base_digest, self.heard[name])

    def _bar(self) -> guards.Bar:
        hearable = [one for one in self.samples if design.is_hearable(one)]
        joined = judging.joined(self.told)
        measures = judging.measures(self.recipe, "", hearable, joined, len(self.real), {})
        return guards.bar(
            scores.of(self.samples, measures), next(iter(self.heard)), self.settings.select.guards, {}
        )


def better(tried: Sequence[Tried], against: guards.Bar) -> Tried | None:
    """Who was shown to bring the base nearer to the speaker, or to keep more of its words, and loses no more than a guard allows.

    The first of `tried` is the one in use. p values are corrected for their number and that of measures (Holm 1979); of several,
    the one most like the speaker.
    """
    asked = [(one, test) for one in tried[1:] for test in one.gains if one.drop is None]
    corrected = statistics.holm([test.p_better for _, test in asked])
    shown = [
        one
        for (one, _), p in zip(asked, corrected, strict=True)
        if p < guards.SIGNIFICANT and not _loses(one, against)
    ]
    return max(
        shown, key=lambda one: one.levels[LIKENESS].mean if LIKENESS in one.levels else 0.0, default=None
    )


def _loses(one: Tried, against: guards.Bar) -> bool:
    """Whether any measure fell by more than its margin, or likeness fell at all; what nothing could hear may have been lost."""
    tests = [against.test(measure, one.name) for measure in against.margins]
    nearer = [test.difference >= 0.0 for test in one.gains if test.measure == LIKENESS]
    return any(test is None or against.is_below(test) for test in tests) or not (nearer and all(nearer))

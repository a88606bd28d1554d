"""Stage `listen`: candidates speak blocks of lines, metrics hear them, and who cannot win any more drops out (`evaluate.racing`).

Every sample is kept by what made it, so a killed race goes on where it stopped, and one that runs again speaks nothing. The base's
samples are shared by all recipes on one base. What comes out depends on the samples alone: not on time, order or the number of workers.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicelathe import digest, layout, lines, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data.gate import line_leaks
from voicelathe.errors import LinesError
from voicelathe.evaluate import baseline, failures, guards, racing, scores
from voicelathe.evaluate.evidence import BASE, BASES
from voicelathe.evaluate.listening import design
from voicelathe.evaluate.scoring import judging
from voicelathe.records import (
    HARD_FAILURES,
    LONG,
    PackLine,
    PromptClip,
    Race,
    RecogniserRef,
    Round,
    SampleRecord,
    SpeechMeasures,
)
from voicelathe.runs import replay
from voicelathe.runs.results import read
from voicelathe.stages import candidates
from voicelathe.stages.references.clips import reference
from voicelathe.stages.speak import speak, takes

NUM_LONG = 2  # candidates that speak long lines, which cost minutes
SHARED = "_bases"  # below checkpoints/: what untouched bases said; no recipe can be called so


@dataclass(frozen=True)
class ListenOutputs:
    """Everything the stage leaves."""

    samples: list[SampleRecord]
    measures: SpeechMeasures
    race: Race


def run(
    params: schema.Params, recipe: str, pack: Sequence[PackLine], recogniser: RecogniserRef | None
) -> ListenOutputs:
    """Speak and hear the pack. Raises SelectionError for a budget that does not hold the first block."""
    return _Track(params, recipe, pack, recogniser).run()


class _Track:
    """One race while it goes on."""

    def __init__(
        self, params: schema.Params, recipe: str, pack: Sequence[PackLine], recogniser: RecogniserRef | None
    ) -> None:
        self.params, self.recipe, self.pack = params, recipe, pack
        self.record, index = read(recipe)
        found = find_recipe(params, recipe)
        self.how, self.select, self.decoding = found.listen, found.select, found.speak
        self.recogniser = recogniser
        evaluated = records.read(layout.run(recipe, "evaluations.jsonl"), records.EvaluationRecord)
        self.totals = {one.candidate: one.total for one in evaluated}
        refs = candidates.refs(params, recipe, index, evaluated)
        refs.sort(
            key=lambda ref: (ref.candidate.step > 0, self.totals[ref.candidate.name], ref.candidate.step)
        )
        self.refs = {ref.candidate.name: ref for ref in refs}
        self.reference = reference(params, recipe)
        self.samples: list[SampleRecord] = []
        self.told: judging.Parts = []

    def run(self) -> ListenOutputs:
        real = judging.real_clips(
            self.params.ingest.audio_root, self.record, {line.text for line in self.pack}
        )
        with judging.Panel(
            self.how.metrics, self.how.metric_timeout_s, self.recogniser, self.params.engine
        ) as panel:
            self.real, self.panel = real, panel
            race = self._race()
            self._long(race)
            measures = self._measures()
        order = {name: place for place, name in enumerate(sorted(self.refs, key=self._by_step))}
        places = {line.id: place for place, line in enumerate(self.pack)}
        self.samples.sort(
            key=lambda one: (
                order[one.candidate],
                places.get(one.line_id, len(places)),
                one.line_id,
                one.seed,
            )
        )
        return ListenOutputs(self.samples, measures, race)

    def _by_step(self, name: str) -> tuple[int, float, str]:
        one = self.refs[name].candidate
        return one.step, -(one.lora_scale or 0.0), name

    def _race(self) -> Race:
        bases = [name for name in self.refs if name in BASES]
        tuned = [name for name in self.refs if name not in BASES]
        lines, seeds, how = [line.id for line in self.pack], len(self.how.seeds), self.how.race
        rounds, ended = racing.run(self, self.recipe, bases, tuned, lines, seeds, how)
        strata = {line.id: line_strata(line) for line in self.pack}
        everybody = len(self.refs) * len(lines) * seeds
        before = self.reference
        return Race(
            self.recipe,
            self.record.run_digest,
            how.error_rate,
            rounds,
            strata,
            len(self.samples),
            everybody,
            ended,
            PromptClip.of(before.clips[0], before.way) if before else None,
        )

    def speak(self, names: Sequence[str], lines: Sequence[str]) -> racing.BlockResult:
        """One block: whoever is named speaks it, metrics hear it."""
        by_id = {line.id: line for line in self.pack}
        said = takes([by_id[one] for one in lines], self.how.seeds)
        self._take(names, said, self.how.max_seconds, "speech")
        planned = len(self.pack) * len(self.how.seeds)
        return heard(self.samples, self._measures(), self.select, self.totals, planned)

    def _take(self, names: Sequence[str], said: list[records.Line], max_seconds: float, folder: str) -> None:
        refs, own = [self.refs[name] for name in names], Path(self.record.directory) / folder
        shared = layout.CHECKPOINTS / SHARED / self.record.identity.base_digest[:16] / folder
        new = speak(
            self.params,
            self.record,
            refs,
            said,
            max_seconds,
            self.decoding,
            own,
            self.reference,
            self.how.race.workers,
            shared,
        )
        self.told += self.panel.parts(self.real, judging.clips(new, said))
        self.samples += new

    def _long(self, race: Race) -> None:
        """The long lines, with the first seed."""
        if not self.how.long_lines:
            return
        seed = self.how.seeds[0]
        said = [records.Line(LONG + line.id, line.text, line.language, seed) for line in self.how.long_lines]
        names = speak_long(list(self.refs), race.rounds[-1], scores.of(self.samples, self._measures()))
        self._take(names, said, self.how.long_max_seconds, "speech_long")

    def _measures(self) -> SpeechMeasures:
        hearable = [one for one in self.samples if design.is_hearable(one)]
        path = layout.split("validation")
        inputs = digest.of_files({path.as_posix(): path})
        return judging.measures(
            self.record.recipe,
            self.record.run_digest,
            hearable,
            judging.joined(self.told),
            len(self.real),
            inputs,
        )


def speak_long(names: Sequence[str], last: Round, found: scores.Scores) -> list[str]:
    """Who speaks long lines: the bases, and of those that the race left the two most like the speaker; of equals the first to race."""
    gone = {drop.candidate for drop in last.drops}
    left = [name for name in last.candidates if name not in BASES and name not in gone]
    left.sort(key=lambda name: -(found.mean(scores.LIKENESS, name) or 0.0))
    return [*(name for name in names if name in BASES), *left[:NUM_LONG]]


def heard(
    samples: Sequence[SampleRecord],
    measures: SpeechMeasures,
    select: schema.Select,
    totals: Mapping[str, float],
    num_samples: int,
) -> racing.BlockResult:
    """What a race knows. `totals`: validation totals of the bases; `num_samples`: that one candidate speaks in the whole race."""
    found = scores.of(samples, measures)
    bases = sorted({one.candidate for one in samples} & set(BASES))
    base = baseline.choose(bases, found, guards.margins(select.guards), totals).name
    against = guards.bar(found, base, select.guards, scores.real(measures))
    failed = _hopeless(samples, measures, select, num_samples)
    audio_s = math.fsum(one.duration_s for one in samples)
    return racing.BlockResult(against, failed, len(samples), audio_s)


def _hopeless(
    samples: Sequence[SampleRecord], measures: SpeechMeasures, select: schema.Select, num_samples: int
) -> dict[str, str]:
    """Candidate -> what no further line can make good: a hard failure, or a veto on too many lines even if all others were fine."""
    out: dict[str, str] = {}
    for one in sorted(samples, key=lambda one: (one.candidate, one.line_id, one.seed)):
        if one.problem in HARD_FAILURES:
            out.setdefault(one.candidate, f"{one.problem}: line {one.line_id}, seed {one.seed}")
    shown = failures.codes(measures)
    for name, found in sorted(shown.items()):
        for code, mine in sorted(found.items()):
            base = shown.get(BASE, {}).get(code, {}).keys()
            if failures.is_too_often(code, mine.keys(), base, num_samples, select):
                out.setdefault(name, f"{code} on {len(mine)} lines, too many of {num_samples} already")
    return out


def line_strata(line: PackLine) -> list[str]:
    """The strata a line belongs to: its kind, its language, and its speaker where it has one."""
    found = [f"kind:{line.stratum}", f"language:{line.language}"]
    return found + ([f"speaker:{line.speaker}"] if line.speaker else [])


def spoken_lines(params: schema.Params, recipe: str) -> list[records.PackLine]:
    """The lines of the recipe's pack, after a look at the training text and at the real recordings of its held-out lines.

    Raises LinesError when one was trained on, is not in the validation split any more, or is of the recording that gives the base
    the voice.
    """
    pack, path = lines.of(params, recipe), find_recipe(params, recipe).listen.lines
    line_leaks.require(pack, path, replay.trained_texts(params, recipe), params.gate.max_text_overlap)
    lines.require_recordings(pack, records.read(layout.split("validation"), records.CleanClip), path)
    heard = reference(params, recipe)
    barred = heard.clips[0].recording_id if heard else None
    if told := [line.id for line in pack if line.recording_id is not None and line.recording_id == barred]:
        raise LinesError(
            f"{path}: {', '.join(told)} are sentences of recording {barred}, which the base hears before it speaks, so it would know them. "
            f"Remove these lines, or propose a pack anew: voicelathe lines propose --out {path} --replace"
        )
    return pack

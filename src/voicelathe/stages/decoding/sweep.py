"""Decoding settings race as candidates do: the best steps speak fresh lines with every one of them, all with the same seeds, heard by the same ears.

The bar is the best step with the recipe's own settings, and it speaks every line. A checkpoint hears no clip before it speaks (or carries
its own: Qwen3-TTS, CosyVoice 3, IndexTTS2), so reference clips are not crossed with settings; they are the base's (`references.audition`).
Every sample is kept by what made it: a sweep that was killed goes on where it stopped, and its record is the same bytes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from voicelathe import digest, families, layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.errors import FamilyUnavailable, SelectionError
from voicelathe.evaluate import chances, failures, guards, racing, scores
from voicelathe.evaluate.listening import design
from voicelathe.evaluate.scoring import judging
from voicelathe.families import decoding
from voicelathe.process import environments, sample_files
from voicelathe.records import DecodingSweep, DecodingTime, DecodingTimes, SampleRecord, SpeechMeasures
from voicelathe.runs import locks, results
from voicelathe.speech import recogniser_files
from voicelathe.stages.decoding import grid, standing, verdict
from voicelathe.stages.decoding.fresh_lines import DrawnLines
from voicelathe.stages.listen import line_strata
from voicelathe.stages.speak import speak, takes

PLACE = layout.CACHE / "decoding"


@dataclass(frozen=True)
class Tries:
    """Which checkpoints speak which lines with which settings."""

    checkpoints: list[str]
    grid: dict[str, list[float]]
    lines: DrawnLines
    max_samples: int | None  # instead of the recipe's budget


@dataclass(frozen=True)
class Swept:
    """The record, what it took, and where the speech lies."""

    record: DecodingSweep
    times: DecodingTimes
    place: Path


def run(params: schema.Params, recipe: str, tries: Tries) -> Swept:
    """Race, judge, and write runs/RECIPE/decoding.json and decoding_times.json.

    Raises SelectionError for a grid beyond the budget, FamilyUnavailable where the family cannot speak here, RunLocked beside another sweep.
    """
    race = _Sweep(params, recipe, tries)
    race.require_budget()
    with locks.run_directory(race.place, "spoken into by another sweep"):
        found = race.run()
    digest.write_json(layout.run(recipe, "decoding.json"), records.to_json(found.record))
    digest.write_json(layout.run(recipe, "decoding_times.json"), records.to_json(found.times))
    return found


class _Sweep:
    """One race of settings while it goes on."""

    def __init__(self, params: schema.Params, recipe: str, tries: Tries) -> None:
        self.params, self.recipe, self.tries, self.pack = params, recipe, tries, tries.lines.pack
        self.settings = find_recipe(params, recipe)
        self.how = self.settings.listen
        self.executed, index = results.read(recipe)
        decided = layout.run(recipe, "selection.json")
        self.selected = records.read_one(decided, records.Selection).selected
        self.inputs = digest.of_files(
            {path.as_posix(): path for path in (layout.split("validation"), decided)}
        )
        family = self.executed.identity.family
        if lacking := environments.lacking(family, "speak"):
            raise FamilyUnavailable(f"{recipe}: nothing can be spoken. {lacking}")
        self.known = families.spec(family).decoding
        self.place = PLACE / self.executed.run_digest[:16]
        weights = standing.weights(tries.checkpoints, index)
        ways = grid.crossed(tries.grid, self.settings.speak)
        self.refs = {
            grid.named(name, tries.grid, way): replace(weights[name], decoding=way)
            for name in tries.checkpoints
            for way in ways
        }
        self.in_use = next(iter(self.refs))
        self.work = {name: decoding.work(self.known, ref.decoding or {}) for name, ref in self.refs.items()}
        limit = self.how.race.max_samples if tries.max_samples is None else tries.max_samples
        self.race = replace(self.how.race, max_samples=limit)
        self.samples: list[SampleRecord] = []
        self.told: judging.Parts = []
        self.times: dict[str, list[float]] = {name: [] for name in self.refs}

    def require_budget(self) -> None:
        """Raises SelectionError where the budget does not hold a block of lines for everybody, with how many lines it holds."""
        require(
            self.recipe, len(self.refs), self._first_block(), len(self.how.seeds), self.race, self._usual_s()
        )

    def _first_block(self) -> int:
        return len(racing.blocks([line.id for line in self.pack], self.race.block_lines)[0])

    def _usual_s(self) -> float:
        """Mean length of what the best step said when it was judged."""
        spoken = records.read(layout.run(self.recipe, "samples.jsonl"), SampleRecord)
        own = [one.duration_s for one in spoken if one.candidate == self.tries.checkpoints[0]]
        return math.fsum(own) / len(own) if own else 0.0

    def run(self) -> Swept:
        """Everybody speaks until the race ends; then the guards judge who is left."""
        params, lines = self.params, [line.id for line in self.pack]
        self.real = judging.real_clips(
            params.ingest.audio_root, self.executed, {line.text for line in self.pack}
        )
        ears = recogniser_files.reference(params.speech, params.machine)
        others = [name for name in self.refs if name != self.in_use]
        foresee = partial(chances.to_decode, work=self.work)
        with judging.Panel(self.how.metrics, self.how.metric_timeout_s, ears, params.engine) as self.panel:
            rounds, ended = racing.run(
                self, self.recipe, [self.in_use], others, lines, len(self.how.seeds), self.race, foresee
            )
        return Swept(self._record(rounds, ended), self._times(), self.place)

    def speak(self, names: Sequence[str], lines: Sequence[str]) -> racing.BlockResult:
        """One block: these settings speak it, metrics hear it."""
        by_id = {line.id: line for line in self.pack}
        wanted = takes([by_id[one] for one in lines], self.how.seeds)
        new = self._spoken(names, wanted)
        self.told += self.panel.parts(self.real, judging.clips(new, wanted))
        self.samples += new
        measures = self._measures()
        planned = len(self.pack) * len(self.how.seeds)
        failed = hopeless(self.samples, measures, self.settings.select, self.in_use, planned)
        audio_s = math.fsum(one.duration_s for one in self.samples)
        return racing.BlockResult(self._bar(measures), failed, len(self.samples), audio_s)

    def _spoken(self, names: Sequence[str], wanted: list[records.Line]) -> list[SampleRecord]:
        refs = [self.refs[name] for name in names]
        found = speak(
            self.params, self.executed, refs, wanted, self.how.max_seconds, self.settings.speak, self.place,
            workers=self.how.race.workers, timed=True,
        )  # fmt: skip
        who = [name for name in names for _ in wanted]
        new = [replace(one, candidate=name) for name, one in zip(who, found, strict=True)]
        for one in new:
            if one.path and one.duration_s and (path := sample_files.seconds(Path(one.path))).is_file():
                self.times[one.candidate].append(digest.read_json(path)["seconds"] / one.duration_s)
        return new

    def _measures(self) -> SpeechMeasures:
        hearable = [one for one in self.samples if design.is_hearable(one)]
        return judging.measures(
            self.recipe,
            self.executed.run_digest,
            hearable,
            judging.joined(self.told),
            len(self.real),
            self.inputs,
        )

    def _bar(self, measures: SpeechMeasures) -> guards.Bar:
        found = scores.of(self.samples, measures)
        return guards.bar(found, self.in_use, self.settings.select.guards, scores.real(measures))

    def _record(self, rounds: list[records.Round], ended: str) -> DecodingSweep:
        measures = self._measures()
        bar, drops = self._bar(measures), {drop.candidate: drop for part in rounds for drop in part.drops}
        strata = {line.id: line_strata(line) for line in self.pack}
        evidence = guards.judge(list(self.refs), bar, strata, drops)
        who = {
            name: (ref.candidate.name, dict(ref.decoding or {}), self.work[name])
            for name, ref in self.refs.items()
        }
        tried = verdict.tried(evidence, bar, who)
        better, cheaper = verdict.recommended(tried)
        return DecodingSweep(
            recipe=self.recipe, run_digest=self.executed.run_digest, selected=self.selected,
            checkpoints=self.tries.checkpoints, grid=self.tries.grid, in_use=self.in_use, tried=tried, better=better, cheaper=cheaper,
            lines=self.pack, known_lines=self.tries.lines.known, seeds=list(self.how.seeds),
            error_rate=self.race.error_rate, rounds=rounds, ended=ended, num_samples=len(self.samples),
            exhaustive=len(self.refs) * len(self.pack) * len(self.how.seeds), metrics=measures.metrics,
            inputs=self.inputs,
        )  # fmt: skip

    def _times(self) -> DecodingTimes:
        machine, times = self.params.machine, self.times
        found = [DecodingTime(name, len(one), round(median(one), 4)) for name, one in times.items() if one]
        return DecodingTimes(self.recipe, machine.device, machine.threads, self.how.race.workers, found)


def require(
    recipe: str, num: int, block: int, num_seeds: int, how: schema.RaceSettings, usual_s: float
) -> None:
    """Raises SelectionError where a budget does not hold the first block of so many settings and steps."""
    samples = num * block * num_seeds
    told = f"{num} pairs of a step and settings x {block} lines of the first block x {num_seeds} seed(s) are {samples} samples"
    less = "Give a smaller grid (--grid KEY=V1,V2), fewer steps (--checkpoints 1)"
    if how.max_samples is not None and samples > how.max_samples:
        raise SelectionError(
            f"The budget is {how.max_samples} samples (--max-samples, or recipes.{recipe}.listen.race.max_samples), but {told}: each could be heard "
            f"on {how.max_samples // (num * num_seeds)} line(s). {less}, or more: --max-samples {samples}"
        )
    if how.max_audio_s is not None and samples * usual_s > how.max_audio_s:
        each = int(how.max_audio_s / (usual_s * num * num_seeds))
        raise SelectionError(
            f"recipes.{recipe}.listen.race.max_audio_s = {how.max_audio_s:g}, but {told} of about {usual_s:.1f} s: each could be heard on {each} "
            f"line(s). {less}, or raise it to {math.ceil(samples * usual_s)}."
        )


def hopeless(
    samples: Sequence[SampleRecord],
    measures: SpeechMeasures,
    select: schema.Select,
    in_use: str,
    num_samples: int,
) -> Mapping[str, str]:
    """Name -> what no further line can make good: nothing to hear, or a veto on too many lines even if all others were fine."""
    out: dict[str, str] = {}
    for one in sorted(samples, key=lambda one: (one.candidate, one.line_id, one.seed)):
        if one.problem in records.HARD_FAILURES:
            out.setdefault(one.candidate, f"{one.problem}: line {one.line_id}, seed {one.seed}")
    shown = failures.codes(measures)
    for name, found in sorted(shown.items()):
        for code, mine in sorted(found.items()):
            used = shown.get(in_use, {}).get(code, {}).keys()
            if failures.is_too_often(code, mine.keys(), used, num_samples, select):
                out.setdefault(name, f"{code} on {len(mine)} lines, too many of {num_samples}")
    out.pop(in_use, None)
    return out

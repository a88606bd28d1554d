"""What does a base's own codec leave of the speaker? Real clips, encoded and decoded, are heard beside themselves.

Fine-tuning moves a voice toward such copies, because encoded speech is what it is trained on. A codec that loses more than a guard
allows is the bottleneck, whatever the recipe, and that is known before anybody trains.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from voicelathe import digest, families, jobs, layout, records, runner, runs, settings, sweep
from voicelathe.evaluate import guards, judging, scores
from voicelathe.families.base import Copying
from voicelathe.params import recipe as find_recipe
from voicelathe.records import Ceiling, CleanClip, ClipRef, LineTest, MetricRun, RecogniserRef, Selection
from voicelathe.speech import recogniser_files

CODE = "codec_ceiling"
METRICS = ("recogniser", "speaker", "quality")  # what the guards and the gain rest on
TIMEOUT_S = 600.0
MAX_COPIES = 8
COPY, ORIGINAL = "copies", "originals"
HEARD = (scores.WORDS, scores.QUALITY, scores.LIKENESS)


def of(params: settings.Params, base: str) -> Ceiling:
    """Stage `ceiling`: held-out clips of the main speaker, copied and heard. A family that cannot decode is skipped by its name."""
    facts, path = runs.base_facts(params, base), layout.split("validation")
    inputs = digest.of_files({path.as_posix(): path})

    def nothing(why: str) -> Ceiling:
        return Ceiling(base, facts.digest, 0, why, {}, {}, [], [], inputs)

    if not isinstance(families.find(facts.family), Copying):
        return nothing(f"{facts.family} cannot decode what it encodes without speaking it")
    own = sweep.main_speaker(records.read(path, CleanClip))
    known = judging.held_out(own, params.ingest.audio_root, params.seed)
    copied, real = known[::2][:MAX_COPIES], known[1::2][:MAX_COPIES]  # nobody meets its own original
    if len(real) < 2:
        return nothing(f"{path} holds {len(known)} clips of the speaker; it takes four")
    job = jobs.CopyJob(runs.target(params, base), copied, str(layout.CACHE / "copies"))
    runner.run(job, base)
    copies = [_ref(jobs.copied(job, clip), clip) for clip in copied]
    ears = recogniser_files.reference(params.speech, params.machine)
    told, found = _heard([*copies, *copied], real, params.engine.workers, ears)
    return Ceiling(
        base, facts.digest, len(copied), None, scores.levels(found, COPY), scores.levels(found, ORIGINAL),
        [test for measure in HEARD if (test := scores.test(found, measure, COPY, ORIGINAL))], told, inputs,
    )  # fmt: skip


def _ref(path: Path, clip: ClipRef) -> ClipRef:
    return ClipRef(
        path.parent.as_posix(), path.name, None, None, digest.of_file(path), clip.text, clip.language
    )


def _heard(
    clips: Sequence[ClipRef], real: Sequence[ClipRef], workers: int, ears: RecogniserRef | None
) -> tuple[list[MetricRun], scores.Scores]:
    """Copies in front, then their originals in the same order."""
    with judging.Panel(METRICS, TIMEOUT_S, ears, workers) as panel:
        told = panel.ask(real, clips)
    by_figure = {
        figure.name: [row.get(figure.name) for row in one.answer.values]
        for one in told
        if one.answer
        for figure in one.answer.figures
    }
    found = {
        measure: _by_clip(measure, by_figure[figure])
        for measure in HEARD
        if (figure := scores.figure_of(measure, by_figure))
    }
    return [one.run for one in told], scores.Scores(found)


def _by_clip(measure: str, values: Sequence[float | None]) -> dict[str, dict[str, float]]:
    half = len(values) // 2
    return {
        name: {
            f"clip {number}": scores.kept(measure, value)
            for number, value in enumerate(members)
            if value is not None
        }
        for name, members in ((COPY, values[:half]), (ORIGINAL, values[half:]))
    }


def notices(params: settings.Params, recipe: str) -> list[str]:
    """What preflight says of the base before anybody trains. It is no reason to stop: a voice may be wanted all the same."""
    one = find_recipe(params, recipe)
    found = records.read_one(layout.ceiling(one.base), Ceiling)
    return [f"{CODE}: {text}" for text in bottlenecks(found, guards.margins(one.select.guards))]


def bottlenecks(found: Ceiling, margins: Mapping[str, float]) -> list[str]:
    """One sentence a measure in which the codec itself is shown to lose more than a guard allows."""
    return [
        f"{found.base}'s own codec loses more {_LOST[one.measure]} than a guard allows: real clips that it encoded and decoded "
        f"{_levels(found, one)}, {_difference(one)}; {margins[one.measure]:g} may be lost. Training moves a voice toward such copies, "
        "so the base is the bottleneck and no recipe: take one with a better codec (docs/choosing.md)"
        for one in found.lost
        if one.measure in margins
        and one.p_worse < guards.SIGNIFICANT
        and one.difference < -margins[one.measure]
    ]


def notes(selection: Selection) -> Iterator[str]:
    """What the ceiling says of a decision."""
    found = selection.ceiling
    if found is None or found.missing:
        return
    margins = {one.measure: one.margin for part in selection.evidence for one in part.guards}
    yield from (f"Codec ceiling: {text}." for text in bottlenecks(found, margins))
    base = next((one for one in selection.evidence if one.candidate == selection.base), None)
    best, own = found.copies.get(scores.LIKENESS), base.levels.get(scores.LIKENESS) if base else None
    if best and own and best.mean <= own.mean:
        yield (
            f"Codec ceiling: the speaker's own clips, copied by the codec of {found.base}, have a likeness of {best.mean:.3f}, and the base "
            f"has {own.mean:.3f} already: training on such copies can hardly bring it nearer."
        )


_LOST = {scores.WORDS: "words", scores.QUALITY: "quality", scores.LIKENESS: "likeness"}


def _levels(found: Ceiling, one: LineTest) -> str:
    have = [found.copies[one.measure].mean, found.originals[one.measure].mean]
    verb = "keep" if one.measure == scores.WORDS else "have"
    return f"{verb} {have[0]:.3f} where they {'kept' if verb == 'keep' else 'had'} {have[1]:.3f} before"


def _difference(one: LineTest) -> str:
    ends = one.interval
    return f"{one.difference:+.3f} (90 % interval {ends.low:+.3f} to {ends.high:+.3f} over {one.lines} clips)".replace(
        "-", "\u2212"
    )

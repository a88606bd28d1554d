"""Stage `ceiling`: what does a base's own codec leave of the speaker? Real clips, encoded and decoded, are heard beside themselves.

Fine-tuning moves a voice toward such copies, because encoded speech is what it is trained on.
"""

from collections.abc import Sequence
from pathlib import Path

from voicelathe import digest, families, layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data.split import speakers
from voicelathe.evaluate import guards, scores
from voicelathe.evaluate.ceilings import CODE, bottlenecks
from voicelathe.evaluate.scoring import judging
from voicelathe.process import jobs, runner
from voicelathe.records import Ceiling, CleanClip, ClipRef, MetricRun, RecogniserRef
from voicelathe.runs import identity
from voicelathe.speech import recogniser_files

METRICS = ("recogniser", "speaker", "quality")  # what the guards and the gain rest on
TIMEOUT_S = 600.0
MAX_COPIES = 24  # 8 of them told 0.14 of words lost where all clips of the demo tell 0.05
COPY, ORIGINAL = "copies", "originals"
HEARD = (scores.WORDS, scores.QUALITY, scores.LIKENESS)


def measure(params: schema.Params, base: str) -> Ceiling:
    """Stage `ceiling`: held-out clips of the main speaker, copied and heard. A family that cannot decode is skipped by its name."""
    facts, path = identity.base_facts(params, base), layout.split("validation")
    inputs = digest.of_files({path.as_posix(): path})

    def nothing(why: str) -> Ceiling:
        return Ceiling(base, facts.digest, 0, why, {}, {}, [], [], inputs)

    if not families.spec(facts.family).copies:
        return nothing(f"{facts.family} cannot decode what it encodes without speaking it")
    own = speakers.main_speaker(records.read(path, CleanClip))
    known = judging.held_out(own, params.ingest.audio_root, params.seed, most=2 * MAX_COPIES)
    copied, real = known[::2], known[1::2]  # nobody meets its own original
    if len(real) < 2:
        return nothing(f"{path} holds {len(known)} clips of the speaker; it takes four")
    job = jobs.CopyJob(identity.target(params, base, None), copied, str(layout.CACHE / "copies"))
    runner.run(job, base)
    copies = [_ref(jobs.copied(job, clip), clip) for clip in copied]
    ears = recogniser_files.reference(params.speech, params.machine)
    told, found = _heard([*copies, *copied], real, params.engine, ears)
    return Ceiling(
        base, facts.digest, len(copied), None, scores.levels(found, COPY), scores.levels(found, ORIGINAL),
        [test for measure in HEARD if (test := scores.test(found, measure, COPY, ORIGINAL))], told, inputs,
    )  # fmt: skip


def _ref(path: Path, clip: ClipRef) -> ClipRef:
    return ClipRef(
        path.parent.as_posix(), path.name, None, None, digest.of_file(path), clip.text, clip.language
    )


def _heard(
    clips: Sequence[ClipRef], real: Sequence[ClipRef], engine: schema.Engine, ears: RecogniserRef | None
) -> tuple[list[MetricRun], scores.Scores]:
    """Copies in front, then their originals in the same order."""
    with judging.Panel(METRICS, TIMEOUT_S, ears, engine) as panel:
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


def notices(params: schema.Params, recipe: str) -> list[str]:
    """What preflight says of the base before anybody trains. It is no reason to stop: a voice may be wanted all the same."""
    one = find_recipe(params, recipe)
    found = records.read_one(layout.ceiling(one.base), Ceiling)
    return [f"{CODE}: {text}" for text in bottlenecks(found, guards.margins(one.select.guards))]

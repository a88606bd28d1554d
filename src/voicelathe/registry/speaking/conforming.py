"""Does a server say the judged lines as they were judged?

Whatever serves an export, upstream's own program or another one, is asked for the very lines on which the candidate was chosen, and the same
ears hear both. A server of other software draws other noise, so sounds are not compared but words, likeness and length, line by line.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from voicelathe import digest, layout, lines, records
from voicelathe.config import params
from voicelathe.data.lexicon.reading import as_read
from voicelathe.errors import SelectionError, ServerError
from voicelathe.evaluate import scores
from voicelathe.evaluate.listening import design
from voicelathe.evaluate.scoring import judging
from voicelathe.records import LONG, RunRecord, SampleRecord, SpeechMeasures
from voicelathe.registry.speaking import sentences
from voicelathe.registry.speaking.asking import Server
from voicelathe.speech import recogniser_files

SERVED = "served"  # beside the candidate's name, in scores
OWNER = "voicelathe"  # what our own server says of its models: it takes seeds


@dataclass(frozen=True)
class Margins:
    """How much worse a server may be, on average over the lines."""

    words: float = 0.05  # of all characters
    likeness: float = 0.05  # of the cosine to the speaker's recordings
    length: float = 0.25  # of the judged length, in the middle of all lines


@dataclass(frozen=True)
class Compared:
    """One measure, served and judged."""

    measure: str
    judged: float
    served: float
    lines: int
    difference: str  # with its interval, as text
    margin: float
    is_kept: bool


@dataclass(frozen=True)
class Conformed:
    """What was found."""

    recipe: str
    candidate: str
    model: str
    num_asked: int
    num_same: int  # judged bytes, to the last one
    failures: list[str]  # what was not spoken, and why
    compared: list[Compared]

    @property
    def is_kept(self) -> bool:
        return not self.failures and all(one.is_kept for one in self.compared)


def conform(
    server: Server,
    recipe: str,
    candidate: str,
    request: Mapping[str, Any],
    margins: Margins,
    out: Path | None = None,
) -> Conformed:
    """Ask a server for every judged line of a candidate, and hear it. `request`: what else goes into every request, as model and voice.

    WAV files stay in `out`. Reads the project in the working directory. Raises ServerError when the server cannot be asked, or when
    nothing could be compared.
    """
    chosen = params.load()
    run = records.read_one(layout.run(recipe, "run.json"), RunRecord)
    judged = _judged(recipe, candidate)
    languages = {line.id: line.language for line in lines.of(chosen, recipe)}
    asked, is_ours = _addressed(server, request)
    measured = records.read_one(layout.run(recipe, "metrics.json"), SpeechMeasures)
    with ExitStack() as held:
        folder = out or Path(held.enter_context(tempfile.TemporaryDirectory(prefix="voicelathe-")))
        folder.mkdir(parents=True, exist_ok=True)
        limit_s = params.recipe(chosen, recipe).listen.max_seconds
        own = {"max_seconds": limit_s, "attempts": 1} if is_ours else {}
        spoken, failures, num_same = [], [], 0
        for one in judged:
            exact = {"seed": one.seed, "language": languages[one.line_id]} if is_ours else {}
            lexicon = None if is_ours else run.identity.lexicon  # which other programs do not know
            words = as_read(lexicon, one.text, languages[one.line_id])
            try:
                frames, rate_hz = server.speak({**own, **exact, **asked, "input": words})
            except ServerError as problem:
                failures.append(f"{one.line_id}: {problem}")
                continue
            spoken.append(_kept(one, frames, rate_hz, folder))
            if not design.is_hearable(spoken[-1]):
                failures.append(
                    f"{one.line_id}: the server answers with {spoken[-1].duration_s:.2f} s of sound"
                )
            num_same += _is_same(one, frames)
        heard = [one for one in spoken if design.is_hearable(one)]
        if not heard:
            raise ServerError(f"{server.url} spoke none of {len(judged)} lines. {failures[0]}")
        told = _heard(chosen, run, measured, heard, languages, folder)
    compared = _compare(candidate, judged, measured, spoken, told, margins)
    return Conformed(recipe, candidate, str(asked["model"]), len(judged), num_same, failures, compared)


def _addressed(server: Server, request: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The request with a model, and whether the server is ours. Raises ServerError where no model is given and none is listed."""
    try:
        known = server.models()
    except ServerError:
        if request.get("model") is None:
            raise
        return dict(request), False
    model = request.get("model") or (known[0]["id"] if known else None)
    if model is None:
        raise ServerError(f"{server.url}/models lists nothing. Name a model: --model NAME")
    return {**request, "model": model}, any(one.get("owned_by") == OWNER for one in known)


def _judged(recipe: str, candidate: str) -> list[SampleRecord]:
    samples = records.read(layout.run(recipe, "samples.jsonl"), SampleRecord)
    own = [one for one in samples if one.candidate == candidate and not one.line_id.startswith(LONG)]
    found = [one for one in own if design.is_hearable(one)]
    if not found:
        names = ", ".join(sorted({one.candidate for one in samples}))
        raise ServerError(
            f"runs/{recipe}/samples.jsonl has no speech of candidate {candidate!r}; there are: {names}. Name one: --candidate NAME"
        )
    return found


def _kept(one: SampleRecord, frames: bytes, rate_hz: int, folder: Path) -> SampleRecord:
    """What the server said, as a record like the judged one."""
    path = folder / f"{one.line_id}-{one.seed}.wav"
    digest.write_bytes(path, sentences.wav_of(frames, rate_hz))
    duration_s = round(len(frames) / 2 / rate_hz, 4)
    problem = None if duration_s > 0.1 else "empty"
    return replace(
        one, candidate=SERVED, path=str(path.resolve()), sha256=digest.of_file(path), duration_s=duration_s, stopped=True, problem=problem
    )  # fmt: skip


def _is_same(one: SampleRecord, frames: bytes) -> bool:
    path = Path(one.path or "")
    return path.is_file() and sentences.frames_of(path.read_bytes())[0] == frames


def _heard(
    chosen: Any,
    run: RunRecord,
    measured: SpeechMeasures,
    spoken: Sequence[SampleRecord],
    languages: Mapping[str, str],
    folder: Path,
) -> SpeechMeasures:
    """By the metrics that judged words and likeness then, against the same recordings."""
    offered = {one.figure.name: one.metric for one in measured.figures}
    wanted = [scores.figure_of(measure, offered) for measure in (scores.WORDS, scores.LIKENESS)]
    metrics = sorted({offered[one] for one in wanted if one})
    how = params.recipe(chosen, run.recipe).listen
    real = judging.real_clips(chosen.ingest.audio_root, run, {one.text for one in spoken})
    ears = recogniser_files.reference(chosen.speech, chosen.machine)
    clips = [
        replace(judging.clip(one, languages), root=str(folder), audio=Path(str(one.path)).name)
        for one in spoken
    ]
    here = replace(chosen.engine, kind="processes", address=None)  # other machines do not see this folder
    with judging.Panel(metrics, how.metric_timeout_s, ears, here) as panel:
        asked = panel.ask(real, clips)
    told = judging.measures(run.recipe, run.run_digest, spoken, asked, len(real), {})
    if broken := [f"{one.metric} {one.status} ({one.detail})" for one in told.metrics if not one.is_whole]:
        raise SelectionError(
            f"What the server said could not be heard: {'; '.join(broken)}. See docs/metrics.md."
        )
    return told


def _compare(
    candidate: str,
    judged: Sequence[SampleRecord],
    measured: SpeechMeasures,
    spoken: Sequence[SampleRecord],
    told: SpeechMeasures,
    margins: Margins,
) -> list[Compared]:
    then, now = scores.of(judged, measured).values, scores.of(spoken, told).values
    both = scores.Scores({name: {**then.get(name, {}), **now.get(name, {})} for name in {*then, *now}})
    found = []
    for measure, margin in ((scores.WORDS, margins.words), (scores.LIKENESS, margins.likeness)):
        test = scores.test(both, measure, SERVED, candidate)
        if test is None:
            continue
        common = sorted({*both.values[measure][SERVED]} & {*both.values[measure][candidate]})
        mine, theirs = (_mean(both, measure, name, common) for name in (SERVED, candidate))
        said = f"{test.difference:+.3f} ({test.interval.low:+.3f} to {test.interval.high:+.3f})"
        found.append(Compared(measure, theirs, mine, test.lines, said, margin, test.difference >= -margin))
    if not found:
        raise ServerError(
            f"runs/{measured.recipe}/metrics.json judged neither words nor likeness, so nothing can be compared. Run: dvc repro listen@{measured.recipe}"
        )
    return [*found, _length(judged, spoken, margins.length)]


def _mean(both: scores.Scores, measure: str, name: str, common: Sequence[str]) -> float:
    values = both.values[measure][name]
    return sum(values[line] for line in common) / len(common)


def _length(judged: Sequence[SampleRecord], spoken: Sequence[SampleRecord], margin: float) -> Compared:
    """The middle of the ratios, and sums for the reader: one line that runs away is not the server's fault."""
    served = {(one.line_id, one.seed): one.duration_s for one in spoken}
    pairs = [
        (one.duration_s, served[key])
        for one in judged
        if (key := (one.line_id, one.seed)) in served and one.duration_s
    ]
    ratio = median(now / then for then, now in pairs)
    then_s, now_s = (sum(pair[side] for pair in pairs) for side in (0, 1))
    return Compared(
        "length", then_s, now_s, len(pairs), f"x {ratio:.3f} in the middle", margin, abs(ratio - 1) <= margin
    )

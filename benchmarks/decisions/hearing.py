"""What did each candidate say, and what was heard? One file a candidate and pack, so that a killed benchmark loses one candidate's hearing.

Works in the current folder, a project whose run is trained and evaluated. Everybody speaks every line; nobody drops out. Samples are
kept one by one by what made them, and heard twice: against validation clips, as in the stage `listen`, and for the oracle's likeness
against clips of the test split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from voicelathe import digest, layout, records
from voicelathe.config import params, schema
from voicelathe.data.split import speakers
from voicelathe.evaluate import evidence
from voicelathe.evaluate.listening import design
from voicelathe.evaluate.scoring import judging
from voicelathe.process.jobs import WeightsRef
from voicelathe.records import (
    CleanClip,
    ClipRef,
    EvaluationRecord,
    PackLine,
    RunRecord,
    SampleRecord,
    SpeechMeasures,
)
from voicelathe.runs import results
from voicelathe.speech import recogniser_files
from voicelathe.stages import candidates, speak
from voicelathe.stages.references.clips import reference

BASES = "_bases"  # folder of what untouched bases said: the same for all recipes of a project
METRICS = ("waveform", "activity", "recogniser", "speaker", "quality")  # those of the demo
ORACLE_METRICS = ("recogniser", "speaker")
LIKENESS_ALONE = ("speaker",)


@dataclass(frozen=True)
class Heard:
    """Every sample of a pack, and what metrics say of it."""

    samples: list[SampleRecord]
    measures: SpeechMeasures


def everybody(
    recipe: str, name: str, pack: Sequence[PackLine], split: str, metrics: Sequence[str], out: Path
) -> Heard:
    """Every candidate of a recipe speaks the whole pack `name` and is heard against clips of `split`; what lies below `out` is not done again."""
    chosen = params.load()
    record, index = results.read(recipe)
    evaluated = records.read(layout.run(recipe, "evaluations.jsonl"), EvaluationRecord)
    refs = candidates.refs(chosen, recipe, index, evaluated)
    key = _key(pack, metrics, split, chosen)
    places = {ref.candidate.name: _place(out, recipe, record, ref, name, key) for ref in refs}
    missing = [ref for ref in refs if not places[ref.candidate.name].is_file()]
    if missing:
        _hear(chosen, recipe, record, missing, pack, split, metrics, places)
    return joined(record, [read(places[ref.candidate.name]) for ref in refs])


def _key(pack: Sequence[PackLine], metrics: Sequence[str], split: str, chosen: schema.Params) -> str:
    """What was asked: other lines, metrics, clips or ears are another file."""
    spoken = [records.to_json(line) for line in pack]
    ears = chosen.speech.recogniser.digest if chosen.speech.recogniser else None
    real = digest.of_file(layout.split(split))
    return digest.of_value([spoken, list(metrics), real, ears])[:12]


def _place(out: Path, recipe: str, record: RunRecord, ref: WeightsRef, name: str, key: str) -> Path:
    owner = BASES if ref.candidate.name in evidence.BASES else f"{recipe}-{record.run_digest[:12]}"
    return out / owner / f"{name}-{key}" / f"{ref.candidate.name}.json"


def _hear(
    chosen: schema.Params,
    recipe: str,
    record: RunRecord,
    refs: Sequence[WeightsRef],
    pack: Sequence[PackLine],
    split: str,
    metrics: Sequence[str],
    places: Mapping[str, Path],
) -> None:
    how = params.recipe(chosen, recipe).listen
    said = [records.Line(one.id, one.text, one.language, seed) for one in pack for seed in how.seeds]
    ears = recogniser_files.reference(chosen.speech, chosen.machine)
    real = _real(chosen, record, split, pack)
    languages = {one.id: one.language for one in pack}
    with judging.Panel(metrics, how.metric_timeout_s, ears) as panel:
        for ref in refs:
            place = places[ref.candidate.name]
            samples = speak.speak(
                chosen,
                record,
                [ref],
                said,
                how.max_seconds,
                params.recipe(chosen, record.recipe).speak,
                place.parent.parent / "speech",
                reference(chosen, recipe),
            )
            hearable = [one for one in samples if design.is_hearable(one)]
            told = panel.ask(real, [judging.clip(one, languages) for one in hearable])
            write(
                place,
                Heard(
                    samples, judging.measures(record.recipe, record.run_digest, hearable, told, len(real), {})
                ),
            )


def _real(chosen: schema.Params, record: RunRecord, split: str, pack: Sequence[PackLine]) -> list[ClipRef]:
    root, texts = chosen.ingest.audio_root, {one.text for one in pack}
    own = speakers.main_speaker(records.read(layout.split(split), CleanClip))
    return judging.held_out(own, root, record.identity.seed, texts)


def write(path: Path, heard: Heard) -> None:
    """Whole or not at all: a file that is there is complete."""
    samples = [records.to_json(one) for one in heard.samples]
    digest.write_json(path, {"samples": samples, "measures": records.to_json(heard.measures)})


def read(path: Path) -> Heard:
    stored: dict[str, Any] = digest.read_json(path)
    samples = [records.from_json(SampleRecord, one, str(path)) for one in stored["samples"]]
    return Heard(samples, records.from_json(SpeechMeasures, stored["measures"], str(path)))


def of_lines(whole: Heard, pack: Sequence[PackLine]) -> Heard:
    """What was said and heard of these lines."""
    ids = {line.id for line in pack}
    rows = [row for row in whole.measures.samples if row.line_id in ids]
    return Heard(
        [each for each in whole.samples if each.line_id in ids], replace(whole.measures, samples=rows)
    )


def joined(record: RunRecord, parts: Sequence[Heard]) -> Heard:
    """All candidates as one sweep of this run. The real clips were the same for all, so their figures are."""
    first = parts[0].measures
    rows = [row for part in parts for row in part.measures.samples]
    measures = replace(first, recipe=record.recipe, run_digest=record.run_digest, samples=rows)
    return Heard([one for part in parts for one in part.samples], measures)

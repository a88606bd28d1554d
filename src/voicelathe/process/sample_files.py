"""Where a spoken sample lies: by all that it depends on, so that a sample of other settings, weights or texts never takes its place.

DVC brings records of former settings back from its cache, and the files that they name are still there. Imports no torch; parent and worker use it.
"""

from pathlib import Path

from voicelathe import digest, records
from voicelathe.data.lexicon.reading import as_read
from voicelathe.process import jobs

REVISION = 1  # of the spoken samples: a new one speaks every line again
KEY_DIGITS = 12


def place(job: jobs.SpeakJob, ref: jobs.WeightsRef, line: records.Line) -> Path:
    """The record of a sample, <out>/<voice>/<line>-<seed>-<key>.json; its WAV has the same name.

    The key alone keeps samples apart; the folder is for people who listen: the candidate, or what the job tries with it, a clip or settings.
    """
    out = job.shared if job.shared is not None and ref.kind == "base" else job.out
    voice = ref.reference.name if ref.reference else ref.candidate.name
    voice += "".join(f"-{setting}-{value:g}" for setting, value in sorted((ref.decoding or {}).items()))
    return Path(out) / voice / f"{line.line_id}-{line.seed}-{key(job, ref, line)[:KEY_DIGITS]}.json"


def read(job: jobs.SpeakJob, ref: jobs.WeightsRef, line: records.Line) -> records.SampleRecord:
    """What was spoken. Raises RecordError when its record is damaged, OSError when there is none."""
    path = place(job, ref, line)
    return records.from_json(records.SampleRecord, digest.read_json(path)["sample"], str(path))


def seconds(record: Path) -> Path:
    """How many seconds a sample took, if the job was `timed`: apart from its record, which is the same every time."""
    return record.with_suffix(".seconds")


def settings(job: jobs.SpeakJob, ref: jobs.WeightsRef) -> dict[str, float]:
    """With which settings these weights are decoded."""
    return job.decoding if ref.decoding is None else ref.decoding


def key(job: jobs.SpeakJob, ref: jobs.WeightsRef, line: records.Line) -> str:
    """Everything one sample depends on."""
    machine = job.target.machine
    parts = [
        REVISION,
        ref.sha256,
        ref.candidate.lora_scale,
        job.target.base_digest,
        records.to_json(line),
        job.max_seconds,
        settings(job, ref),
        machine.device,
        machine.threads,
    ]
    if (text := as_read(job.target.lexicon, line.text, line.language)) != line.text:
        parts.append({"read": text})
    reference = ref.reference or job.reference
    if ref.candidate.prompted and reference is not None:
        heard = reference.clips[0]  # its id does not know how its silence was trimmed
        said = as_read(job.target.lexicon, heard.text, heard.language)
        parts.append([reference.way, *heard.sound, said])
    return digest.of_value(parts)

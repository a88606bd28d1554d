"""Runs, losses, samples and verdicts of an imaginary sweep, so that a test states only what matters to it."""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from voicelathe import families, records, rng
from voicelathe.config import schema
from voicelathe.evaluate import losses, scores
from voicelathe.evaluate.listening import design, verdicts
from voicelathe.families import decoding
from voicelathe.records import (
    BaseFacts,
    Candidate,
    Ceiling,
    CheckpointRecord,
    ClipLoss,
    Ending,
    EvaluationRecord,
    Figure,
    FigureRecord,
    Judgement,
    MeasuredSample,
    MetricRun,
    Opinion,
    ProbeRecord,
    Race,
    Round,
    RunIdentity,
    RunRecord,
    SampleRecord,
    Sitting,
    SpeechMeasures,
    StepRecord,
    Verdict,
    sealed,
)

RECIPE = "mini-lora"
CODES = ["garbled", "truncated", "wrong_speaker"]
PROBE_LIMITS = schema.ProbeLimits(0.25, 0.25, 0.5, 0.25)
PROBE_CODES = ["ignores_text", "stops_early", "runs_on"]
RACE = schema.RaceSettings(block_lines=8, error_rate=0.05, max_samples=None, max_audio_s=None, workers=1)
GUARDS = schema.Guards(words=0.05, endings=0.1, quality=None)
SELECT = schema.Select({"diff": 1.0, "stop": 1.0}, CODES + PROBE_CODES, 0.25, GUARDS, PROBE_LIMITS)
MANY = {f"line-{number:02d}": f"Sentence {number}." for number in range(24)}
LINES = {"carrier": "Every small detail felt clear, steady, and close.", "short": "The lamp is on."}
RATE_HZ = 16_000
DECODING = decoding.defaults(families.spec("voxcpm2").decoding)


def run(recipe: str = RECIPE, seed: int = 7, steps: int = 60) -> RunRecord:
    train = schema.Train(
        mode="lora",
        steps=steps,
        clips_per_step=8,
        clips_per_pass=8,
        checkpoint_every=10,
        learning_rate=0.002,
        warmup_steps=5,
        weight_decay=0.01,
        max_grad_norm=1.0,
        optimizer="adamw",
        weights="fp32",
        gradient_release=False,
        activation_checkpointing="none",
        autocast=False,
        cache_encoder=False,
        probe_every=10,
        lora=schema.Lora(16, 16.0, 0.0, ["lm"]),
    )
    identity = RunIdentity(
        train, "voxcpm2-mini", "voxcpm2", "b" * 64, "c" * 64, seed, 1, "cpu", 2, 1, "2.13.0"
    )
    run_digest = "d" * 64
    directory = f"checkpoints/{recipe}/{run_digest[:16]}"
    return RunRecord(
        recipe, run_digest, directory, identity, 270, 5_000_000, 90_000, {"data/split/train.jsonl": "e" * 64}
    )


def candidates(*steps: int, scale: float | None = 1.0) -> list[Candidate]:
    """The base and one candidate a step."""
    return [Candidate(0, None), *(Candidate(step, scale) for step in steps)]


def paired_losses(
    means: Mapping[Candidate, Mapping[str, float]],
    num_recordings: int = 12,
    clips_each: int = 5,
    spread: float = 0.2,
    noise: float = 0.02,
) -> list[ClipLoss]:
    """Clips of different difficulty (`spread`), to which candidates respond a little differently (`noise`); means come out as given."""
    rows = []
    clips = [
        (f"clip-{r:02d}-{c}", f"recording-{r:02d}") for r in range(num_recordings) for c in range(clips_each)
    ]
    names = sorted({name for values in means.values() for name in values})
    difficulty = {name: _centred(len(clips), spread, "difficulty", name) for name in names}
    for candidate, values in means.items():
        own = {name: _centred(len(clips), noise, "own", name, candidate.name) for name in names}
        for place, (clip, recording) in enumerate(clips):
            parts = {
                name: float(values[name] + difficulty[name][place] + own[name][place]) for name in values
            }
            rows.append(ClipLoss(candidate.name, clip, recording, parts, sum(parts.values())))
    return rows


def evaluations(clip_losses: Sequence[ClipLoss], known: Sequence[Candidate]) -> list[EvaluationRecord]:
    """What the evaluate stage says of these clips."""
    rows = []
    for one in known:
        mine = [row for row in clip_losses if row.candidate == one.name]
        parts = {name: float(np.mean([row.losses[name] for row in mine])) for name in mine[0].losses}
        sha256 = weights_sha256(one.step)
        total = sum(parts.values())
        rows.append(EvaluationRecord(one.name, one.step, one.lora_scale, sha256, parts, total, len(mine), 2))
    return rows


def probes(known: Sequence[Candidate], **changes: Mapping[str, object]) -> list[ProbeRecord]:
    """Healthy probes of every candidate: the text matters, speech ends, nothing is forgotten. `changes`: field -> candidate -> value."""
    clips = [f"clip-{number:02d}" for number in range(12)]
    rows = []
    for one in known:
        row = ProbeRecord(
            one.name, one.step, one.lora_scale, weights_sha256(one.step), None, "diff",
            {clip: 0.8 + 0.01 * number for number, clip in enumerate(clips)},
            {clip: 1.0 + 0.012 * number for number, clip in enumerate(clips)},
            {clip: Ending(20, 19, 0.9) for clip in clips},
            {f"train-{clip}": 0.9 - 0.001 * one.step for clip in clips},
            {f"other-{clip}": 0.7 + 0.01 * number + 0.001 * one.step for number, clip in enumerate(clips)},
        )  # fmt: skip
        rows.append(replace(row, **{name: by[one.name] for name, by in changes.items() if one.name in by}))
    return rows


def samples(
    known: Sequence[Candidate],
    lines: Mapping[str, str] = LINES,
    seeds: Sequence[int] = (42,),
    problems: Mapping[tuple[str, str], str] | None = None,
    root: Path | None = None,
    seconds: float = 0.5,
) -> list[SampleRecord]:
    """One sample a candidate, line and seed; with `root` the audio is really written. `problems`: (candidate, line) -> code."""
    rows = []
    for one in known:
        for line, text in lines.items():
            for seed in seeds:
                problem = (problems or {}).get((one.name, line))
                path = f"checkpoints/{RECIPE}/speech/{one.name}/{line}-{seed}.wav"
                sha256 = hashlib.sha256(path.encode()).hexdigest()
                if root is not None and problem != "empty":
                    sha256 = write_tone(
                        root / path, 200 + 40 * one.step % 700, seconds, gain=0.05 + 0.02 * (one.step % 7)
                    )
                heard = None if problem == "empty" else path
                rows.append(
                    SampleRecord(
                        one.name, one.step, one.lora_scale, line, text, seed, DECODING, heard, sha256 if heard else None,
                        seconds if heard else 0.0, -6.0, -20.0, problem != "runaway", problem,
                    )
                )  # fmt: skip
    return rows


Outside = Mapping[tuple[str, str], dict[str, str]]  # (candidate, line) -> veto code -> figure and limit
Heard = Mapping[str, float | None]  # candidate -> mean over the lines; None: nobody measured it
CER, LIKENESS = (
    0.1,
    {"base": 0.6, "base_zero_shot": 0.6},
)  # what is heard of a candidate that a test does not mention


def measures(
    spoken: Sequence[SampleRecord],
    outside: Outside | None = None,
    cer: Heard | None = None,
    likeness: Heard | None = None,
    noise: float = 0.02,
    cer_on: Mapping[tuple[str, str], float] | None = None,
) -> SpeechMeasures:
    """What the metrics say: every candidate keeps its words, and fine-tunes are nearer to the speaker than the bases, unless told otherwise.

    Means over the lines come out as given; lines differ in difficulty, and candidates a little in how they respond.
    """
    lines = sorted({one.line_id for one in spoken})

    def value(of: Heard, usual: float, one: SampleRecord, what: str) -> float | None:
        mean = of.get(one.candidate, usual)
        if mean is None:
            return None
        shared, own = (
            _centred(len(lines), noise, what, "difficulty"),
            _centred(len(lines), noise, what, one.candidate),
        )
        place = lines.index(one.line_id)
        return round(float(mean + shared[place] + own[place]), 4)

    rows = []
    for one in spoken:
        if design.is_hearable(one):
            values = {
                "cer": (cer_on or {}).get((one.candidate, one.line_id), value(cer or {}, CER, one, "cer")),
                "similarity": value(likeness or {}, LIKENESS.get(one.candidate, 0.8), one, "likeness"),
            }
            codes = dict((outside or {}).get((one.candidate, one.line_id), {}))
            rows.append(MeasuredSample(one.candidate, one.line_id, one.seed, values, codes))
    words = Figure("cer", "share", "lower", "garbled", "character errors")
    voice = Figure("similarity", "cosine", "higher", "wrong_speaker", "to the speaker")
    return SpeechMeasures(
        RECIPE,
        run().run_digest,
        12,
        [
            MetricRun("words", "measured", ""),
            MetricRun("speaker", "measured", ""),
            MetricRun("quality", "crashed", "exit code 1: no model"),
        ],
        [
            FigureRecord(words, "words", None, 0.4, 0.08, 0.05, 0.12, [0.05, 0.08, 0.12]),
            FigureRecord(voice, "speaker", 0.5, None, 0.9, 0.85, 0.95, [0.85, 0.9, 0.95]),
        ],
        rows,
        {"data/split/validation.jsonl": "a" * 64},
    )


def race(
    spoken: Sequence[SampleRecord],
    strata: Mapping[str, list[str]] | None = None,
    rounds: list[Round] | None = None,
) -> Race:
    """Everybody spoke every line in one block, unless told otherwise."""
    lines = sorted({one.line_id for one in spoken if not one.line_id.startswith(records.LONG)})
    names = sorted({one.candidate for one in spoken})
    return Race(
        RECIPE,
        run().run_digest,
        0.05,
        rounds or [Round(lines, names, [])],
        dict(strata or {}),
        len(spoken),
        len(spoken),
        "all_lines",
    )


def write_tone(path: Path, hz: float, seconds: float, gain: float) -> str:
    """A tone with a slow swell, as 16-bit WAV; gives its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = _tone(hz, seconds, gain)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


@cache
def _tone(hz: float, seconds: float, gain: float) -> bytes:
    import soundfile

    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    wave = gain * np.sin(2 * np.pi * hz * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
    file = io.BytesIO()
    soundfile.write(file, wave.astype(np.float32), RATE_HZ, subtype="PCM_16", format="WAV")
    return file.getvalue()


Taste = Callable[[str, str, int], float]  # candidate, line, seed -> how good it sounds


def sitting(
    known: Sequence[SampleRecord],
    taste: Taste,
    listener: str = "anna",
    mode: str = "rate",
    of: RunRecord | None = None,
) -> Sitting:
    """A finished sitting of a listener with this taste, sealed as the page seals it."""
    of = of or run()
    judgements = []
    for trial in design.trials(mode, known, of.identity.seed):
        worth = {name: taste(name, trial.line_id, trial.seed) for name in trial.candidates}
        opinions = [Opinion(name, _score(mode, worth, name), []) for name in trial.candidates]
        judgements.append(Judgement(trial.trial, trial.line_id, trial.seed, trial.repeats, opinions, ""))
    sweep = design.sweep_digest(of.run_digest, known)
    return seal(Sitting(verdicts.FORMAT, of.recipe, of.run_digest, sweep, listener, mode, judgements, ""))


def seal(one: Sitting) -> Sitting:
    return replace(one, digest=sealed.seal(one))


def verdict(*sittings: Sitting) -> Verdict:
    return Verdict(sittings[0].recipe, sittings[0].run_digest, sittings[0].sweep, list(sittings))


def steps(num: int) -> list[StepRecord]:
    rows = []
    for step in range(1, num + 1):
        fall = 0.4 * np.exp(-step / (num / 4)) + 0.05 * rng.unit(1, "bump", step)
        parts = {"diff": round(0.8 + float(fall), 6), "stop": round(0.05 + float(fall) / 5, 6)}
        rows.append(
            StepRecord(
                step,
                parts,
                sum(parts.values()),
                1.0 + float(fall),
                {"lm": 1.0},
                0.002 * min(1.0, step / 5),
                ["clip-00-0"],
                {},
                [],
            )
        )
    return rows


def checkpoints(known: Sequence[Candidate]) -> list[CheckpointRecord]:
    return [
        CheckpointRecord(
            step,
            "lora" if step else "base",
            f"checkpoints/x/step_{step:07d}",
            1_400_000,
            weights_sha256(step),
        )
        for step in sorted({one.step for one in known})
    ]


def weights_sha256(step: int) -> str:
    return hashlib.sha256(f"weights of step {step}".encode()).hexdigest()


def base_facts(trained: bool = False) -> BaseFacts:
    return BaseFacts(
        "voxcpm2",
        "VoxCPM2",
        16000,
        48000,
        6.25,
        0.2,
        30.0,
        5_000_000,
        trained,
        "Apache-2.0",
        {"config.json": "f" * 64},
        "b" * 64,
    )


def ceiling(words: float = 0.9, likeness: float = 0.9) -> Ceiling:
    """What is heard of eight clips that the base's codec copied, whose originals keep 0.9 of their words at a likeness of 0.95."""
    wiggle = [0.01 * (number % 3 - 1) for number in range(8)]
    values = {
        measure: {
            name: {f"clip {n}": mean + part for n, part in enumerate(wiggle)} for name, mean in means.items()
        }
        for measure, means in (
            ("words", {"copies": words, "originals": 0.9}),
            ("likeness", {"copies": likeness, "originals": 0.95}),
        )
    }
    found = scores.Scores(values)
    lost = [scores.test(found, measure, "copies", "originals") for measure in values]
    return Ceiling(
        "voxcpm2-mini", "b" * 64, 8, None, scores.levels(found, "copies"), scores.levels(found, "originals"),
        [one for one in lost if one], [MetricRun("words", "measured", "")], {"data/split/validation.jsonl": "a" * 64},
    )  # fmt: skip


def write_run(
    root: Path, known: Sequence[Candidate], clip_losses: Sequence[ClipLoss], spoken: Sequence[SampleRecord]
) -> Path:
    """Everything that the stages before `select` leave in runs/<recipe>/; gives that directory."""
    from voicelathe import digest

    folder = root / "runs" / RECIPE
    digest.write_json(folder / "run.json", records.to_json(run()))
    records.write(folder / "steps.jsonl", steps(60))
    index = {
        "run_digest": run().run_digest,
        "checkpoints": [records.to_json(one) for one in checkpoints(known)],
    }
    digest.write_json(folder / "checkpoints.json", index)
    records.write(folder / "evaluations.jsonl", evaluations(clip_losses, known))
    losses.write(folder / "clip_losses.parquet", clip_losses)
    records.write(folder / "probes.jsonl", probes(known))
    records.write(folder / "samples.jsonl", spoken)
    digest.write_json(folder / "metrics.json", records.to_json(measures(spoken)))
    digest.write_json(folder / "race.json", records.to_json(race(spoken)))
    digest.write_json(root / "data/latents/voxcpm2-mini/base.json", records.to_json(base_facts()))
    digest.write_json(root / "data/latents/voxcpm2-mini/ceiling.json", records.to_json(ceiling()))
    (root / "verdicts").mkdir(exist_ok=True)
    return folder


@cache
def _centred(num: int, width: float, *purpose: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    values = np.random.default_rng(rng.key(3, "factory", *purpose)).normal(0.0, width, num)
    values -= values.mean()
    values.setflags(write=False)  # it is given to many
    return values


def _score(mode: str, worth: Mapping[str, float], name: str) -> int:
    if mode == "rate":
        return int(np.clip(round(50 + 10 * worth[name]), 0, 100))
    below = sum(worth[other] < worth[name] for other in worth)
    return below if mode == "rank" else int(below > 0)

"""A finished run as its stages leave it: real WAV files, real safetensors, every record, in a project of its own.

Nothing is trained: losses follow a made-up curve whose minimum lies in the middle, so that the last step is not the best.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.factories import voxcpm2_base
from tests.factories.evaluations import DECODING, ceiling
from voicelathe import checkpoints, digest, layout, records
from voicelathe.config import params, schema
from voicelathe.data import tables
from voicelathe.data.audio import waveform
from voicelathe.data.latents import index
from voicelathe.evaluate import guards, scores
from voicelathe.records import (
    Candidate,
    CheckpointRecord,
    CleanClip,
    EvaluationRecord,
    RunIdentity,
    RunRecord,
    SampleRecord,
    StepRecord,
    StepTiming,
)

REPOSITORY = Path(__file__).parents[2]
BASE = "voxcpm2-mini"
LINES = {"carrier": "Every small detail felt clear.", "short": "The lamp is on."}
RATE_HZ = 16_000
NUM_CLIPS = {"train": 20, "validation": 5, "test": 5}


@dataclass(frozen=True)
class Finished:
    """A project with one finished run in it."""

    root: Path
    run: RunRecord
    steps: list[StepRecord]
    timings: list[StepTiming]
    best: Candidate

    @property
    def journal(self) -> Path:
        return self.root / self.run.directory


def project(root: Path, base: Path | None = None, num_recorded: int = 0) -> Path:
    """params.yaml, base (None: one of random weights), splits, gate, consent and reports, with true digests; no run yet.

    `num_recorded` clips of the validation split have a recording that can be read.
    """
    shutil.copytree(base or voxcpm2_base.shared(), root / "data/bases" / BASE)
    shutil.copytree(REPOSITORY / "consent", root / "consent")
    (root / "data/demo").mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "data/demo/NOTICE", root / "data/demo/NOTICE")
    files = digest.of_tree(root / "data/bases" / BASE)
    _write_params(root, {f"bases/{BASE}/digest": digest.of_value(files), f"bases/{BASE}/trained": False})
    for name, number in NUM_CLIPS.items():
        rows = [clip(name, at) for at in range(number)]
        if name == "validation":
            rows[:num_recorded] = [recorded(root, one, at) for at, one in enumerate(rows[:num_recorded])]
        records.write(root / layout.split(name), rows)
    splits = {name: layout.split(name) for name in layout.SPLITS}
    digest.write_bytes(root / layout.MANIFEST, b"stands for the rows of the manifest")
    sha256s = {name: digest.of_file(root / path) for name, path in splits.items()}
    inputs = {path.as_posix(): digest.of_file(root / path) for path in [layout.MANIFEST, *splits.values()]}
    passed = records.Passed(sha256s, "required", {"awb": digest.of_file(root / "consent/awb.json")}, inputs)
    digest.write_json(root / layout.GATE, records.to_json(passed))
    records.write(root / layout.LINES / "demo.jsonl", pack(LINES))
    for page in (layout.DATA_REPORT, layout.GATE_REPORT):
        digest.write_text(root / page, f"<!doctype html><title>{page.stem}</title><h1>{page}</h1>")
    entries = [
        records.LatentEntry(
            f"{name}-{at:03d}", name, "shards/00000.safetensors", 13, digest.of_value([name, at])
        )
        for name, number in NUM_CLIPS.items()
        for at in range(number)
    ]
    (root / layout.latents(BASE)).mkdir(parents=True)
    tables.write(root / layout.latents(BASE) / "index.parquet", entries)
    facts = records.BaseFacts(
        "voxcpm2",
        "voxcpm2",
        16000,
        48000,
        6.25,
        0.2,
        30.0,
        5_000_000,
        False,
        "Apache-2.0",
        files,
        digest.of_value(files),
    )
    record = layout.latents(BASE) / "base.json"
    digest.write_json(root / record, records.to_json(facts))
    content = (root / record).read_bytes()
    known = {
        "path": record.as_posix(),
        "hash": "md5",
        "md5": hashlib.md5(content).hexdigest(),
        "size": len(content),
    }
    stage = {"cmd": f"python -m pipelines.encode {BASE}", "outs": [known]}
    digest.write_json(root / "dvc.lock", {"schema": "2.0", "stages": {f"encode@{BASE}": stage}})
    return root


def pack(lines: Mapping[str, str]) -> list[records.PackLine]:
    """Lines of the given texts as a pack has them; an id that begins with HELD_OUT is a clip of a recording called like it."""
    made = []
    for name, text in lines.items():
        clip_id = name.removeprefix(records.HELD_OUT) if name.startswith(records.HELD_OUT) else None
        speaker = "awb" if clip_id else None
        made.append(records.PackLine(name, text, "en", speaker, "sentence", clip_id, clip_id))
    return made


def _write_params(root: Path, changes: dict[str, object]) -> None:
    """The repository's params.yaml, pinned to a raw manifest and audio of this project."""
    raw = root / "data/demo"
    audio = {f"{number}.opus": raw / "audio" / f"{number}.opus" for number in range(3)}
    for name, path in audio.items():
        digest.write_bytes(path, f"stands for {name}".encode())
    digest.write_bytes(raw / "manifest.jsonl", b"stands for the raw manifest")
    sha256s = digest.of_files(audio)
    digest.write_text(
        root / "data/raw/audio.sha256", "".join(f"{sha}  {name}\n" for name, sha in sha256s.items())
    )
    shutil.copy(REPOSITORY / "params.yaml", root / "params.yaml")
    pins = {"ingest/manifest": "data/demo/manifest.jsonl", "ingest/audio_root": "data/demo/audio"}
    pins |= {
        "ingest/sha256": digest.of_file(raw / "manifest.jsonl"),
        "ingest/audio_digest": digest.of_value(sha256s),
    }
    params.edit({**pins, **changes}, root / "params.yaml")


def clip(split: str, number: int, speaker: str = "awb") -> CleanClip:
    name = f"{split}-{number:03d}"
    sha256 = digest.of_bytes(name.encode())
    return CleanClip(
        name, f"{name}.opus", 0.0, 2.0, f"Sentence {number}.", name, speaker, "en", sha256, sha256, 2.0, None
    )


def recorded(root: Path, one: CleanClip, number: int) -> CleanClip:
    """A clip with its recording: a tone, another one for every number."""
    place = root / params.load(root / "params.yaml").ingest.audio_root
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = 0.3 * np.sin(2 * np.pi * (150 + 40 * number) * time_s)
    waveform.write_wav(place / f"{one.clip_id}.wav", tone.astype(np.float32), RATE_HZ)
    path = f"{one.clip_id}.wav"
    return replace(one, audio=path, audio_sha256=digest.of_file(place / path))


def finished(
    root: Path,
    recipe: str = "mini-lora",
    steps: int = 60,
    every: int = 10,
    scales: tuple[float, ...] = (1.0,),
    seed: int = 7,
    run: RunRecord | None = None,
    weights_seed: int | None = None,
    adapter: Callable[[int], bytes] | None = None,
    threads: int = 2,
    prompt: records.PromptClip | None = None,
) -> Finished:
    """A run that went through every stage up to `select`; `run`: as the train stage identifies it, instead of a made-up one.

    `adapter`: the weights file of a step; else one of no real model. `prompt`: what the base heard, which then was judged so, too.
    """
    if not (root / "params.yaml").is_file():
        project(root)
    run = run or planned(root, recipe, steps, every, seed, threads)
    done = replace(run, num_trainable=90_000)
    rows, timings = journals(steps)
    records.write(root / run.directory / "steps.jsonl", rows)
    records.write(root / run.directory / "timings.jsonl", timings)
    numbered = range(every, steps + 1, every)
    kept = [
        base_checkpoint(root),
        *(checkpoint(root, run, step, weights_seed, adapter) for step in numbered),
    ]
    strengths = scales if run.identity.train.mode == "lora" else (None,)
    bases = [Candidate(0, None), *([Candidate(0, None, True)] if prompt else [])]
    known = bases + [Candidate(one.step, scale) for one in kept[1:] for scale in strengths]
    sha256s = {one.step: one.sha256 for one in kept}
    evaluations = [evaluation(one, sha256s[one.step], steps) for one in known]
    folder = root / layout.run(recipe, "run.json").parent
    digest.write_json(folder / "run.json", records.to_json(done))
    records.write(folder / "steps.jsonl", rows)
    listed = {"run_digest": run.run_digest, "checkpoints": [records.to_json(one) for one in kept]}
    digest.write_json(folder / "checkpoints.json", listed)
    records.write(folder / "evaluations.jsonl", evaluations)
    records.write(folder / "samples.jsonl", [sample(root, run, one, line) for one in known for line in LINES])
    measured = records.SpeechMeasures(recipe, run.run_digest, 0, [], [], [], {})
    digest.write_json(folder / "metrics.json", records.to_json(measured))
    digest.write_json(folder / "race.json", records.to_json(race(run, known, prompt)))
    digest.write_json(root / layout.ceiling(BASE), records.to_json(ceiling()))
    digest.write_bytes(folder / "clip_losses.parquet", b"stands for losses per clip")
    digest.write_bytes(folder / "probes.jsonl", b"stands for probes per clip")
    digest.write_text(folder / "listening.html", "<!doctype html><title>listening</title><h1>listening</h1>")
    best = min(evaluations[len(bases) :], key=lambda one: one.total)
    select(root, recipe, "ship", best.candidate)
    digest.write_text(
        folder / "report.html", f"<!doctype html><title>report</title><h1>{best.candidate}</h1>"
    )
    return Finished(root, done, rows, timings, Candidate(best.step, best.lora_scale))


def planned(
    root: Path, recipe: str = "mini-lora", steps: int = 60, every: int = 10, seed: int = 7, threads: int = 2
) -> RunRecord:
    """The run as the train stage knows it before it starts."""
    chosen = params.load(root / "params.yaml")
    train = replace(chosen.recipes[recipe].train, steps=steps, checkpoint_every=every)
    base = chosen.bases[BASE]
    latents = index.split_digest(index.read(root / layout.latents(BASE)), "train")
    identity = RunIdentity(train, BASE, "voxcpm2", base.digest, latents, seed, 1, "cpu", threads, 1, "2.13.0")
    run_digest = digest.of_value(records.to_json(identity))
    inputs = [layout.split("train"), layout.latents(BASE) / "index.parquet"]
    return RunRecord(
        recipe,
        run_digest,
        layout.weights(recipe, run_digest).as_posix(),
        identity,
        20,
        5_000_000,
        None,
        {path.as_posix(): digest.of_file(root / path) for path in inputs},
    )


def journals(last: int, first: int = 1, of: int = 60) -> tuple[list[StepRecord], list[StepTiming]]:
    rows, timings = [], []
    for step in range(first, last + 1):
        fall = 0.4 * math.exp(-4 * step / of) + 0.01 * math.sin(step)
        parts = {"diff": 0.8 + fall, "stop": 0.05 + fall / 5}
        rows.append(
            StepRecord(
                step,
                parts,
                sum(parts.values()),
                1.0 + fall,
                {"lm": 1.0 + fall},
                0.002 * min(1.0, step / 5),
                ["train-000"],
                {},
                [],
            )
        )
        timings.append(StepTiming(step, 0.25, 32.0))
    return rows, timings


def append(directory: Path, rows: list[StepRecord], timings: list[StepTiming]) -> None:
    """What a worker does at the end of a step."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, lines in (("steps.jsonl", rows), ("timings.jsonl", timings)):
        with (directory / name).open("ab") as file:
            file.write(
                b"".join(digest.canonical_json(records.to_json(line)).encode() + b"\n" for line in lines)
            )


def base_checkpoint(root: Path) -> CheckpointRecord:
    path = Path("data/bases") / BASE
    files = digest.of_tree(root / path)
    num_bytes = sum((root / path / name).stat().st_size for name in files)
    return CheckpointRecord(0, "base", path.as_posix(), num_bytes, digest.of_value(files))


def checkpoint(
    root: Path,
    run: RunRecord,
    step: int,
    seed: int | None = None,
    adapter: Callable[[int], bytes] | None = None,
) -> CheckpointRecord:
    """A committed directory of weights: a LoRA pair, or a full model of toy size."""
    from safetensors.numpy import save

    mode = run.identity.train.mode
    path = Path(run.directory) / f"step_{step:07d}"
    draft = checkpoints.Draft(root / path)
    drawn = run.identity.seed if seed is None else seed
    values = np.random.default_rng([step, drawn]).normal(size=(16, 64)).astype(np.float32)
    name = "lora_weights.safetensors" if mode == "lora" else "model.safetensors"
    made_up = save({"layer.lora_A": values, "layer.lora_B": values.T.copy()})
    (draft.directory / name).write_bytes(adapter(step) if adapter else made_up)
    draft._seal(name)
    draft.json("lora_config.json" if mode == "lora" else "config.json", {"step": step})
    draft.commit({"step": step, "kind": mode, "run_digest": run.run_digest})
    directory = root / path
    return CheckpointRecord(
        step, mode, path.as_posix(), checkpoints.size_bytes(directory), checkpoints.identity(directory)
    )


def evaluation(one: Candidate, sha256: str, steps: int) -> EvaluationRecord:
    """Worst for the base, best at two thirds of the steps and full strength."""
    away = abs(one.step / steps - 2 / 3) + (0.1 * abs(1.0 - one.lora_scale) if one.lora_scale else 0.0)
    parts = {"diff": round(0.8 + 0.1 * away, 6), "stop": round(0.05 + 0.01 * away, 6)}
    return EvaluationRecord(one.name, one.step, one.lora_scale, sha256, parts, sum(parts.values()), 5, 2)


def sample(root: Path, run: RunRecord, one: Candidate, line: str) -> SampleRecord:
    import soundfile

    path = Path(run.directory) / "speech" / one.name / f"{line}-42.wav"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(RATE_HZ) / RATE_HZ
    hz = 200 + 5 * one.step + 40 * len(line) + 30 * (one.lora_scale or 0.0)
    soundfile.write(
        root / path, (0.3 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32), RATE_HZ, subtype="PCM_16"
    )
    sha256 = digest.of_file(root / path)
    return SampleRecord(
        one.name,
        one.step,
        one.lora_scale,
        line,
        LINES[line],
        42,
        DECODING,
        path.as_posix(),
        sha256,
        1.0,
        -10.5,
        -13.5,
        True,
        None,
    )


HEARD = records.Listening(1, 2, 0, None, [], [], [], {}, [])


def select(root: Path, recipe: str, decision: str, candidate: str | None, heard: bool = True) -> None:
    """The decision of the select stage, with the digests of everything it read."""
    folder = root / layout.run(recipe, "run.json").parent
    run = records.read_one(folder / "run.json", RunRecord)
    evaluations = records.read(folder / "evaluations.jsonl", EvaluationRecord)
    chosen = (
        next((one for one in evaluations if one.candidate == candidate), None) if decision == "ship" else None
    )
    best = min(evaluations, key=lambda one: one.total)
    ranking = [
        {
            "candidate": one.candidate, "step": one.step, "lora_scale": one.lora_scale, "total": one.total,
            "losses": one.losses, "behind": one.total - best.total, "behind_by_recording": None, "behind_by_clip": None,
            "win_probability": None, "is_tied": False, "vetoes": [], "notes": [],
        }
        for one in sorted(evaluations, key=lambda one: one.total)
    ]  # fmt: skip
    names = (
        "run.json",
        "steps.jsonl",
        "checkpoints.json",
        "evaluations.jsonl",
        "clip_losses.parquet",
        "probes.jsonl",
        "samples.jsonl",
        "metrics.json",
        "race.json",
    )
    inputs = digest.of_files({layout.run(recipe, name).as_posix(): folder / name for name in names})
    judged = evidence(sorted(evaluations, key=lambda one: (one.step, one.lora_scale or 0.0)))
    gain = next(one.gain for one in judged if one.candidate == best.candidate)
    judged_bases = [one.candidate for one in evaluations if one.step == 0]
    value = {
        "recipe": recipe, "run_digest": run.run_digest, "decision": decision, "decided_by": "speech", "unheard": None,
        "selected": chosen.candidate if chosen else None, "step": chosen.step if chosen else None,
        "lora_scale": chosen.lora_scale if chosen else None,
        "checkpoint_sha256": chosen.checkpoint_sha256 if chosen else None, "nominee": best.candidate, "by_loss": best.candidate,
        "reasons": ["the nearest to the speaker"], "notes": [], "runner_up": None, "margin": None,
        "loss_weights": {"diff": 1.0, "stop": 1.0}, "num_clips": 5, "num_recordings": 5, "ranking": ranking,
        "base": "base", "base_because": "", "against_base": None, "against_runner_up": None, "moved": True,
        "nearest": records.to_json(gain), "evidence": [records.to_json(one) for one in judged], "real": {},
        "race": digest.read_json(folder / "race.json"),
        "best_against_base": {"candidate": best.candidate, "against": "base", "difference": -0.1, "by_recording": None, "by_clip": None},
        "robustness": [], "identical": [], "accents": [], "decoding": DECODING, "prosody": [], "ceiling": None, "probes": [probed(one) for one in evaluations], "listening": records.to_json(HEARD) if heard else None,
        "base_trained": False, "inputs": inputs, "fallback": None if decision == "ship" else {"candidate": judged_bases[-1], "test": None, "because": ""},
    }  # fmt: skip
    records.from_json(records.Selection, json.loads(json.dumps(value)), "factory")
    digest.write_json(folder / "selection.json", value)


def race(
    run: RunRecord, known: Sequence[Candidate], prompt: records.PromptClip | None = None
) -> records.Race:
    """Everybody spoke every line."""
    names, spoken = sorted(one.name for one in known), len(known) * len(LINES)
    rounds = [records.Round(sorted(LINES), names, [])]
    return records.Race(run.recipe, run.run_digest, 0.05, rounds, {}, spoken, spoken, "all_lines", prompt)


def evidence(evaluations: Sequence[EvaluationRecord]) -> list[records.Evidence]:
    """Judged as on 24 lines, more than this project holds: nobody loses anything, fine-tunes are nearer, the lowest loss most of all."""
    best = min(evaluations, key=lambda one: one.total)
    lines = [f"line-{number:02d}" for number in range(24)]
    likeness = {
        one.candidate: 0.6 if not one.step else 0.8 if one is best else round(0.78 - one.step / 1e4, 4)
        for one in evaluations
    }
    values = {
        scores.WORDS: dict.fromkeys(likeness, 0.9),
        scores.ENDINGS: dict.fromkeys(likeness, 1.0),
        scores.LIKENESS: likeness,
    }
    heard = {
        measure: {name: dict.fromkeys(lines, value) for name, value in by.items()}
        for measure, by in values.items()
    }
    against = guards.bar(
        scores.Scores(heard), "base", schema.Guards(words=0.05, endings=0.1, quality=None), {}
    )
    return guards.judge(list(likeness), against, {}, {})


def probed(one: EvaluationRecord) -> dict[str, object]:
    """What the probes say of a healthy candidate."""
    return records.to_json(
        records.Probed(
            one.candidate,
            0.2 if one.step else None,
            0.1,
            records.Interval(0.05, 0.15),
            0.0,
            0.0,
            0.01,
            None,
            None,
            [],
        )
    )


def tracking(experiment: str = "voicelathe", upload: str = "adapters") -> schema.Tracking:
    return schema.Tracking(experiment, upload)  # type: ignore[arg-type]

"""One execution of a recipe, from the parent's side: its identity, its directory, and the jobs its stages give to workers.

The run digest names the directory of the weights. Same digest, same weights: a finished run is verified and reused, never
trained again; a killed one is resumed; a changed setting starts in a directory of its own.
"""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from voicelathe import (
    checkpoints,
    digest,
    environments,
    families,
    jobs,
    layout,
    pruned,
    records,
    runner,
    settings,
)
from voicelathe.data import held_out, index
from voicelathe.errors import BaseModelError, CheckpointError
from voicelathe.params import recipe as find_recipe
from voicelathe.plan import cards, forecast

FINISHED = "finished.json"
IDENTITY = "identity.json"
RESEARCH = "research.json"  # beside weights that were trained on data without consent; it never goes away
PROBED = ("text_ignored", "stop_head_forgets")  # signs of train.signs that a checkpoint must not show
FULL_STRENGTH = 1.0


def target(params: settings.Params, base: str) -> jobs.Target:
    """The base a worker will load, pinned by the digest in params.yaml."""
    one = params.bases[base]
    return jobs.Target(one.family, one.path, one.digest, params.machine)


def encode(params: settings.Params, base: str) -> None:
    """Stage `encode`: cached encodings of every split, and base.json."""
    one, out = params.bases[base], layout.latents(base)
    facts = families.find(one.family).pinned(Path(one.path), one.licence, one.trained, one.digest)
    splits = {name: str(layout.split(name)) for name in layout.SPLITS}
    job = jobs.EncodeJob(
        target(params, base), splits, params.ingest.audio_root, str(layout.CACHE / "latents"), str(out)
    )
    runner.run(job, base)
    digest.write_json(out / "base.json", records.to_json(facts))


def encode_general(params: settings.Params, base: str) -> None:
    """Stage `general`: encodings of other speakers' clips, by which forgetting is measured. Raises ManifestError when a pin does not fit."""
    out, clips = layout.general(base), layout.general(base) / "clips.jsonl"
    records.write(clips, held_out.clips(params.general))
    job = jobs.EncodeJob(
        target(params, base), {"general": str(clips)}, params.general.audio_root, str(layout.CACHE / "latents"), str(out)
    )  # fmt: skip
    runner.run(job, base)


def identify(params: settings.Params, name: str, revision: int) -> records.RunRecord:
    """What a run of this recipe would be now, and where its weights would lie. `revision` is the train stage's."""
    recipe = find_recipe(params, name)
    return _identify(params, name, recipe.train, revision, prefix="")


def _identify(
    params: settings.Params, name: str, train: settings.Train, revision: int, prefix: str
) -> records.RunRecord:
    base = find_recipe(params, name).base
    facts = base_facts(params, base)
    entries = index.read(layout.latents(base))
    identity = records.RunIdentity(
        train=train, base=base, family=facts.family, base_digest=facts.digest, latents_digest=trained_on(base, facts.family),
        seed=params.seed, revision=revision, device=params.machine.device, threads=params.machine.threads,
        processes=params.machine.processes, torch=version("torch").split("+")[0],
    )  # fmt: skip
    run_digest = digest.of_value(records.to_json(identity))
    clips = layout.split("train")
    return records.RunRecord(
        recipe=name,
        run_digest=run_digest,
        directory=(layout.CHECKPOINTS / name / f"{prefix}{run_digest[:16]}").as_posix(),
        identity=identity,
        num_train_clips=sum(1 for entry in entries if entry.split == "train"),
        num_parameters=facts.num_parameters,
        num_trainable=None,
        inputs=digest.of_files(
            {clips.as_posix(): clips, (file := layout.latents(base) / "index.parquet").as_posix(): file}
        ),
    )


def trained_on(base: str, family: str, root: Path = Path()) -> str:
    """Identity of the training data: the encodings of the train split, and the clips' languages where the family reads them.

    A clip's id knows its audio, text and speaker, but not its language.
    """
    encodings = index.split_digest(index.read(root / layout.latents(base)), "train")
    if not families.spec(family).reads_language:
        return encodings
    clips = records.read(root / layout.split("train"), records.CleanClip)
    return digest.of_value([encodings, {clip.clip_id: clip.language for clip in clips}])


def base_facts(params: settings.Params, base: str) -> records.BaseFacts:
    """What `encode` recorded of the base. Raises BaseModelError when params.yaml pins another one."""
    facts = records.read_one(layout.latents(base) / "base.json", records.BaseFacts)
    if facts.digest != params.bases[base].digest:
        raise BaseModelError(
            f"bases.{base}.digest = {params.bases[base].digest[:16]}..., but the latents were made with {facts.digest[:16]}.... "
            f"Run: dvc repro encode@{base}"
        )
    return facts


def train(
    params: settings.Params, run: records.RunRecord
) -> tuple[records.RunRecord, list[records.CheckpointRecord]]:
    """Finish the run, however much of it exists; returns its record and the index of its checkpoints, the base first.

    Raises CheckpointError when the directory belongs to another run or a finished one lost or changed a file.
    """
    directory = Path(run.directory)
    _claim(directory, run)
    _stamp(directory)
    if not (directory / FINISHED).is_file():
        job = jobs.TrainJob(
            target=target(params, run.identity.base), train=run.identity.train, seed=run.identity.training_seed,
            clips=str(layout.split("train")), latents=str(layout.latents(run.identity.base)),
            audio_root=params.ingest.audio_root, run_digest=run.run_digest, directory=run.directory,
        )  # fmt: skip
        counts = runner.run(job, run.recipe)
        digest.write_json(directory / FINISHED, counts)
    counts = digest.read_json(directory / FINISHED)
    return replace(run, num_trainable=counts["num_trainable"]), _index(params, run)


def _claim(directory: Path, run: records.RunRecord) -> None:
    """Write the identity into a new directory; refuse one that carries another."""
    identity = records.to_json(run.identity)
    if (directory / IDENTITY).is_file():
        if digest.read_json(directory / IDENTITY) != identity:
            raise CheckpointError(
                f"{directory} holds another run than the settings describe. Set it aside: voicelathe retrain {run.recipe}"
            )
        return
    if any(directory.glob("step_*")):
        raise CheckpointError(
            f"{directory} holds checkpoints of an unknown run ({IDENTITY} is gone). Set it aside: voicelathe retrain {run.recipe}"
        )
    digest.write_json(directory / IDENTITY, identity)


def _stamp(directory: Path) -> None:
    """Mark weights whose data passed the gate for research only: a later pass with consent is for other weights."""
    if layout.GATE.is_file() and records.read_one(layout.GATE, records.Passed).policy != "required":
        digest.write_json(directory / RESEARCH, {"gate_sha256": digest.of_file(layout.GATE)})


def _index(params: settings.Params, run: records.RunRecord) -> list[records.CheckpointRecord]:
    base = params.bases[run.identity.base]
    facts = base_facts(params, run.identity.base)
    found = [
        records.CheckpointRecord(0, "base", base.path, _bytes(Path(base.path), facts.files), facts.digest)
    ]
    settings_ = run.identity.train
    excuses = pruned.excused()
    for step in checkpoint_steps(settings_):
        directory = Path(run.directory) / f"step_{step:07d}"
        if (gone := excuses.get(directory.as_posix())) is not None:
            found.append(
                records.CheckpointRecord(step, settings_.mode, gone.path, gone.size_bytes, gone.sha256)
            )
            continue
        checkpoints.verify(directory)
        found.append(
            records.CheckpointRecord(
                step,
                settings_.mode,
                directory.as_posix(),
                checkpoints.size_bytes(directory),
                checkpoints.identity(directory),
            )
        )
    return found


def checkpoint_steps(train_: settings.Train) -> list[int]:
    """The steps that are kept: every multiple of checkpoint_every, and the last."""
    return sorted({*range(train_.checkpoint_every, train_.steps + 1, train_.checkpoint_every), train_.steps})


def _bytes(base: Path, files: Mapping[str, str]) -> int:
    return sum((base / name).stat().st_size for name in files)


def read(recipe: str) -> tuple[records.RunRecord, list[records.CheckpointRecord]]:
    """The finished run of a recipe, as its train stage left it."""
    run = records.read_one(layout.run(recipe, "run.json"), records.RunRecord)
    path = layout.run(recipe, "checkpoints.json")
    listed = digest.read_json(path)["checkpoints"]
    return run, [records.from_json(records.CheckpointRecord, entry, str(path)) for entry in listed]


def candidates(index_: list[records.CheckpointRecord], lora_scales: list[float]) -> list[jobs.WeightsRef]:
    """The base, and every checkpoint at every strength."""
    found = []
    for entry in index_:
        scales = lora_scales if entry.kind == "lora" else [None]
        found += [
            jobs.WeightsRef(records.Candidate(entry.step, scale), entry.kind, entry.path, entry.sha256)
            for scale in scales
        ]
    return found


def speak(
    params: settings.Params,
    run: records.RunRecord,
    refs: list[jobs.WeightsRef],
    lines: list[records.Line],
    max_seconds: float,
    out: Path,
    reference: jobs.Reference | None = None,
    workers: int = 1,
    shared: Path | None = None,
) -> list[records.SampleRecord]:
    """Let candidates speak lines, `workers` of them at a time; samples of an earlier, equal request are reused, one by one.

    Samples lie below `out`, those of untouched bases below `shared`, where it is given.
    Where the family's own interpreter is missing nothing is spoken, and every sample says so.
    """
    if lacking := environments.lacking(run.identity.family, "speak"):
        _say(f"{run.recipe}: nothing is spoken. {lacking}")
        return [_unspoken(ref.candidate, line) for ref in refs for line in lines]
    job = jobs.SpeakJob(
        target=target(params, run.identity.base), lora=run.identity.train.lora, weights=refs, lines=lines,
        max_seconds=max_seconds, reference=reference, out=str(out), interactive=False, shared=str(shared) if shared else None,
    )  # fmt: skip
    shares = [refs[number::workers] for number in range(min(workers, len(refs)))]
    runner.run_all([replace(job, weights=share) for share in shares], run.recipe, params.machine.device)
    paths = [jobs.sample_record(job, ref, line) for ref in refs for line in lines]
    return [
        records.from_json(records.SampleRecord, digest.read_json(path)["sample"], str(path)) for path in paths
    ]


def _unspoken(candidate: records.Candidate, line: records.Line) -> records.SampleRecord:
    return records.SampleRecord(
        candidate=candidate.name, step=candidate.step, lora_scale=candidate.lora_scale, line_id=line.line_id, text=line.text,
        seed=line.seed, path=None, sha256=None, duration_s=0.0, peak_dbfs=None, rms_dbfs=None, stopped=False,
        problem=records.NOT_SPOKEN,
    )  # fmt: skip


def preflight(
    params: settings.Params, recipe: str, revision: int, refused: list[str], waived: list[str]
) -> records.PreflightRecord:
    """Stage `preflight`: does it fit, and if so, a few steps with the recipe's own settings, two checkpoints heard beside the base.

    `refused` are reasons against it that others found: with any of them nothing is tried.
    """
    one = find_recipe(params, recipe)
    run = _identify(params, recipe, trial(one), revision, prefix="preflight-")
    if refused:
        return records.PreflightRecord("no_go", refused, [], [], [], None, waived, [], run.inputs)
    rehearsal, refused = _fits(params, recipe, one)
    if refused:
        return records.PreflightRecord("no_go", refused, [], [], [], rehearsal, waived, [], run.inputs)
    run, index_ = train(params, run)
    steps = records.read(Path(run.directory) / "steps.jsonl", records.StepRecord)
    heard = candidates([index_[0], *index_[-2:]], [FULL_STRENGTH])
    line = records.Line("preflight", one.preflight.line.text, one.preflight.line.language, params.seed)
    samples = speak(params, run, heard, [line], one.preflight.max_seconds, Path(run.directory) / "speech")
    reasons = _failures(steps, samples)
    return records.PreflightRecord(
        "no_go" if reasons else "go", reasons, steps, index_, samples, rehearsal, waived, [], run.inputs
    )


def trial(one: settings.Recipe) -> settings.Train:
    """The recipe's own training, a few steps of it: two checkpoints, and a probe at each of them at least."""
    every = max(1, one.preflight.steps // 2)
    return replace(
        one.train,
        steps=one.preflight.steps,
        checkpoint_every=every,
        warmup_steps=1,
        probe_every=min(every, one.train.probe_every),
    )


def _fits(
    params: settings.Params, recipe: str, one: settings.Recipe
) -> tuple[records.Rehearsal | None, list[str]]:
    """The rehearsal of a recipe, and why this machine cannot hold it: memory with the one setting to change, disk."""
    if not forecast.can_rehearse(params, one.base):
        return None, []
    found, _ = forecast.rehearse(params, one.base, one.train, recipe)
    card = cards.present(params.machine)
    reasons = []
    if card is None:
        _say(
            f"{recipe}: nvidia-smi does not say how much memory the card has; whether it fits is not checked"
        )
    else:
        planned = forecast.forecast(params, recipe, one, found, card, card.name)
        if not planned.fits:
            change = forecast.remedy(params, recipe, one, card, None, _say)
            reasons.append(
                f"memory: needs {planned.total / 1e9:.1f} GB in phase `{planned.worst}` and {card.name} has {card.bytes / 1e9:.1f} GB; "
                f"change {change}"
            )
    return found, [*reasons, *disk_reasons(one, forecast.disk_bytes(params, one.train, found))]


def disk_reasons(one: settings.Recipe, needed: int) -> list[str]:
    """Room for everything the run keeps, and what params.yaml wants left free."""
    need, free = needed + one.preflight.min_free_disk_gib * 2**30, shutil.disk_usage(".").free
    if free >= need:
        return []
    return [
        f"disk: the run needs about {need / 2**30:.1f} GiB and less is free; change train.checkpoint_every, or make room"
    ]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _failures(steps: list[records.StepRecord], samples: list[records.SampleRecord]) -> list[str]:
    """Hard failures, and what the last probe says of text and end of speech: a few steps cannot show more."""
    reasons = []
    if steps[-1].total > 2.0 * steps[0].total:
        reasons.append(
            f"loss_exploded: {steps[0].total:.3f} at step 1, {steps[-1].total:.3f} at step {steps[-1].step}; lower the learning rate"
        )
    last = next((one for one in reversed(steps) if one.probe), steps[-1])
    reasons += [sign for sign in last.signs if sign.startswith(PROBED)]
    broken = [
        sample for sample in samples if sample.step > 0 and sample.problem in ("empty", "silent", "nonfinite")
    ]
    reasons += [f"{sample.problem}_speech: {sample.candidate} said nothing usable" for sample in broken]
    return reasons

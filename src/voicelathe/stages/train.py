"""Stage `train`: a run is finished, however much of it exists, and its checkpoints are indexed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from voicelathe import checkpoints, digest, layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.errors import CheckpointError
from voicelathe.process import jobs, together
from voicelathe.runs import early_lines, references, replay, tombstones
from voicelathe.runs.identity import FINISHED, IDENTITY, RESEARCH, base_facts, target
from voicelathe.stages.early_stopping import beside


def train(
    params: schema.Params, run: records.RunRecord
) -> tuple[records.RunRecord, list[records.CheckpointRecord]]:
    """Finish the run, however much of it exists; returns its record and the index of its checkpoints, the base first.

    Raises CheckpointError when the directory belongs to another run or a finished one lost or changed a file.
    """
    directory = Path(run.directory)
    _claim(directory, run)
    _stamp(directory)
    if not (directory / FINISHED).is_file():
        most = find_recipe(params, run.recipe).train.replay_visits
        replay.require(run.recipe, run.identity.base, run.identity.train, most)
        paired = references.encoded(params, run.identity.base, run.identity.train)
        job = jobs.TrainJob(
            target=target(params, run.identity.base, run.identity.lexicon), train=run.identity.train, seed=run.identity.training_seed,
            clips=str(layout.split("train")), latents=str(layout.latents(run.identity.base)),
            audio_root=params.ingest.audio_root, run_digest=run.run_digest, directory=run.directory,
            references=None if paired is None else str(paired), general=replay.place(run.identity.base, run.identity.train),
        )  # fmt: skip
        early_lines.require(params, run.recipe, run.identity.train)
        with beside.judged(params, run):
            counts = together.train(job, run.recipe, params.nodes)
        digest.write_json(directory / FINISHED, counts)
    counts, early = digest.read_json(directory / FINISHED), None
    if (told := counts.get("stopped_early")) is not None:
        early = records.from_json(records.EarlyStop, told, str(directory / FINISHED))
    finished = replace(run, num_trainable=counts["num_trainable"], stopped_early=early)
    return finished, _index(params, finished)


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


def _index(params: schema.Params, run: records.RunRecord) -> list[records.CheckpointRecord]:
    base = params.bases[run.identity.base]
    facts = base_facts(params, run.identity.base)
    found = [
        records.CheckpointRecord(0, "base", base.path, _bytes(Path(base.path), facts.files), facts.digest)
    ]
    settings_ = run.identity.train
    excuses = tombstones.excused()
    for step in [one for one in settings_.checkpoint_steps if one <= run.num_steps]:
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


def _bytes(base: Path, files: Mapping[str, str]) -> int:
    return sum((base / name).stat().st_size for name in files)

"""Which run is this? The digest of everything that decides its weights names the directory they lie in.

Same digest, same weights: a finished run is verified and reused, never trained again; a killed one is resumed; a changed setting
starts in a directory of its own.
"""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from voicelathe import digest, families, layout, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data.latents import index
from voicelathe.data.lexicon import lexicon_file
from voicelathe.errors import BaseModelError
from voicelathe.process import jobs
from voicelathe.runs import controls, early_lines, references, replay

FINISHED = "finished.json"
IDENTITY = "identity.json"
NOTED = "recorded.json"  # beside the weights: every md5 that the run's record, run.json, ever had
RESEARCH = "research.json"  # beside weights that were trained on data without consent; it never goes away


def target(params: schema.Params, base: str, lexicon: records.Lexicon | None) -> jobs.Target:
    """The base a worker will load, pinned by the digest in params.yaml, and how text is read to it: by the lexicon of the run that it is loaded for."""
    one = params.bases[base]
    return jobs.Target(one.family, one.path, one.digest, params.machine, lexicon)


def identify(params: schema.Params, name: str, revision: int) -> records.RunRecord:
    """What a run of this recipe would be now, and where its weights would lie. `revision` is the train stage's."""
    recipe = find_recipe(params, name)
    return of_training(params, name, recipe.train, revision, prefix="")


def of_training(
    params: schema.Params, name: str, train: schema.Train, revision: int, prefix: str
) -> records.RunRecord:
    base = find_recipe(params, name).base
    facts = base_facts(params, base)
    entries = index.read(layout.latents(base))
    bounded = replace(train, replay_visits=schema.Train.replay_visits)  # a bound makes no other weights
    identity = records.RunIdentity(
        train=bounded, base=base, family=facts.family, base_digest=facts.digest, latents_digest=trained_on(base, facts.family),
        seed=params.seed, revision=revision, device=params.machine.device, threads=params.machine.threads,
        processes=params.machine.processes, torch=version("torch").split("+")[0],
        references_digest=references.digest_of(params, train), lexicon=lexicon_file.of_project(params),
        controls_digest=controls.digest_of(train), replay_digest=replay.digest_of(base, train),
        early_stopping_digest=early_lines.digest_of(params, name, train),
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
            {
                path.as_posix(): path
                for path in (clips, layout.latents(base) / index.FILE, *replay.files(base, train))
            }
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


def base_facts(params: schema.Params, base: str) -> records.BaseFacts:
    """What `encode` recorded of the base. Raises BaseModelError when params.yaml pins another one."""
    facts = records.read_one(layout.latents(base) / "base.json", records.BaseFacts)
    if facts.digest != params.bases[base].digest:
        raise BaseModelError(
            f"bases.{base}.digest = {params.bases[base].digest[:16]}..., but the latents were made with {facts.digest[:16]}.... "
            f"Run: dvc repro encode@{base}"
        )
    return facts

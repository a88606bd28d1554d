"""Stage `encode`: every clip once through the base's own audio encoder."""

from pathlib import Path

from voicelathe import digest, families, layout, records
from voicelathe.config import schema
from voicelathe.process import jobs, runner
from voicelathe.runs.identity import target


def encode(params: schema.Params, base: str) -> None:
    """Stage `encode`: cached encodings of every split, and base.json."""
    one, out = params.bases[base], layout.latents(base)
    facts = families.find(one.family).pinned(Path(one.path), one.licence, one.trained, one.digest)
    splits = {name: str(layout.split(name)) for name in layout.SPLITS}
    job = jobs.EncodeJob(
        target(params, base, None), splits, params.ingest.audio_root, str(layout.CACHE / "latents"), str(out), params.engine
    )  # fmt: skip
    runner.run(job, base)
    digest.write_json(out / "base.json", records.to_json(facts))

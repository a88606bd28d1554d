"""Stage `general`: other speakers' clips through the base's encoder; forgetting is measured on them."""

from voicelathe import layout, records
from voicelathe.config import schema
from voicelathe.data.latents import general_set
from voicelathe.process import jobs, runner
from voicelathe.runs.identity import target


def encode_general(params: schema.Params, base: str) -> None:
    """Stage `general`: encodings of other speakers' clips, by which forgetting is measured. Raises ManifestError when a pin does not fit."""
    out, clips = layout.general(base), layout.general(base) / general_set.CLIPS
    records.write(clips, general_set.clips(params.general))
    job = jobs.EncodeJob(
        target(params, base, None), {"general": str(clips)}, params.general.audio_root, str(layout.CACHE / "latents"), str(out),
        params.engine,
    )  # fmt: skip
    runner.run(job, base)

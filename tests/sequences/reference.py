"""How do weights sound, without anything of the registry: a speak worker that is told which directory to load."""

import hashlib
import tempfile
import uuid
import wave
from pathlib import Path

from tests.factories import runs as factory
from voicelathe import checkpoints, families, records
from voicelathe.config import params, schema
from voicelathe.families import decoding
from voicelathe.process import jobs
from voicelathe.process.runner import Speaker
from voicelathe.records import Candidate
from voicelathe.runs import identity


def digest_of(frames: bytes) -> str:
    return hashlib.sha256(frames).hexdigest()


def spoken(root: Path, path: str, text: str) -> str:
    """sha256 of the samples that these weights speak."""
    run = records.read_one((root / path).parent / identity.IDENTITY, records.RunIdentity)
    base = params.load(root / "params.yaml").bases[factory.BASE]
    machine = schema.Machine(run.device, run.threads, 1)
    target = jobs.Target(base.family, str(root / base.path), base.digest, machine)
    directory = root / path
    step = int(directory.name.removeprefix("step_"))
    weights = jobs.WeightsRef(Candidate(step, 1.0), "lora", str(directory), checkpoints.identity(directory))
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch, "said.wav")
        settings = decoding.defaults(families.spec(base.family).decoding)
        job = jobs.SpeakJob(
            target, run.train.lora, [weights], [], 1.0, settings, None, scratch, interactive=True
        )
        with Speaker(job) as speaker:
            speaker.say(
                jobs.SpeakRequest(uuid.uuid4().hex, text, "en", 42, 1.0, 1.0, None, str(out), None, None)
            )
        with wave.open(str(out)) as file:
            return digest_of(file.readframes(file.getnframes()))

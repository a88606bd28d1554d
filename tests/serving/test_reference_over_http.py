"""A base that hears a clip of the speaker, served: the judged bytes by every door, and no clip of anybody else's."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.factories import mlflow_stores, runs
from tests.factories import speaking as speakers
from tests.factories.served import Served, invoked, mlflows_own, running
from voicelathe import layout, records
from voicelathe.config import params
from voicelathe.process import jobs, runner, sample_files
from voicelathe.registry import promote
from voicelathe.registry.speaking import say
from voicelathe.stages.references import clips

RECIPE, TEXT, SEED, LIMIT_S = speakers.RECIPE, "The lamp is on.", 5, 1.0
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """Version 1 is the base behind a clip and its words; the recordings it is from are gone, and another clip stands in params.yaml."""
    root = speakers.behind_a_clip(
        tmp_path_factory.mktemp("served") / "project", empty_database.parent, speakers.EMBEDDED, "both"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        promote.promote(RECIPE, root, "nothing ships yet", "base_zero_shot")
    return root


@pytest.fixture(scope="module")
def judged(project: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the worker of `listen` says, before the recordings go."""
    settings = params.load(project / "params.yaml")
    heard = clips.reference(settings, RECIPE, project)
    assert heard is not None
    base, run = (
        settings.bases[runs.BASE],
        records.read_one(project / layout.run(RECIPE, "run.json"), records.RunRecord),
    )
    machine = replace(settings.machine, threads=run.identity.threads)
    target = jobs.Target(base.family, str(project / base.path), base.digest, machine)
    ref = jobs.WeightsRef(records.Candidate(0, None, True), "base", target.base, base.digest)
    line, out = records.Line("one", TEXT, "en", SEED), str(tmp_path_factory.mktemp("judged"))
    speak = settings.recipes[RECIPE].speak
    job = jobs.SpeakJob(target, None, [ref], [line], LIMIT_S, speak, heard, out, False)
    runner.run(job, "judged")
    samples = frames(sample_files.place(job, ref, line).with_suffix(".wav").read_bytes())
    for one in heard.clips:
        Path(heard.audio_root, one.audio).unlink()
    validation = project / layout.split("validation")
    records.write(validation, records.read(validation, records.CleanClip)[2:])
    return samples


@pytest.fixture(scope="module")
def served(project: Path, judged: bytes) -> Iterator[Served]:
    with running(project) as found:
        yield found


def frames(content: bytes) -> bytes:
    samples, _ = soundfile.read(io.BytesIO(content), dtype="int16")
    return bytes(np.asarray(samples).tobytes())


def comment(content: bytes) -> dict[str, Any]:
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        found: dict[str, Any] = json.loads(file.comment)
    return found


def test_a_server_says_a_judged_line_with_the_judged_bytes_when_the_recording_is_gone(
    served: Served, judged: bytes
) -> None:
    content = served.wav(TEXT, seed=SEED, max_seconds=LIMIT_S)
    assert frames(content) == judged and judged
    about = comment(content)
    assert (about["candidate"], about["as_judged"]) == ("base_zero_shot", True)
    assert about["zero_shot"]["way"] == "both" and len(about["zero_shot"]["sha256"]) == 64
    assert "awb" not in json.dumps(about)


@pytest.mark.parametrize("field", ["reference", "ref_audio", "prompt_text"])
def test_a_clip_that_comes_with_a_request_is_refused_with_the_reason(served: Served, field: str) -> None:
    answer = served.post(json={"model": "voicelathe", "input": TEXT, field: "UklGRg=="})
    assert answer.status_code == 403, answer.text
    assert f"{field}: no voice is taken over from a clip that comes with a request." in answer.text
    unknown = served.post(json={"model": "voicelathe", "input": TEXT, "loudness": 1})
    assert unknown.status_code == 400 and "loudness" in unknown.text


def test_say_loads_it_through_mlflow_and_says_the_judged_bytes_too(
    project: Path, judged: bytes, tmp_path: Path
) -> None:
    done = say.speak_production(TEXT, tmp_path / "said.wav", project, {"seed": SEED, "max_seconds": LIMIT_S})
    assert frames(done.path.read_bytes()) == judged and done.who == "version 1"
    assert mlflow_stores.client(project).get_model_version("voicelathe", "1").tags["voicelathe.reference"]


def test_mlflows_own_server_says_the_judged_bytes_too(project: Path, judged: bytes) -> None:
    with mlflows_own(project) as port:
        (row,) = invoked(port, TEXT, seed=SEED, max_seconds=LIMIT_S)
    content = base64.b64decode(row["wav_base64"])
    assert frames(content) == judged
    assert (comment(content)["candidate"], comment(content)["as_judged"]) == ("base_zero_shot", True)

"""Families that speak with upstream's own code: the real worker in the real interpreter, on small random weights.

    VOICELATHE_COSYVOICE3=CHECKOUT pytest -m needs_upstream tests/pipeline/test_upstream_voices.py

CHECKOUT is a folder with FunAudioLLM/CosyVoice at the pinned commit. The interpreter is made by `voicelathe env create`, as a user
makes it, in .cache/environments of this project; a second run finds it there.
"""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import audio, cosyvoice3_base, training
from voicelathe import checkpoints, digest, families, layout, records
from voicelathe.config import schema
from voicelathe.errors import FamilyUnavailable
from voicelathe.families import decoding
from voicelathe.process import environments, jobs, runner
from voicelathe.train import adapters, saving

pytestmark = [pytest.mark.needs_upstream, pytest.mark.timeout(1800)]
HERE = Path(__file__).parents[2]
CPU = schema.Machine("cpu", 1, 1)


@pytest.fixture(scope="module")
def checkout() -> Path:
    given = os.environ.get("VOICELATHE_COSYVOICE3")
    assert given, "say where upstream's checkout is: VOICELATHE_COSYVOICE3=DIR"
    return Path(given).resolve()


@pytest.fixture(scope="module")
def base(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file of the official directory, those of upstream's own classes made by its interpreter."""
    os.chdir(HERE)
    if environments.lacking("cosyvoice3", "speak"):
        environments.create("cosyvoice3", checkout, print)
    base = cosyvoice3_base.write(tmp_path_factory.mktemp("base") / "tiny", tokens=6561, official_ids=True)
    make = (
        "from pathlib import Path; from voicelathe.families.shared import torchaudio_shim; torchaudio_shim.ensure();"
        f"from tests.factories import cosyvoice3_base as f; f.upstream_parts(Path({str(base)!r}), Path({str(checkout)!r}))"
    )
    python = environments.python("cosyvoice3").absolute()
    subprocess.run([str(python), "-c", make], check=True, cwd=HERE)
    assert families.find("cosyvoice3").complete(base) == ["llm.safetensors"]
    return base


def speak(base: Path, out: Path, refs: list[jobs.WeightsRef], seed: int, seconds: float, **more: Any) -> Any:
    facts = families.find("cosyvoice3").describe(base, "Apache-2.0", False)
    job = jobs.SpeakJob(
        target=jobs.Target("cosyvoice3", str(base), facts.digest, CPU), lora=more.get("lora"), weights=refs,
        lines=[records.Line("one", "The lamp is on, and nobody speaks.", "en", seed)], max_seconds=seconds,
        decoding=decoding.defaults(families.spec("cosyvoice3").decoding),
        reference=more.get("reference"), out=str(out), interactive=False,
    )  # fmt: skip
    runner.run(job, "upstream-test")
    return [json.loads((out / ref.candidate.name / "samples.json").read_text())["samples"][0] for ref in refs]


def base_ref(base: Path) -> jobs.WeightsRef:
    return jobs.WeightsRef(records.Candidate(0, None), "base", str(base), "0" * 64)


def test_the_base_speaks_as_long_as_it_may_and_the_same_again_with_its_seed(
    base: Path, tmp_path: Path
) -> None:
    (first,) = speak(base, tmp_path / "a", [base_ref(base)], 3, 1.0)
    (again,) = speak(base, tmp_path / "b", [base_ref(base)], 3, 1.0)
    (other,) = speak(base, tmp_path / "c", [base_ref(base)], 4, 1.0)
    assert 0.1 < first["duration_s"] <= 1.01 and first["problem"] in (None, "runaway", "silent")
    assert first["sha256"] == again["sha256"] != other["sha256"]


def tuned(base: Path, out: Path, mode: str) -> tuple[jobs.WeightsRef, schema.Lora | None]:
    """A checkpoint as training writes it, far from the base."""
    family, facts = (
        families.find("cosyvoice3"),
        families.find("cosyvoice3").describe(base, "Apache-2.0", False),
    )
    model: Any = family.open_model(base, facts, CPU)
    model.voices = {"awb": torch.linspace(-1, 1, 192)}
    lora = schema.Lora(4, 8.0, 0.0, ["attention"]) if mode == "lora" else None
    if lora:
        adapters.inject(model.core, lora, model.adapter_targets(lora.scope), seed=1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.core.named_parameters():
            if lora is None or "lora_B" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    train = replace(training.train_settings(mode), lora=lora)
    put = saving.put(out / "step_0000001", saving.weights(model, train), {"step": 1})
    candidate = records.Candidate(1, 1.0 if lora else None)
    return jobs.WeightsRef(candidate, mode, str(put), checkpoints.identity(put)), lora


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_a_checkpoint_is_heard_and_an_adapter_at_nothing_is_the_base(
    base: Path, tmp_path: Path, mode: str
) -> None:
    ref, lora = tuned(base, tmp_path, mode)
    refs = [base_ref(base), ref]
    if lora:
        refs.append(replace(ref, candidate=records.Candidate(1, 0.0)))
    heard = speak(base, tmp_path / "out", refs, 3, 1.0, lora=lora)
    assert heard[0]["sha256"] != heard[1]["sha256"]
    assert all(one["duration_s"] > 0 for one in heard), "random weights may end at once, but not in an error"
    if lora:
        assert heard[2]["sha256"] == heard[0]["sha256"], (
            "the speaker's vector is the same, and so are the weights"
        )


def test_the_base_takes_over_a_voice_from_a_clip(base: Path, tmp_path: Path) -> None:
    audio.write(tmp_path / "one.wav", audio.speech(2.0, 1, 16000), 16000)
    sha256 = digest.of_file(tmp_path / "one.wav")
    clip = replace(
        training.clip(0), audio="one.wav", start_s=0.0, end_s=2.0, text="It rains.", audio_sha256=sha256
    )
    given = jobs.Reference([clip], str(tmp_path))
    ref = replace(base_ref(base), candidate=records.Candidate(0, None, True))
    plain, prompted = speak(base, tmp_path / "out", [base_ref(base), ref], 3, 1.0, reference=given)
    assert prompted["duration_s"] > 0 and prompted["sha256"] != plain["sha256"]


def test_the_interpreter_is_the_familys_and_ours_says_what_to_do(base: Path) -> None:
    assert str(layout.ENVIRONMENTS / "cosyvoice3") in str(environments.python("cosyvoice3"))
    facts = families.find("cosyvoice3").describe(base, "Apache-2.0", False)
    with pytest.raises(FamilyUnavailable, match="voicelathe env create cosyvoice3"):
        families.find("cosyvoice3").open_voice(base, facts, CPU)

"""IndexTTS2 and 2.5: upstream's own class opens what training here wrote, in upstream's interpreter, with the losses it had here, generating included.

    VOICELATHE_INDEXTTS2=CHECKOUT pytest -m needs_upstream tests/pipeline/test_upstream_index.py

CHECKOUT is index-tts/index-tts at the pinned commit. The interpreter is the one of `voicelathe env create indextts2`, or another with
transformers 4.52.1 and peft that VOICELATHE_INDEXTTS2_PYTHON names: only upstream's language model is run, none of its other models.
"""

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import indextts2_base, indextts25_base, training
from tests.families import labs
from tests.families.indextts2 import official_indextts2, official_indextts25
from voicelathe import families
from voicelathe.config import schema
from voicelathe.families.indextts2 import losses, multilingual
from voicelathe.process import environments
from voicelathe.train import adapters, saving

pytestmark = [pytest.mark.needs_upstream, pytest.mark.timeout(600)]
HERE = Path(__file__).parents[2]
WRITERS: dict[str, Any] = {"indextts2": indextts2_base, "indextts25": indextts25_base}
LORA = schema.Lora(4, 8.0, 0.0, sorted(families.spec("indextts2").scopes))


@pytest.fixture(scope="module", params=sorted(WRITERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def base(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base: Path = WRITERS[name].write(tmp_path_factory.mktemp("base") / "tiny")
    families.find(name).complete(base)
    return base


def tokens(name: str) -> list[losses.ClipTokens]:
    if name == "indextts2":
        return [
            losses.ClipTokens(
                one["text"],
                one["codes"],
                one["emotion"].flatten(),
                condition_LC=one["condition"].view(32, -1),
            )
            for one in official_indextts2.clips()
        ]
    return [
        losses.ClipTokens(
            one["text"], one["codes"], one["emotion"].flatten(), speaker_S=one["speaker"].flatten(), language=multilingual.row_of(one["language"]),
        )
        for one in official_indextts25.clips()
    ]  # fmt: skip


def trained(name: str, base: Path, out: Path, mode: str) -> tuple[Path, dict[str, list[float]]]:
    """A checkpoint far from the base, and its losses here."""
    family = families.find(name)
    model: Any = family.open_model(base, family.describe(base, "x", False), labs.CPU)
    if mode == "lora":
        adapters.inject(model.core, LORA, model.adapter_targets(LORA.scope), seed=1)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for place, parameter in model.core.named_parameters():
            if mode == "full" or "lora_B" in place:
                moved = parameter + torch.randn(parameter.shape, generator=generator) * (
                    0.1 if mode == "full" else 0.5
                )
                parameter.copy_(moved.to(torch.bfloat16))  # what a full checkpoint can hold
    train = replace(training.train_settings(mode), lora=LORA if mode == "lora" else None)
    kept = saving.put(out / "step_0000001", saving.weights(model, train), {"step": 1})
    packed = losses.pack(tokens(name), losses.Ids(0, 1, 8192, 8193), model.device)
    model.core.eval()
    place_M = packed.mel_place_M
    as_generated = replace(packed, mel_place_M=torch.where(place_M > 0, place_M + 1, place_M))
    with torch.no_grad():
        found = losses.losses(model.core, packed, False)
        found["mel_spoken"] = losses.losses(model.core, as_generated, False)["mel"]
    return kept, {name: values.tolist() for name, values in found.items()}


@pytest.mark.parametrize("way", ["card", "worker", "full"])
def test_upstreams_class_has_the_losses_of_our_checkpoint(
    name: str, base: Path, tmp_path: Path, way: str
) -> None:
    kept, ours = trained(name, base, tmp_path, "full" if way == "full" else "lora")
    given = os.environ.get("VOICELATHE_INDEXTTS2")
    assert given, "say where upstream's checkout is: VOICELATHE_INDEXTTS2=DIR"
    python = os.environ.get("VOICELATHE_INDEXTTS2_PYTHON") or str(environments.python("indextts2").absolute())
    before = [value for value in (os.environ.get("PYTHONPATH"),) if value]
    path = os.pathsep.join([str(Path(given).resolve()), str(HERE), str(HERE / "src"), *before])
    done = subprocess.run(
        [python, "tests/families/indextts2/opened_by_indextts2.py", str(base), str(kept), way, name],
        cwd=HERE, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    theirs = json.loads(done.stdout.splitlines()[-1])
    for kind, values in ours.items():
        assert values == pytest.approx([one[kind] for one in theirs], abs=1e-5), kind
    plain = json.loads((HERE / f"tests/families/indextts2/official_{name}.json").read_text())["clips"]
    assert ours["mel"] != pytest.approx([one["mel"] for one in plain], abs=0.01), (
        "it must be far from the base"
    )

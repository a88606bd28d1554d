"""The same pipeline on the other families, at a tiny size: encode, train, evaluate, listen, select, promote, speak."""

import contextlib
import json
import shutil
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from tests.factories import cosyvoice3_base, indextts2_base, indextts25_base, qwen_base, voxcpm15_base
from tests.pipeline.conftest import HERE, command, make, write
from voicelathe import digest, families, layout, records
from voicelathe.config import params
from voicelathe.data.latents import cache, general_set
from voicelathe.families import decoding
from voicelathe.process import environments

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def project(root: Path, family: str, scope: list[str], weights: dict[str, float], mode: str) -> Path:
    """A small project whose only base is a random one of this family, added as a user adds it."""
    make(root)
    writers = {
        "qwen3_tts": qwen_base, "voxcpm15": voxcpm15_base, "cosyvoice3": cosyvoice3_base, "indextts2": indextts2_base, "indextts25": indextts25_base,
    }  # fmt: skip
    writer: Any = writers[family].write
    large = {"max_mel_tokens": 600, "max_text_tokens": 300} if family.startswith("indextts") else {}
    writer(root / "data/bases/tiny-base", **large)
    command(
        root, "voicelathe", "base", "add", "data/bases/tiny-base", "--untrained", "--licence", "Apache-2.0"
    )
    raw = params.read_yaml(root / "params.yaml")
    raw["bases"] = {"tiny-base": raw["bases"]["tiny-base"]}
    tiny = raw["recipes"]["tiny"]
    tiny["base"] = "tiny-base"
    tiny["train"].update(steps=4, checkpoint_every=2, learning_rate=0.005, mode=mode)
    tiny["train"]["lora"] = (
        {"rank": 4, "alpha": 8.0, "dropout": 0.0, "scope": scope} if mode == "lora" else None
    )
    hears = "continuation" if family == "voxcpm15" else None
    tiny["evaluate"].update(passes=1, zero_shot=hears, lora_scales=[0.35, 1.0] if mode == "lora" else [])
    tiny["speak"] = decoding.defaults(families.spec(family).decoding)
    tiny["select"]["loss_weights"] = weights
    tiny["preflight"]["override"] = "the test has no LoRA run"
    write(root, raw)
    return root


def run_to_production(root: Path, family: str, losses: set[str], num_candidates: int) -> None:
    command(root, "dvc", "repro")
    evaluated = records.read(root / layout.run("tiny", "evaluations.jsonl"), records.EvaluationRecord)
    heard = records.read(root / layout.run("tiny", "samples.jsonl"), records.SampleRecord)
    assert len(evaluated) == num_candidates and {sample.candidate for sample in heard} == {
        one.candidate for one in evaluated
    }
    assert all(set(one.losses) == losses for one in evaluated)
    assert digest.read_json(root / "runs/tiny/run.json")["identity"]["family"] == family
    selection = digest.read_json(root / "runs/tiny/selection.json")
    words = [] if selection["decision"] == "ship" else ["--candidate", evaluated[-1].candidate]
    command(root, "voicelathe", "promote", "tiny", *words, "--because", "the test wants a voice")
    command(root, "voicelathe", "say", "The lamp is on.", "-o", str(root / "spoken.wav"))
    assert (root / "spoken.wav").stat().st_size > 1000
    command(root, "voicelathe", "verify", "tiny")
    assert "Running stage" not in command(root, "dvc", "repro").stdout


def test_qwen3_tts_with_an_adapter_goes_from_the_manifest_into_production(tmp_path: Path) -> None:
    weights = {"codec0": 1.0, "codec0_eos": 0.0, "sub_talker": 0.3}
    root = project(tmp_path / "root", "qwen3_tts", ["talker"], weights, "lora")
    run_to_production(root, "qwen3_tts", set(weights), num_candidates=5)
    index = json.loads((root / "runs/tiny/checkpoints.json").read_text())["checkpoints"]
    files = {path.name for path in (root / index[-1]["path"]).iterdir()}
    assert {"adapter_model.safetensors", "speaker_embedding.safetensors"} <= files


def test_voxcpm_1_5_in_full_goes_from_the_manifest_into_production(tmp_path: Path) -> None:
    weights = {"diff": 1.0, "stop": 1.0}
    root = project(tmp_path / "root", "voxcpm15", [], weights, "full")
    run_to_production(root, "voxcpm15", set(weights), num_candidates=4)
    said = records.read(root / layout.run("tiny", "samples.jsonl"), records.SampleRecord)
    behind = [one for one in said if one.candidate == "base_zero_shot"]
    assert behind and {one.sha256 for one in behind}.isdisjoint(
        one.sha256 for one in said if one.candidate == "base"
    ), "it continues a clip of the speaker"
    _said_as_judged(root, behind[0])


def _said_as_judged(root: Path, judged: records.SampleRecord) -> None:
    """The base behind its clip in production says the judged line with the judged samples."""
    command(root, "voicelathe", "promote", "tiny", "--candidate", judged.candidate, "--because", "to hear it")
    words = [judged.text, "-o", str(root / "behind.wav"), "--seed", str(judged.seed), "--max-seconds", "1.0"]
    command(root, "voicelathe", "say", *words)
    said, _ = soundfile.read(root / "behind.wav", dtype="int16")
    heard, _ = soundfile.read(root / str(judged.path), dtype="int16")
    assert len(said) and said.tobytes() == heard.tobytes()


def test_cosyvoice3_is_trained_and_judged_where_its_upstream_cannot_speak(tmp_path: Path) -> None:
    """Nothing is spoken, every page says so and why, and everything else goes on: losses, decision, promotion with a reason."""
    weights = {"lm": 1.0, "lm_eos": 0.0}
    root = project(tmp_path / "root", "cosyvoice3", ["attention"], weights, "lora")
    said = command(root, "dvc", "repro")
    assert "tiny: nothing is spoken. cosyvoice3 can speak only with upstream's own code" in said.stderr
    assert "Run: voicelathe env create cosyvoice3" in said.stderr
    evaluated = records.read(root / layout.run("tiny", "evaluations.jsonl"), records.EvaluationRecord)
    heard = records.read(root / layout.run("tiny", "samples.jsonl"), records.SampleRecord)
    assert len(evaluated) == 5 and {one.problem for one in heard} == {records.NOT_SPOKEN}
    _decide_without_speech(root, evaluated)
    official = torch.load(root / "data/bases/tiny-base/llm.pt", weights_only=True)
    exported = torch.load(_export(root, "--merged") / "llm.pt", weights_only=True)
    assert "library_name" not in (root / "out/README.md").read_text(), "upstream has no package"
    assert {name: one.shape for name, one in exported.items()} == {
        name: one.shape for name, one in official.items()
    }
    assert (
        not exported["llm.model.model.layers.0.self_attn.q_proj.weight"]
        .float()
        .equal(official["llm.model.model.layers.0.self_attn.q_proj.weight"])
    )


def _decide_without_speech(root: Path, evaluated: list[records.EvaluationRecord]) -> None:
    selection = digest.read_json(root / "runs/tiny/selection.json")
    assert selection["decision"] != "ship" and selection["selected"] is None
    if selection["decision"] == "not_heard":
        assert any(reason.startswith("Nothing was heard") for reason in selection["reasons"])
    for page in ("report.html", "listening.html"):
        assert "ot spoken" in (root / "runs/tiny" / page).read_text(), page
    words = ["promote", "tiny", "--candidate", evaluated[-1].candidate]
    assert command(root, "voicelathe", *words, check=False).returncode == 1
    command(root, "voicelathe", *words, "--because", "losses alone will do for this test")
    refused = command(root, "voicelathe", "say", "Hello.", "-o", str(root / "x.wav"), check=False)
    assert refused.returncode == 1 and "voicelathe env create" in refused.stderr
    command(root, "voicelathe", "verify", "tiny")
    assert "Running stage" not in command(root, "dvc", "repro").stdout
    assert "upstream's code is not installed" in command(root, "voicelathe", "doctor", check=False).stdout


def _export(root: Path, *options: str) -> Path:
    command(root, "voicelathe", "export", "models:/voicelathe@production", "out", *options)
    return root / "out"


@pytest.mark.parametrize(
    ("family", "features", "still"),
    [
        ("indextts2", indextts2_base.features, "perceiver_encoder.latents"),
        ("indextts25", indextts25_base.features, "emo_perceiver_encoder.latents"),
    ],
)
def test_indextts_in_full_is_trained_and_judged_from_features_that_are_there(
    tmp_path: Path, family: str, features: Callable[[float, int], dict[str, Any]], still: str
) -> None:
    """Its features are upstream's to make: without its interpreter `encode` says so; with them in the cache all the rest runs."""
    weights = {"text": 0.2, "mel": 0.8, "mel_stop": 0.0}
    root = project(tmp_path / "root", family, [], weights, "full")
    refused = command(root, "dvc", "repro", "encode@tiny-base", check=False)
    assert f"{family} can encode and speak only with upstream's own code" in refused.stderr
    _put_features(root, features)
    command(root, "dvc", "repro")
    evaluated = records.read(root / layout.run("tiny", "evaluations.jsonl"), records.EvaluationRecord)
    assert len(evaluated) == 3 and all(set(one.losses) == set(weights) for one in evaluated)
    index = json.loads((root / "runs/tiny/checkpoints.json").read_text())["checkpoints"]
    files = {path.name for path in (root / index[-1]["path"]).iterdir()}
    assert {"gpt.safetensors", "speaker_reference.safetensors"} <= files and "gpt.pth" not in files
    _decide_without_speech(root, evaluated)
    out = _export(root)
    official = torch.load(root / "data/bases/tiny-base/gpt.pth", weights_only=True)
    exported = torch.load(out / "gpt.pth", weights_only=True)
    assert set(exported) == set(official)
    assert exported[still].equal(official[still]), "as in the base"
    assert "not be used to improve other AI models" in (out / "README.md").read_text()


def _put_features(root: Path, features: Callable[[float, int], dict[str, Any]]) -> None:
    """Fixed numbers in the place of what upstream's encoders would make, and an interpreter that finds nothing left to encode."""
    shutil.copytree(HERE / "envs", root / "envs")
    with contextlib.chdir(root):
        tree = params.load()
        clips = [
            clip for name in layout.SPLITS for clip in records.read(layout.split(name), records.CleanClip)
        ]
        for number, clip in enumerate([*clips, *general_set.clips(tree.general)]):
            key = cache.cache_key(clip, tree.bases["tiny-base"].digest)
            place = layout.CACHE / "latents" / key[:2] / f"{key}.safetensors"
            cache.store(place, features(clip.end_s - clip.start_s, number))
        environment = layout.ENVIRONMENTS / "indextts2"
        venv.create(environment / "venv", with_pip=False)
        (folder,) = (environment / "venv/lib").glob("python3*/site-packages")
        (folder / "ours.pth").write_text("\n".join(path for path in sys.path if path))
        source, upstream = environment / "source", environments._upstream("indextts2")
        made = environments.Made(
            environments._pins("indextts2"), str(source), environments._code(source, upstream)
        )
        digest.write_json(environment / environments.READY, records.to_json(made))
    command(root, "dvc", "repro", "encode@tiny-base", "general@tiny-base")
    shutil.rmtree(root / environment)

"""Qwen3-TTS from audio to a voice: encoding, speakers, adapters, directories, speech, and what is refused on the way."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.factories import audio, qwen_base
from tests.factories.training import train_settings
from tests.families.qwen3_tts import upstream_qwen3_tts as upstream
from voicelathe import checkpoints, families
from voicelathe.config import schema
from voicelathe.errors import BaseModelError, FamilyUnavailable, ManifestError, RecordError, RequestError
from voicelathe.families import bases, decoding
from voicelathe.families.qwen3_tts import files, speakers
from voicelathe.process import jobs
from voicelathe.records import Candidate
from voicelathe.train import adapters, saving
from voicelathe.worker.weights import Swapper

FAMILY = families.find("qwen3_tts")
DECODING = decoding.defaults(FAMILY.spec.decoding)
LORA = schema.Lora(rank=4, alpha=8.0, dropout=0.0, scope=["talker"])
Load = Callable[..., Any]


def test_encoding_gives_16_codes_at_12_and_a_half_hz_and_upstream_s_speaker_vector(
    qwen: Load, qwen_dir: Path
) -> None:
    from qwen_tts import Qwen3TTSModel

    samples = audio.speech(2.0, 1, 24000)
    encoder = qwen("encoder")
    (found,) = encoder.encode([samples])
    assert found["codes"].shape == (25, 16) and found["codes"].dtype == torch.int16
    official = Qwen3TTSModel.from_pretrained(str(qwen_dir), dtype=torch.float32).model
    assert torch.allclose(found["speaker"][0], official.extract_speaker_embedding(samples, 24000), atol=1e-6)


def test_linears_of_each_scope_and_nothing_else_carry_an_adapter(qwen: Load) -> None:
    for scope, layers, prefix in (
        (["talker"], 2, "talker.model"),
        (["talker", "code_predictor"], 3, "talker."),
    ):
        model = qwen()
        names = adapters.inject(model.core, LORA, model.adapter_targets(scope), 0)
        assert len(names) == 7 * layers and all(name.startswith(prefix) for name in names)


def test_full_fine_tuning_moves_all_but_the_text_embedding(qwen: Load) -> None:
    model = qwen()
    plan = model.trainable("full")
    still = {name for name, p in model.core.named_parameters() if not p.requires_grad}
    assert still == {"talker.model.text_embedding.weight"} and len(plan.trainable) > 40
    assert not [name for name in model.core.state_dict() if name.startswith("speaker_encoder")]


@pytest.mark.parametrize("mode", ["lora", "full"])
def test_a_checkpoint_opens_in_upstream_s_loader_and_scores_the_same_losses(
    qwen: Load, qwen_dir: Path, tmp_path: Path, mode: str
) -> None:
    from peft import PeftModel
    from qwen_tts import Qwen3TTSModel

    loaded = qwen()
    loaded.prepare(upstream.clips())
    if mode == "lora":
        adapters.inject(loaded.core, LORA, loaded.adapter_targets(LORA.scope), seed=1)
    with torch.no_grad():
        for name, parameter in loaded.core.named_parameters():
            if "lora_B" in name or (mode == "full" and name.endswith("q_proj.weight")):
                parameter += 0.01
    if mode == "full":
        loaded.core.to(torch.bfloat16).float()  # what the file will hold
    train = replace(train_settings(mode), lora=LORA if mode == "lora" else None)
    out = saving.put(tmp_path / "step_0000001", saving.weights(loaded, train), {"step": 1})
    opened = Qwen3TTSModel.from_pretrained(
        str(qwen_dir if mode == "lora" else out), dtype=torch.float32, attn_implementation="sdpa"
    )
    model = opened.model
    if mode == "lora":
        model = PeftModel.from_pretrained(model, str(out)).base_model.model
    official = replace(loaded, core=model, tts=opened)
    with torch.no_grad():
        ours = loaded.losses(loaded.collate(upstream.clips()), None)
        theirs = official.losses(official.collate(upstream.clips()), None)
    for name, values in ours.items():
        assert torch.allclose(values, theirs[name], atol=1e-5)

    again = qwen()
    again.recall(out)
    assert list(again.voices) == list(loaded.voices) == ["awb", "bea"]
    for name, voice in again.voices.items():
        assert torch.allclose(voice, loaded.voices[name], rtol=0.0 if mode == "lora" else 0.01)


def test_a_full_checkpoint_goes_in_and_the_base_comes_back(
    qwen: Load, qwen_dir: Path, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    model = qwen()
    model.prepare(upstream.clips())
    before = {name: tensor.clone() for name, tensor in model.core.state_dict().items()}
    changed = {
        name: tensor + 1 for name, tensor in model.full_files(torch.float32)["model.safetensors"].items()
    }
    save_file(changed, tmp_path / "model.safetensors")
    model.load_full(tmp_path)
    assert not torch.equal(
        model.core.state_dict()["talker.codec_head.weight"], before["talker.codec_head.weight"]
    )
    model.load_full(qwen_dir)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.core.state_dict().items())


def test_weights_of_another_run_bring_its_speakers(qwen: Load, qwen_dir: Path, tmp_path: Path) -> None:
    refs = []
    for number, speaker in enumerate(("anna", "bert")):
        model = qwen()
        model.prepare([upstream.clip(1, 9, "The lamp is on.", speaker=speaker)])
        adapters.inject(model.core, LORA, model.adapter_targets(LORA.scope), seed=1)
        content = saving.weights(model, replace(train_settings("lora"), lora=LORA))
        out = saving.put(tmp_path / speaker / "step_0000001", content, {"step": 1})
        refs.append(jobs.WeightsRef(Candidate(number + 1, 1.0), "lora", str(out), checkpoints.identity(out)))
    served = qwen()
    swapper = Swapper(FAMILY, served, LORA, refs)
    for ref, speaker in ((refs[0], "anna"), (refs[1], "bert"), (refs[0], "anna")):
        swapper.put(ref)
        assert list(served.voices) == [speaker]


def test_speech_is_capped_repeatable_and_in_the_voice_of_the_run(qwen: Load) -> None:
    voice = qwen("voice")
    voice.voices = speakers.averaged(upstream.clips())

    def say(seed: int = 1, language: str = "en", seconds: float = 0.5) -> Any:
        return voice.synthesize("The lamp is on.", language, seed, seconds, DECODING)

    first = say()
    assert first.rate_hz == 24000 and len(first.samples) <= 0.5 * 24000 + 1920
    assert np.array_equal(first.samples, say().samples)
    assert not np.array_equal(first.samples, say(seed=2).samples)
    assert float(np.abs(first.samples).max()) > 1e-3
    assert (
        not first.stopped and len(first.samples) == 6 * 1920
    )  # random weights hardly ever stop: cut at the cap
    voice.voices = {"other": -voice.voices["awb"]}
    assert not np.array_equal(first.samples, say().samples)
    with pytest.raises(RequestError, match="language = 'ca'"):
        say(language="ca")


def test_a_model_that_ends_by_itself_is_said_to_have_stopped(qwen: Load) -> None:
    voice = qwen("voice")
    voice.voices = speakers.averaged(upstream.clips())
    head = voice.core.talker.codec_head
    ends = torch.zeros(3072)
    ends[2150] = 1e4
    head.register_forward_hook(lambda _module, _given, logits: logits + ends)
    said = voice.synthesize("The lamp is on.", "en", 1, 5.0, DECODING)
    assert said.stopped and len(said.samples) <= 3 * 1920  # upstream generates two tokens at least


# --- what is refused -------------------------------------------------------------------------------------------------


def test_names_that_collide_languages_that_are_not_spoken_and_foreign_codes_are_refused_by_clip(
    qwen: Load,
) -> None:
    model = qwen()
    one = upstream.clip(1, 3, "a")
    with pytest.raises(ManifestError, match=r"speaker_id 'AWB': another speaker has the same name"):
        model.prepare([one, replace(one, speaker_id="AWB")])
    model.core.config.talker_config.spk_id = {"awb": 3000}
    with pytest.raises(ManifestError, match="speaker_id 'awb': the base already has a voice of this name"):
        model.prepare([one])
    model.core.config.talker_config.spk_id = {}
    with pytest.raises(ManifestError, match=r"clip clip2: language = 'ca': .* chinese, english"):
        model.prepare([one, replace(upstream.clip(2, 3, "a"), language="ca")])
    for codes in (torch.full((3, 16), 2048), torch.full((3, 16), -1), torch.zeros(3, 8), torch.zeros(0, 16)):
        foreign = replace(one, tensors={**one.tensors, "codes": codes.to(torch.int16)})
        with pytest.raises(
            RecordError, match=r"codes of 1 clips are not 16 a frame from 0 to 2047, first clip1"
        ):
            model.prepare([one, foreign])
    many = [replace(one, speaker_id=f"s{number}") for number in range(73)]
    with pytest.raises(ManifestError, match="73 speakers: there is room for 72"):
        model.prepare(many)


def test_transformers_of_another_major_version_is_named_before_the_import(
    qwen: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voicelathe.families.qwen3_tts import loading

    monkeypatch.setattr(loading, "version", lambda name: "5.23.0")
    with pytest.raises(FamilyUnavailable, match=r"needs transformers before 5; 5\.23\.0 is installed"):
        qwen()
    monkeypatch.setattr(loading, "version", metadata.version)


@pytest.fixture
def copied(qwen_dir: Path, tmp_path: Path) -> Path:
    return shutil.copytree(qwen_dir, tmp_path / "base")


def refusal(directory: Path) -> str:
    with pytest.raises(BaseModelError) as problem:
        FAMILY.describe(directory, "Apache-2.0", True)
    return str(problem.value)


def edit(path: Path, **changes: Any) -> None:
    config = json.loads(path.read_text())
    for dotted, value in changes.items():
        *parents, leaf = dotted.split("__")
        place = config
        for parent in parents:
            place = place[parent]
        place[leaf] = value
    path.write_text(json.dumps(config))


def test_the_facts_of_a_directory_and_its_family(qwen_dir: Path) -> None:
    facts = FAMILY.describe(qwen_dir, "Apache-2.0", False)
    assert (facts.family, facts.encode_rate_hz, facts.speak_rate_hz) == ("qwen3_tts", 24000, 24000)
    assert (facts.positions_per_s, facts.min_clip_s, facts.max_clip_s) == (12.5, 0.08, 4096 / 12.5)
    assert bases.recognise(qwen_dir) == "qwen3_tts"
    official = files.tensor_names(json.loads((qwen_dir / "config.json").read_text()))
    from voicelathe.families.shared.safetensors_header import read_header

    names = {n for n in read_header(qwen_dir / "model.safetensors") if not n.startswith("speaker_encoder.")}
    assert names == official


@pytest.mark.parametrize(
    "name",
    [
        "speech_tokenizer/model.safetensors",
        "speech_tokenizer/preprocessor_config.json",
        "vocab.json",
        "generation_config.json",
    ],
)
def test_a_missing_codec_or_tokenizer_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    assert f"{name}: missing" in refusal(copied)


@pytest.mark.parametrize(
    "changes, seen",
    [
        ({"tts_model_type": "custom_voice"}, "only a Base has the speaker encoder"),
        ({"tokenizer_type": "qwen3_tts_tokenizer_25hz"}, "only the 12 Hz codec is supported"),
        ({"talker_config__hidden_size": "wide"}, "talker_config.hidden_size = 'wide'"),
        ({"talker_config__use_sliding_window": True}, "windowed attention is not supported"),
        ({"talker_config__code_predictor_config": None}, "code_predictor_config.hidden_size = (missing)"),
        ({"talker_config__num_hidden_layers": 3}, "missing: talker.model.layers.2."),
        ({"talker_config__vocab_size": 4000}, "talker.model.codec_embedding.weight has shape (3072, 64)"),
    ],
)  # fmt: skip
def test_a_config_that_does_not_fit_is_named_with_the_value_seen(
    copied: Path, changes: dict[str, Any], seen: str
) -> None:
    edit(copied / "config.json", **changes)
    assert seen in refusal(copied)


def test_a_codec_of_another_rate_is_refused(copied: Path) -> None:
    edit(copied / "speech_tokenizer/config.json", input_sample_rate=16000)
    assert "input_sample_rate = 16000: must be 24000" in refusal(copied)


def test_a_base_without_a_speaker_encoder_is_refused(copied: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = {
        n: t
        for n, t in load_file(copied / "model.safetensors").items()
        if not n.startswith("speaker_encoder.")
    }
    save_file(weights, copied / "model.safetensors")
    assert "missing: speaker_encoder.*" in refusal(copied)


def test_the_factory_writes_the_same_bytes_for_a_seed(qwen_dir: Path, tmp_path: Path) -> None:
    again = FAMILY.describe(qwen_base.write(tmp_path / "again"), "Apache-2.0", False)
    assert again.digest == FAMILY.describe(qwen_dir, "Apache-2.0", False).digest


def test_the_published_sizes_make_the_published_parameters() -> None:
    """1.7B Base without its speaker encoder: talker 1430.4 M, text embedding 311.2 M, code predictor 175.1 M."""
    family: Any = families.find("qwen3_tts")
    with torch.device("meta"):
        core = family.sketch(family.published, None).model.core
    millions = {
        part: sum(p.numel() for name, p in core.named_parameters() if starts(name)) / 1e6
        for part, starts in {
            "predictor": lambda name: "code_predictor" in name,
            "text": lambda name: "text_embedding" in name,
            "talker": lambda name: "code_predictor" not in name and "text_embedding" not in name,
        }.items()
    }
    assert millions == pytest.approx({"predictor": 175.1, "text": 311.2, "talker": 1430.4}, abs=0.06)

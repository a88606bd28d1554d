"""Opening a base without drawing weights at random first: the same bytes in every parameter and buffer, and nothing missing in silence."""

import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.families.labs import CPU, Lab
from voicelathe import digest
from voicelathe.config import schema
from voicelathe.errors import CheckpointError, VoiceLatheError
from voicelathe.families.shared.safetensors_header import read_metadata
from voicelathe.families.shared.weights import fill, without_weights
from voicelathe.train import adapters, precision

WEIGHTS = {
    "voxcpm2": "model.safetensors",
    "voxcpm15": "model.safetensors",
    "qwen3_tts": "model.safetensors",
    "cosyvoice3": "llm.safetensors",
    "indextts2": "gpt.safetensors",
    "indextts25": "gpt.safetensors",
}


def from_upstream(lab: Lab, role: str) -> Any:
    """VoxCPM by upstream's own `from_local`, which draws every weight and then loads over it."""
    form = lab.family.format
    kind = getattr(import_module(f"voxcpm.model.{form.module}"), form.model)
    model = kind.from_local(str(lab.base), optimize=False, training=role == "model", device="cpu")
    if role == "model":
        model.base_lm.kv_cache = model.residual_lm.kv_cache = model.audio_vae = None
    return model


def drawn_codec(lab: Lab) -> Any:
    form = lab.family.format
    upstream = import_module(f"voxcpm.model.{form.module}")
    config = upstream.VoxCPMConfig.model_validate(digest.read_json(lab.base / "config.json"))
    codec = getattr(upstream, form.codec)(config=config.audio_vae_config)
    codec.load_state_dict(load_file(lab.base / "audiovae.safetensors"))
    return codec.float().eval()


def drawn_cosyvoice(lab: Lab) -> Any:
    from voicelathe.families.cosyvoice3 import files, sketch

    model = sketch.built(digest.read_json(lab.base / files.CONFIG), lab.base)
    model.load_state_dict(load_file(lab.base / "llm.safetensors"))
    return model


def drawn_index(lab: Lab) -> Any:
    from voicelathe.families.indextts2 import files, sketch

    model = sketch.built(files.read_settings(lab.base)["gpt"], lab.family.edition)
    assert not model.load_state_dict(load_file(lab.base / "gpt.safetensors"), strict=False).missing_keys
    return model


def drawn_qwen(lab: Lab) -> Any:
    from qwen_tts import Qwen3TTSModel

    model = Qwen3TTSModel.from_pretrained(
        str(lab.base), dtype=torch.float32, attn_implementation="sdpa"
    ).model
    model.speaker_encoder = None
    return model


def drawn_speaker_encoder(lab: Lab) -> Any:
    from qwen_tts.core.models import Qwen3TTSConfig
    from qwen_tts.core.models.modeling_qwen3_tts import Qwen3TTSSpeakerEncoder

    encoder = Qwen3TTSSpeakerEncoder(
        Qwen3TTSConfig(**digest.read_json(lab.base / "config.json")).speaker_encoder_config
    )
    stored = load_file(lab.base / "model.safetensors")
    prefix = "speaker_encoder."
    encoder.load_state_dict({n.removeprefix(prefix): t for n, t in stored.items() if n.startswith(prefix)})
    return encoder.eval()


OPENED: list[tuple[str, str, str, Callable[[Lab], Any]]] = [  # family, role, attribute, the same the long way
    *((name, role, "core", lambda lab, role=role: from_upstream(lab, role)) for name in ("voxcpm2", "voxcpm15") for role in ("model", "voice")),
    *((name, "encoder", "vae", drawn_codec) for name in ("voxcpm2", "voxcpm15")),
    ("qwen3_tts", "model", "core", drawn_qwen),
    ("qwen3_tts", "encoder", "speaker_encoder", drawn_speaker_encoder),
    ("cosyvoice3", "model", "core", drawn_cosyvoice),
    *((name, "model", "core", drawn_index) for name in ("indextts2", "indextts25")),
]  # fmt: skip


def everything(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and all buffers, also those that no file has."""
    named = (*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False))
    return {name: tensor.detach() for name, tensor in named}


def same_bytes(one: Tensor, other: Tensor) -> bool:
    return (one.dtype, one.shape) == (other.dtype, other.shape) and one.contiguous().view(-1).view(
        torch.uint8
    ).equal(other.contiguous().view(-1).view(torch.uint8))


def test_every_parameter_and_buffer_is_what_drawing_first_gives(lab: Lab) -> None:
    for role, attribute, drawn in [row[1:] for row in OPENED if row[0] == lab.name]:
        ours, theirs = getattr(getattr(lab, role)(), attribute), drawn(lab)
        found, wanted = everything(ours), everything(theirs)
        assert set(found) == set(wanted)
        assert [name for name in wanted if not same_bytes(found[name], wanted[name])] == []
        assert set(ours.state_dict()) == set(theirs.state_dict()), "what is saved"
        assert ours.training == theirs.training
        assert {n: p.requires_grad for n, p in ours.named_parameters() if not n.startswith("audio_vae.")} == {
            n: p.requires_grad for n, p in theirs.named_parameters() if not n.startswith("audio_vae.")
        }


def test_an_adapter_begins_alike_whatever_torch_s_generator_was_at(lab: Lab) -> None:
    """Fewer random numbers are drawn now when a base is opened: nobody after it may depend on how many."""
    begun = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = lab.model()
        scope = sorted(lab.family.spec.scopes)
        lora = schema.Lora(rank=4, alpha=8.0, dropout=0.0, scope=scope)
        adapters.inject(model.core, lora, model.adapter_targets(scope), seed=3)
        begun.append(everything(model.core))
    assert [name for name in begun[0] if not same_bytes(begun[0][name], begun[1][name])] == []
    assert any(float(tensor.abs().max()) > 0 for name, tensor in begun[0].items() if "lora_A" in name)


def without_one(lab: Lab, file: str, directory: Path) -> str:
    """A copy of the base without one tensor of this file; its name."""
    shutil.copytree(lab.base, directory)
    stored = load_file(directory / file)
    gone = sorted(name for name in stored if name.endswith("bias") or "norm" in name)[-1]
    kept = {name: tensor for name, tensor in stored.items() if name != gone}
    save_file(kept, directory / file, read_metadata(directory / file))
    return gone


def test_a_missing_tensor_is_named_before_and_while_weights_are_read(lab: Lab, tmp_path: Path) -> None:
    gone = without_one(lab, WEIGHTS[lab.name], tmp_path / "base")
    with pytest.raises(VoiceLatheError, match=gone):
        lab.family.describe(tmp_path / "base", "Apache-2.0", False)
    if lab.name != "qwen3_tts":  # transformers opens that one, and draws what is missing
        with pytest.raises(CheckpointError, match=f"1 tensors missing .*{gone}"):
            lab.family.open_model(tmp_path / "base", lab.facts, CPU)


@pytest.mark.parametrize("role", ["encoder", "voice"])
def test_a_codec_that_lacks_a_tensor_is_refused_by_name(lab: Lab, tmp_path: Path, role: str) -> None:
    if not lab.name.startswith("voxcpm"):
        pytest.skip(f"{lab.name} has no codec that is opened here from a file of its own")
    gone = without_one(lab, "audiovae.safetensors", tmp_path / "base")
    with pytest.raises(CheckpointError, match=f"audiovae.safetensors.*1 tensors missing .*{gone}"):
        getattr(lab.family, f"open_{role}")(tmp_path / "base", lab.facts, CPU)


def test_a_tensor_of_another_shape_is_refused_and_not_repeated_to_fit() -> None:
    with without_weights():
        layer = nn.Linear(3, 2)
    stored = {"weight": torch.ones(1, 3), "bias": torch.zeros(2)}
    with pytest.raises(CheckpointError, match=r"weight has shape \(1, 3\), the model needs \(2, 3\)"):
        fill(layer.state_dict(keep_vars=True), stored, stored.__getitem__, Path("f"))


def test_inside_nothing_is_drawn_shared_weights_stay_shared_and_buffers_are_computed() -> None:
    state = torch.get_rng_state()
    with without_weights():
        layer, norm = nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4)
        second = nn.Linear(4, 4, bias=False)
        second.weight = layer.weight
        normed = torch.nn.utils.weight_norm(nn.Conv1d(2, 2, 3))
    assert torch.get_rng_state().equal(state)
    assert layer.weight.is_meta and second.weight is layer.weight and normed.weight_v.is_meta
    assert norm.running_var is not None and norm.running_var.equal(torch.ones(4))
    stored = {"weight": torch.arange(16.0).reshape(4, 4)}
    fill(layer.state_dict(keep_vars=True), stored, stored.__getitem__, Path("f"))
    assert second.weight is layer.weight and second.weight.equal(stored["weight"])
    assert second.weight.data_ptr() != stored["weight"].data_ptr(), "memory of its own"
    assert not nn.Linear(4, 4).weight.is_meta, "outside everything is as before"


@pytest.mark.parametrize("weights", ["bf16", "bf16_split8"])
def test_bf16_that_is_kept_as_it_lies_is_what_training_makes_of_fp32(
    lab: Lab, weights: precision.Weights
) -> None:
    begun = []
    for keep in (False, True):
        model = lab.family.open_model(lab.base, lab.facts, CPU, keep_bf16=keep)
        opened = {str(p.dtype) for p in model.core.parameters()}
        if weights == "bf16":
            lora = schema.Lora(rank=4, alpha=8.0, dropout=0.0, scope=sorted(lab.family.spec.scopes))
            targets = model.adapter_targets(lora.scope)
            adapters.inject(model.core, lora, targets, seed=3, in_fp32=True)
        plan = model.trainable("lora" if weights == "bf16" else "full")
        lows = precision.narrow(model.core, weights, plan.trainable)
        begun.append((everything(model.core), lows, opened))
    (wanted, wanted_lows, _), (found, lows, opened) = begun
    assert set(found) == set(wanted) and set(lows) == set(wanted_lows)
    assert [name for name in wanted if not same_bytes(found[name], wanted[name])] == []
    assert all(lows[name].equal(low) for name, low in wanted_lows.items())
    stored = {str(one.dtype) for one in load_file(lab.base / WEIGHTS[lab.name]).values()}
    if lab.name != "qwen3_tts":  # by transformers, in one type for all
        assert opened == stored, "nothing is widened on the way"

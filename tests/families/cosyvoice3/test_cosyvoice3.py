"""CosyVoice 3: the same numbers as upstream's own code, layouts, features, and the faults of a directory.

official_cosyvoice3.json was computed once by upstream's code on the same small weights: see official_cosyvoice3.py.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.factories import audio, cosyvoice3_base
from tests.families.cosyvoice3 import official_cosyvoice3
from voicelathe import families
from voicelathe.config import schema
from voicelathe.errors import BaseModelError, ManifestError, RecordError
from voicelathe.families.base import ClipItem
from voicelathe.families.cosyvoice3 import features, loading, sketch, synthesis
from voicelathe.families.cosyvoice3 import losses as cosyvoice3_core
from voicelathe.families.cosyvoice3.losses import ClipTokens, Ids
from voicelathe.families.shared import parameter_groups
from voicelathe.train import adapters

CPU = schema.Machine("cpu", 1, 1)
OFFICIAL = json.loads((Path(__file__).parent / "official_cosyvoice3.json").read_text())


@pytest.fixture(scope="module")
def model(cosyvoice3_dir: Path) -> Any:
    """Read only."""
    family = families.find("cosyvoice3")
    found = family.open_model(cosyvoice3_dir, family.describe(cosyvoice3_dir, "Apache-2.0", False), CPU)
    found.core.eval()
    return found


def clips() -> list[ClipTokens]:
    return [ClipTokens(*one) for one in official_cosyvoice3.clips()]


@torch.no_grad()
def losses(core: Any, given: list[ClipTokens], interleave: bool) -> dict[str, list[float]]:
    packed = cosyvoice3_core.pack(given, [interleave] * len(given), Ids.of(core), torch.device("cpu"))
    return {name: one.tolist() for name, one in cosyvoice3_core.losses(core, packed, False).items()}


def test_the_weights_are_those_of_the_official_numbers(model: Any) -> None:
    state = {name: tensor.float() for name, tensor in model.core.state_dict().items()}
    assert official_cosyvoice3.checksum(state) == pytest.approx(OFFICIAL["checksum"], rel=1e-9)


@pytest.mark.parametrize("layout", ["laid_out", "interleaved"])
def test_losses_are_the_official_ones(model: Any, layout: str) -> None:
    found = losses(model.core, clips(), layout == "interleaved")["lm"]
    assert found == pytest.approx(OFFICIAL[layout], abs=1e-5)


def test_the_two_layouts_differ_where_there_is_speech_enough(model: Any) -> None:
    plain, mixed = (losses(model.core, clips(), one)["lm"] for one in (False, True))
    assert [a == b for a, b in zip(plain, mixed, strict=True)] == [not one.can_interleave for one in clips()]
    assert [one.can_interleave for one in clips()] == [False, False, True, True]


@torch.no_grad()
def test_decoding_step_by_step_with_the_wide_mask_is_the_full_forward(model: Any) -> None:
    body = model.core.llm.model.model
    states = body(inputs_embeds=body.embed_tokens(clips()[0].text[None])).last_hidden_state[0]
    for row, official in zip(states[3:6], OFFICIAL["steps"], strict=True):
        assert row.tolist() == pytest.approx(official, abs=1e-5)


class OneStep(torch.nn.Module):
    """The step that upstream decodes with, its mask of one position included."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward_one_step(self, xs: Any, masks: Any, cache: Any = None) -> tuple[Any, Any]:
        found = self.model(
            inputs_embeds=xs, attention_mask=masks[:, -1, :], use_cache=True, past_key_values=cache
        )
        return found.last_hidden_state, found.past_key_values


@torch.no_grad()
def test_the_mask_of_one_position_is_wrong_and_the_wide_one_is_the_full_forward(model: Any) -> None:
    body = model.core.llm.model.model
    embedded = body.embed_tokens(clips()[0].text[None])
    whole = body(inputs_embeds=embedded).last_hidden_state[0, 5]

    def last(encoder: Any) -> Any:
        _, cache = encoder.forward_one_step(embedded[:, :4], torch.ones(1, 4, 4, dtype=torch.bool).tril())
        for at in (4, 5):
            one = torch.ones(1, 1, 1, dtype=torch.bool)
            states, cache = encoder.forward_one_step(embedded[:, at : at + 1], one, cache)
        return states[0, -1]

    encoder = OneStep(body)
    assert (last(encoder) - whole).abs().max() > 0.1
    synthesis.widen_mask(encoder)
    assert (last(encoder) - whole).abs().max() < 1e-5


def test_a_perfect_prediction_scores_nothing(model: Any) -> None:
    """The model that at every position knows the token fed next, and the end behind the last one."""
    ids = Ids.of(model.core)
    for clip in clips():
        packed = cosyvoice3_core.pack([clip], [False], ids, torch.device("cpu"))
        following = torch.cat([clip.speech, torch.tensor([ids.end])])
        before = 1 + len(clip.instruction) + len(clip.text)
        logits_TV = torch.full((before + len(following), 300), 0.0)
        logits_TV[before + torch.arange(len(following)), following] = 40.0
        found = cosyvoice3_core.score(logits_TV.index_select(0, packed.predicts_at_N), packed)
        assert max(one.item() for one in found.values()) < 1e-4
        shifted = cosyvoice3_core.score(logits_TV.roll(1, 0).index_select(0, packed.predicts_at_N), packed)
        assert shifted["lm"].item() > 10


def test_interleaving_feeds_five_words_then_fifteen_sounds_and_predicts_a_fill() -> None:
    ids = Ids(100, 101, 102, 103)
    clip = ClipTokens(torch.tensor([7]), torch.arange(6), torch.arange(30))
    packed = cosyvoice3_core.pack([clip], [True], ids, torch.device("cpu"))
    fed: dict[int, Any] = dict(zip(packed.text_at_K.tolist(), packed.text_K.tolist(), strict=True))
    fed |= {at: (one,) for at, one in zip(packed.speech_at_M.tolist(), packed.speech_M.tolist(), strict=True)}
    sounds = [(one,) for one in range(30)]
    assert [fed[at] for at in range(len(fed))] == [
        (100,), 7, 0, 1, 2, 3, 4, *sounds[:15], 5, (102,), *sounds[15:]
    ]  # fmt: skip
    wanted = dict(zip(packed.predicts_at_N.tolist(), packed.target_N.tolist(), strict=True))
    assert [wanted.get(at) for at in range(len(fed))] == [
        None, None, None, None, None, None, *range(15), 103, None, *range(15, 30), 101
    ]  # fmt: skip


def test_training_interleaves_about_half_by_the_key_alone_and_validation_nothing(model: Any) -> None:
    long = clips()[2]

    def lengths(frozen: Any) -> list[int]:
        return [len(model.draw([long], [key], frozen).target_N) for key in range(400)]

    plain = len(long.speech) + 1
    drawn = lengths(None)
    assert drawn == lengths(None)
    assert 0.4 < sum(one > plain for one in drawn) / len(drawn) < 0.6
    assert set(lengths((0, 1))) == {plain}


def test_features_are_those_of_whisper(model: Any) -> None:
    mels = features.log_mels(audio.speech(1.0, 0, 16000))
    assert mels.shape == (128, OFFICIAL["mels"]["frames"])
    assert mels[::16, ::20].flatten().tolist() == pytest.approx(OFFICIAL["mels"]["some"], abs=1e-5)


def test_words_of_a_reference_become_tokens_alone(model: Any) -> None:
    family: Any = families.find("cosyvoice3")
    one, other = (
        ClipItem(name, text, "en", "s", {"tokens": torch.arange(9, dtype=torch.int16)})
        for name, text in (("a", "It rains."), ("b", "The lamp is on."))
    )
    (clip,) = model.collate([family.prompted(one, other, "continuation")])
    apart = [model.tokenizer(text)["input_ids"] for text in (other.text, one.text)]
    assert clip.text.tolist() == [*apart[0], *apart[1]] and clip.heard is not None


def test_upstreams_special_tokens_are_one_token_each(model: Any) -> None:
    for text in ("<|endofprompt|>", "[breath]", "[laughter]", "[AA1]"):
        assert len(model.tokenizer(text)["input_ids"]) == 1, text
    assert len(model.tokenizer("[nothing]")["input_ids"]) > 1


def test_an_adapter_of_the_published_recipe_has_its_published_size() -> None:
    """2.16 M parameters at rank 16 on q, k, v and o of the 0.5 B model."""
    family: Any = families.find("cosyvoice3")
    with torch.device("meta"):
        core = sketch.built(family.published, None)
    assert sum(p.numel() for p in core.parameters()) == pytest.approx(506.1e6, rel=0.001)
    from peft import LoraConfig, inject_adapter_in_model

    targets = parameter_groups.targets(loading.SCOPES, ["attention"])
    inject_adapter_in_model(LoraConfig(r=16, lora_alpha=64, target_modules=targets), core)
    assert sum(p.numel() for n, p in core.named_parameters() if "lora_" in n) == 2_162_688


def test_tokens_of_another_base_and_clips_without_words_are_refused_before_training(model: Any) -> None:
    def item(text: str, tokens: list[int]) -> ClipItem:
        found = {"tokens": torch.tensor(tokens, dtype=torch.int16), "speaker": torch.ones(1, 192)}
        return ClipItem("c1", text, "en", "s", found)

    with pytest.raises(RecordError, match=r"not numbers from 0 to 99, first c1.*dvc repro -f -s encode"):
        model.prepare([item("hello", [1, 100])])
    with pytest.raises(ManifestError, match=r"no words:\n.*clip c1"):
        model.prepare([item("", [1, 2])])


# --- a directory and its faults ---------------------------------------------------------------------------------------


def _without(name: str) -> Callable[[Path], None]:
    return lambda base: (base / name).unlink()


def _edited(name: str, **entries: Any) -> Callable[[Path], None]:
    def edit(base: Path) -> None:
        config = json.loads((base / name).read_text())
        (base / name).unlink()
        (base / name).write_text(json.dumps({**config, **entries}))

    return edit


def _other_weights(base: Path) -> None:
    weights = torch.load(base / "llm.pt", weights_only=True)
    weights["llm_decoder.weight"] = weights["llm_decoder.weight"][:, :8]
    (base / "llm.pt").unlink()
    torch.save(weights, base / "llm.pt")
    (base / "llm.safetensors").unlink()
    families.find("cosyvoice3").complete(base)


def _changed_pickle(base: Path) -> None:
    (base / "llm.pt").unlink()
    torch.save({"w": torch.ones(1)}, base / "llm.pt")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (_without("llm.safetensors"), "llm.safetensors: missing; `voicelathe base add` makes it from llm.pt"),
        (_without("campplus.onnx"), "campplus.onnx: missing"),
        (_without("CosyVoice-BlankEN/config.json"), "CosyVoice-BlankEN/config.json: missing"),
        (_changed_pickle, "llm.safetensors: was made from other bytes than llm.pt has now"),
        (_other_weights, "llm_decoder.weight has shape"),
        (_edited("CosyVoice-BlankEN/config.json", model_type="llama"), "model_type = 'llama': must be 'qwen2'"),
        (_edited("CosyVoice-BlankEN/config.json", use_sliding_window=True), "windowed attention is not supported"),
        (_edited("CosyVoice-BlankEN/config.json", num_hidden_layers=3), "llm.safetensors: missing: llm.model.model.layers.2."),
        (lambda base: (base / "extra.pkl").write_bytes(b"x"), "extra.pkl: a pickle can run code"),
    ],
)  # fmt: skip
def test_a_directory_that_is_not_whole_is_refused_with_what_is_wrong(
    cosyvoice3_dir: Path, tmp_path: Path, break_it: Callable[[Path], None], said: str
) -> None:
    base = shutil.copytree(cosyvoice3_dir, tmp_path / "base")
    break_it(base)
    with pytest.raises(BaseModelError) as problem:
        families.find("cosyvoice3").describe(base, "Apache-2.0", False)
    assert said in str(problem.value)


def test_a_full_checkpoint_holds_every_official_name_and_not_the_stale_pickle(model: Any) -> None:
    files = model.full_files(torch.bfloat16)
    official = torch.load(model.base / "llm.pt", weights_only=True)
    assert set(files["llm.safetensors"]) == set(official) and files["llm.pt"] is None


def test_speakers_are_averaged_in_fp32_and_come_back(model: Any, tmp_path: Path) -> None:
    vectors = [torch.tensor([[value] * 192]) for value in (1.0, 1.0009765625, 5.0)]
    items = [
        ClipItem(f"c{n}", "a", "en", name, {"tokens": torch.ones(3, dtype=torch.int16), "speaker": vector})
        for n, (name, vector) in enumerate(zip(["x", "x", "y"], vectors, strict=True))
    ]
    fresh = replace(model)
    fresh.prepare(items)
    assert list(fresh.voices) == ["x", "y"]
    assert fresh.voices["x"][0].item() == pytest.approx(1.00048828125, abs=1e-7)


def test_an_adapter_is_stored_as_peft_reads_it_for_the_qwen_inside(cosyvoice3_dir: Path) -> None:
    family = families.find("cosyvoice3")
    facts = family.describe(cosyvoice3_dir, "Apache-2.0", False)
    found = family.open_model(cosyvoice3_dir, facts, CPU)
    lora = schema.Lora(4, 8.0, 0.0, ["attention"])
    adapters.inject(found.core, lora, found.adapter_targets(lora.scope), seed=1)
    files = found.save_adapter(adapters.tensors(found.core), lora)
    assert all(
        name.startswith("base_model.model.model.layers.") for name in files["adapter_model.safetensors"]
    )
    assert files["adapter_config.json"]["target_modules"].startswith("(?:model\\.layers")


def test_tokens_and_voice_depend_on_the_sound(cosyvoice3_dir: Path) -> None:
    ears = features.Ears(cosyvoice3_dir, 1)
    one, other = audio.speech(1.0, 0, 16000), audio.speech(1.0, 1, 16000)
    assert len(ears.tokens(one)) == 25 and ears.voice(one).shape == (192,)
    assert not torch.equal(ears.tokens(one), ears.tokens(other))
    assert not np.allclose(ears.voice(one), ears.voice(other))
    assert int(ears.tokens(one).max()) < cosyvoice3_base.TOKENS

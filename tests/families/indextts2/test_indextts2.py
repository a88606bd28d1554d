"""IndexTTS2: the same numbers as upstream's own code, who is heard after whom, and how text is read.

official_indextts2.json was computed once by upstream's code on the same small weights: see official_indextts2.py.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.factories import indextts2_base
from tests.families.indextts2 import official_indextts2
from voicelathe import families
from voicelathe.config import schema
from voicelathe.errors import ManifestError, RecordError, RequestError
from voicelathe.families.base import ClipItem
from voicelathe.families.indextts2 import editions, losses, speakers, synthesis
from voicelathe.families.indextts2 import text as indextts2_text
from voicelathe.families.indextts2.losses import ClipTokens, Ids
from voicelathe.train import adapters

CPU = schema.Machine("cpu", 1, 1)
OFFICIAL = json.loads((Path(__file__).parent / "official_indextts2.json").read_text())
IDS = Ids(0, 1, 8192, 8193)
Family: Any = families.find("indextts2")


@pytest.fixture
def model(indextts2_dir: Path) -> Any:
    facts = Family.describe(indextts2_dir, "LicenseRef-Bilibili-IndexTTS", False)
    found = Family.open_model(indextts2_dir, facts, CPU)
    found.core.eval()
    return found


def clips() -> list[ClipTokens]:
    width = indextts2_base.WIDTH
    return [
        ClipTokens(
            one["text"],
            one["codes"],
            one["emotion"].view(width),
            condition_LC=one["condition"].view(-1, width),
        )
        for one in official_indextts2.clips()
    ]


def item(number: int, speaker: str, codes: int, text: str = "It rains.") -> ClipItem:
    return ClipItem(f"c{number}", text, "en", speaker, indextts2_base.features(codes / 50, number))


def test_the_weights_are_those_of_the_official_numbers(model: Any) -> None:
    assert official_indextts2.checksum(model.core.state_dict()) == pytest.approx(
        OFFICIAL["checksum"], rel=1e-9
    )
    assert {f"{name}." for name in OFFICIAL["not_trained"]} == set(editions.TWO.frozen)


@torch.no_grad()
def test_losses_are_the_official_ones(model: Any) -> None:
    packed = losses.pack(clips(), IDS, torch.device("cpu"))
    found = losses.losses(model.core, packed, False)
    for name in ("text", "mel", "mel_stop"):
        assert found[name].tolist() == pytest.approx([one[name] for one in OFFICIAL["clips"]], abs=1e-5)


@torch.no_grad()
def test_upstreams_generation_leaves_one_place_out_and_that_is_all_that_parts_it_from_training(
    model: Any,
) -> None:
    """It puts the start at 0 and the codes at 2, 3, ..; its own forward, and training, at 1, 2, ...

    With that known the same losses come out of the packed forward as of upstream's cache, one code after the other.
    """
    packed = losses.pack(clips(), IDS, torch.device("cpu"))
    place_M = packed.mel_place_M
    spoken = replace(packed, mel_place_M=torch.where(place_M > 0, place_M + 1, place_M))
    wanted = [one["mel_spoken"] for one in OFFICIAL["clips"]]
    assert losses.losses(model.core, spoken, False)["mel"].tolist() == pytest.approx(wanted, abs=1e-5)
    assert [one["mel"] for one in OFFICIAL["clips"]] != pytest.approx(wanted, abs=1e-3)
    assert OFFICIAL["parity"]["one earlier"] < 1e-5 < 0.1 < OFFICIAL["parity"]["as generated"]


def test_a_perfect_prediction_scores_nothing_and_a_shifted_one_does() -> None:
    """The model that at every position knows the token fed next, and the stop behind the last one."""
    for clip in clips():
        packed = losses.pack([clip], IDS, torch.device("cpu"))
        before, words, codes = 34, len(clip.text), len(clip.codes)
        text_TV = torch.zeros(before + words + codes + 3, 61)
        mel_TV = torch.zeros(before + words + codes + 3, 8194)
        text_TV[before + torch.arange(words + 1), torch.cat([clip.text, torch.tensor([1])])] = 40.0
        mel_TV[
            before + words + 2 + torch.arange(codes + 1), torch.cat([clip.codes.long(), torch.tensor([8193])])
        ] = 60.0
        for moved, is_right in ((0, True), (1, False)):
            rows = (text_TV.roll(moved, 0)[packed.text_from_Q], mel_TV.roll(moved, 0)[packed.mel_at_M])
            found = losses.score(*rows, packed)
            assert all((one.item() < 1e-4) is is_right for one in found.values()), (moved, found)


def test_in_training_a_clip_is_heard_after_another_of_its_speaker_and_else_after_the_reference(
    model: Any,
) -> None:
    items = [item(0, "a", 40), item(1, "a", 240), item(2, "b", 60), item(3, "a", 90)]
    model.prepare(items)
    assert {name: one.clip_id for name, one in model.partners.items()} == {
        "c0": "c3",
        "c1": "c0",
        "c3": "c1",
        "c2": "c2",
    }
    assert model.references() == {"a": "c1", "b": "c2"}, "the clip nearest five seconds; main speaker first"
    assert list(model.references()) == ["a", "b"]

    def condition() -> torch.Tensor:
        found: torch.Tensor = model.collate([items[0]]).condition_NC
        return found

    def of(one: ClipItem) -> torch.Tensor:
        return one.tensors["condition"].view(32, -1).float() + one.tensors["emotion"].float()

    model.core.train()
    assert torch.equal(condition(), of(items[3]))
    model.core.eval()
    assert torch.equal(condition(), of(items[1]))


def test_a_speaker_nobody_knows_is_heard_after_the_clip_itself(model: Any) -> None:
    model.prepare([item(0, "a", 40)])
    stranger = item(5, "z", 50)
    found = model.collate([stranger]).condition_NC
    assert torch.equal(
        found[0], stranger.tensors["condition"][0, :32].float() + stranger.tensors["emotion"][0].float()
    )


def test_a_checkpoint_carries_the_reference_of_every_speaker(model: Any, tmp_path: Path) -> None:
    model.prepare([item(0, "b", 40), item(1, "a", 240), item(2, "a", 60)])
    for number, speaker in enumerate(model.references()):
        model.keep(speaker, np.full(100, 0.25 * (number + 1), np.float32))
    files = model.full_files(torch.bfloat16)
    save_file(files[speakers.REFERENCES], tmp_path / speakers.REFERENCES)
    (tmp_path / speakers.ORDER).write_text(json.dumps(files[speakers.ORDER]))
    kept, model.voices = model.voices, {}
    model.recall(tmp_path)
    assert list(model.voices) == ["a", "b"]
    assert all(kept[name][key].equal(model.voices[name][key]) for name in kept for key in kept[name])
    assert model.voices["b"]["audio"][0].item() == round(0.5 * 32767)


def test_without_a_voice_nothing_is_spoken_and_the_reason_is_said(model: Any) -> None:
    voice = synthesis.IndexTTS2Voice(model.core, model.facts, model.base, model.device, model.shape, None)
    with pytest.raises(RequestError, match="always speaks after a clip"):
        voice.synthesize("Hello.", "en", 1, 1.0, {})


def test_a_full_checkpoint_carries_the_encoders_through_untouched(model: Any) -> None:
    files, base = model.full_files(torch.bfloat16), load_file(model.base / "gpt.safetensors")
    assert set(files["gpt.safetensors"]) == set(base) and files["gpt.pth"] is None
    still = [name for name in base if name.startswith(editions.TWO.frozen)]
    assert len(still) == 6 and all(files["gpt.safetensors"][name].equal(base[name]) for name in still)


def test_the_speed_table_does_not_move(model: Any) -> None:
    plan = model.trainable("full")
    assert not model.core.speed_emb.weight.requires_grad and "speed_emb.weight" not in plan.trainable


def test_the_published_sizes_make_the_published_parameters() -> None:
    """530 M are trained, 472.3 M of them in the GPT; an adapter of rank 16 on all its linears."""
    with torch.device("meta"):
        core = Family.sketch(Family.published, None).model.core
    assert sum(p.numel() for p in core.gpt.parameters()) == pytest.approx(472.3e6, rel=0.001)
    assert sum(p.numel() for p in core.parameters()) == pytest.approx(530e6, rel=0.01)


def test_an_adapter_finds_every_linear_of_the_gpt_and_its_pair_says_how_they_lie(model: Any) -> None:
    lora = schema.Lora(4, 8.0, 0.0, ["attention", "mlp"])
    targets = model.adapter_targets(lora.scope)
    found = adapters.inject(model.core, lora, targets, seed=1)
    kinds = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert found == [f"gpt.h.{n}.{kind}" for n in range(2) for kind in kinds]
    assert (
        model.save_adapter(adapters.tensors(model.core), lora)["adapter_config.json"]["fan_in_fan_out"]
        is True
    )


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hello, world.", "HELLO, WORLD."),
        ("你好 world", "你 好 WORLD"),
        ("한국어", "한 국 어"),
        (" straße ", "STRASSE"),
        ("", ""),
    ],
)
def test_text_is_upper_case_with_east_asian_characters_apart(text: str, wanted: str) -> None:
    assert indextts2_text.spaced(text) == wanted


def test_codes_of_another_base_and_texts_that_do_not_fit_are_refused_before_training(model: Any) -> None:
    broken = item(1, "a", 20)
    broken.tensors["codes"][3] = 8192  # type: ignore[index]
    with pytest.raises(RecordError, match=r"not numbers from 0 to 8191, first c1.*dvc repro -f -s encode"):
        model.prepare([broken])
    long = item(2, "a", 20, "NOBODY SPEAKS OF RAIN " * 10)
    with pytest.raises(ManifestError, match=r"more than 60 tokens of it:\n.*clip c2"):
        model.prepare([long])

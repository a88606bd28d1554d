"""Training with references is upstream's: its own packer with ref_audio, its own forward, the same losses, and none on the prefix."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.factories import audio, training
from tests.families.voxcpm import upstream_voxcpm
from voicelathe import families
from voicelathe.config import checks, params, schema
from voicelathe.families.base import ClipItem
from voicelathe.families.voxcpm import losses

FAMILY: Any = families.find("voxcpm2")
RATE = 16_000
ROWS = [
    ("The lamp is on.", 1.1, 2.3),
    ("It rains.", 0.63, 1.0),
    ("Nobody speaks of rain.", 2.03, 0.0),
]  # seconds of clip and reference


@pytest.fixture(scope="module")
def core() -> Any:
    model = FAMILY.open_model(
        training.BASE, FAMILY.describe(training.BASE, "Apache-2.0", False), training.target().machine
    )
    model.core.train()
    return model


@pytest.fixture(scope="module")
def encoder() -> Any:
    return FAMILY.open_encoder(
        training.BASE,
        FAMILY.describe(training.BASE, "Apache-2.0", False),
        training.target().machine,
    )


def sounds(number: int) -> tuple[Any, Any]:
    _, clip_s, reference_s = ROWS[number]
    return audio.speech(clip_s, number, RATE), audio.speech(
        reference_s, number + 5, RATE
    ) if reference_s else None


def packed_by_upstream(core: Any, encoder: Any, number: int) -> dict[str, Tensor]:
    """One row through upstream's AudioFeatureProcessingPacker, as its BatchProcessor calls it."""
    from voxcpm.training.packers import AudioFeatureProcessingPacker

    config = core.core.config
    packer = AudioFeatureProcessingPacker(
        1, config.max_length, config.patch_size, config.feat_dim, encoder.vae
    )
    clip, reference = sounds(number)
    heard = torch.full((1, 1), -100.0) if reference is None else torch.tensor(reference)[None]
    tokens = torch.tensor([core.core.text_tokenizer(ROWS[number][0])], dtype=torch.int32)
    ones = torch.ones(1, dtype=torch.int32)
    made = packer(torch.tensor(clip)[None], tokens, ones, ones * 0, [False], heard)
    names = ("text_tokens", "text_mask", "audio_feats", "audio_mask", "loss_mask", "position_ids", "labels")
    return {name: made[name] for name in names}


def item(encoder: Any, number: int) -> ClipItem:
    """The same row as our trainer holds it: encoded once, the reference in front."""
    clip, reference = sounds(number)
    (encoding,) = encoder.encode([clip])
    bare = ClipItem(f"c{number}", ROWS[number][0], "en", "lark", encoding)
    if reference is None:
        return bare
    (before,) = encoder.encode([reference])
    return FAMILY.prompted(bare, ClipItem("reference", "", "en", "lark", before), "reference")


def test_packed_losses_equal_upstream_s_packer_and_forward_with_ref_audio(core: Any, encoder: Any) -> None:
    theirs, noises = [], []
    for number in range(len(ROWS)):
        inputs = packed_by_upstream(core, encoder, number)
        theirs.append(torch.stack(upstream_voxcpm.losses(core.core, inputs, seed=number)))
        noises.append(upstream_voxcpm.noise(core.core, inputs, seed=number))
    batch = core.collate([item(encoder, number) for number in range(len(ROWS))])
    found = core.losses(batch, upstream_voxcpm.joined(noises))
    ours = torch.stack([found["diff"], found["stop"]], dim=1)
    worst = float((ours - torch.stack(theirs)).detach().abs().max())
    assert worst < 1e-6


def test_every_gradient_equals_upstream_s_with_a_reference(core: Any, encoder: Any) -> None:
    def gradients() -> dict[str, Tensor]:
        found = {name: p.grad.clone() for name, p in core.core.named_parameters() if p.grad is not None}
        core.core.zero_grad(set_to_none=True)
        return found

    core.trainable("full")
    inputs = packed_by_upstream(core, encoder, 0)
    torch.stack(upstream_voxcpm.losses(core.core, inputs, seed=3)).sum().backward()
    theirs = gradients()
    found = core.losses(core.collate([item(encoder, 0)]), upstream_voxcpm.noise(core.core, inputs, seed=3))
    (found["diff"] + found["stop"]).sum().backward()
    ours = gradients()
    assert set(ours) == set(theirs)
    assert (
        max(float((ours[name] - one).norm() / one.norm().clamp_min(1e-12)) for name, one in theirs.items())
        < 1e-5
    )


def test_the_prefix_is_upstream_s_and_carries_no_loss(core: Any, encoder: Any) -> None:
    inputs = packed_by_upstream(core, encoder, 0)
    batch = core.collate([item(encoder, 0)])
    ids = inputs["text_tokens"][0]
    assert torch.equal(batch.ids_T, ids[: len(batch.ids_T)].long()), (
        "103, the reference, 104, the text, 101, speech"
    )
    assert len(ids) == len(batch.ids_T) + 2, (
        "the last position and upstream's closing 102, which nothing sees, are not fed"
    )
    head = int((ids == losses.REFERENCE_END).nonzero()) + 1
    assert head > 2 and int(ids[0]) == losses.REFERENCE_START
    wanted = inputs["loss_mask"][0].nonzero().flatten()
    assert int(wanted[0]) > head and torch.equal(batch.predicts_at_A + 1, wanted), (
        "only speech behind the text"
    )
    assert torch.equal(batch.target_APD, inputs["audio_feats"][0][wanted])


def test_a_loss_does_not_see_what_the_prefix_would_have_been(core: Any, encoder: Any) -> None:
    """The targets are the clip's alone: with another reference of the same length their number and values stay."""
    plain = item(encoder, 0)
    other = replace(plain, tensors={**plain.tensors, "reference": plain.tensors["reference"].flip(0)})
    first, second = (core.collate([one]) for one in (plain, other))
    assert torch.equal(first.target_APD, second.target_APD) and torch.equal(first.stop_A, second.stop_A)
    assert not torch.equal(first.fed_FPD, second.fed_FPD)


def test_families_whose_upstream_does_not_train_so_refuse_it_by_name() -> None:
    able = [name for name in families.TABLE if families.spec(name).trains_with_references]
    assert able == ["voxcpm2"]
    known = params.load()
    one = known.recipes["mini-lora"]
    asked = replace(one, train=replace(one.train, reference_share=0.4))
    for name in families.TABLE:
        said = [
            line
            for line in checks.of_family("recipes.x", asked, families.spec(name))
            if "reference_share" in line
        ]
        if name in able:
            assert said == []
        else:
            assert said == [
                f"recipes.x.train.reference_share = 0.4: upstream does not train {families.spec(name).id} with references, only voxcpm2; set it to 0.0"
            ]
        assert not [
            line
            for line in checks.of_family("recipes.x", one, families.spec(name))
            if "reference_share" in line
        ]


def test_the_share_is_a_share(tmp_path: Path) -> None:
    text = Path("params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("reference_share: 0.0", "reference_share: 1.5", 1))
    with pytest.raises(Exception, match=r"recipes.mini-lora.train.reference_share = 1.5"):
        params.load(tmp_path / "params.yaml")
    assert schema.Train.__dataclass_fields__["reference_share"].default == 0.0

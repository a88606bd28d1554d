"""A base that hears a clip first, in each way that upstream has: its own losses, and its own speech to the byte."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.factories import audio, training
from tests.families.voxcpm import upstream_voxcpm as upstream
from voicelathe import families
from voicelathe.config import schema
from voicelathe.data.audio import waveform
from voicelathe.families.base import ClipItem, Prompt
from voicelathe.families.shared import seeding
from voicelathe.families.voxcpm import prompting

WAYS = [
    ("voxcpm2", "continuation"),
    ("voxcpm2", "both"),
    ("voxcpm2", "reference"),
    ("voxcpm15", "continuation"),
]
SAID, TEXT = "It rains.", "The lamp is on."


def opened(role: str, name: str, base: Path) -> Any:
    family = families.find(name)
    facts = family.describe(base, "Apache-2.0", False)
    return getattr(family, f"open_{role}")(base, facts, training.target().machine)


@pytest.fixture(params=WAYS, ids=lambda one: f"{one[0]}-{one[1]}")
def asked(request: pytest.FixtureRequest) -> tuple[str, schema.Way, Path]:
    name, way = request.param
    base = training.BASE if name == "voxcpm2" else request.getfixturevalue("voxcpm15_dir")
    return name, way, base


def encoded(name: str, base: Path) -> tuple[ClipItem, ClipItem]:
    """A clip, and the one that stands in front of it."""
    encoder = opened("encoder", name, base)
    rate = encoder.facts.encode_rate_hz
    clip, before = encoder.encode([audio.speech(1.1, 0, rate), audio.speech(0.7, 5, rate)])
    return ClipItem("c", TEXT, "en", "lark", clip), ClipItem("before", SAID, "en", "lark", before)


def by_upstream(core: Any, clip: ClipItem, before: ClipItem, way: schema.Way) -> dict[str, Tensor]:
    """The sequence that upstream generates behind, with the clip as what was generated; only that carries a loss."""
    heard, own = before.tensors["latents"], clip.tensors["latents"]
    text = TEXT if way == "reference" else f"{SAID} {TEXT}"
    ids = torch.tensor(core.text_tokenizer(text))
    sound = own if way == "reference" else torch.cat([heard, own])
    made = upstream.sequence(ids, sound, None if way == "continuation" else heard)
    at = made["loss_mask"][0].nonzero().flatten()
    made["loss_mask"][0, at[: len(sound) - len(own)]] = 0.0
    return made


def test_losses_behind_a_prompt_equal_upstream_s_forward(asked: tuple[str, schema.Way, Path]) -> None:
    name, way, base = asked
    clip, before = encoded(name, base)
    model, family = opened("model", name, base), families.find(name)
    model.core.train()  # upstream returns no losses otherwise
    inputs = by_upstream(model.core, clip, before, way)
    theirs = upstream.losses(model.core, inputs, seed=3)
    item = family.prompted(clip, before, way)  # type: ignore[attr-defined]
    ours = model.losses(model.collate([item]), upstream.noise(model.core, inputs, seed=3))
    assert [ours["diff"].item(), ours["stop"].item()] == pytest.approx(
        [one.item() for one in theirs], abs=1e-6
    )


def test_speech_behind_a_prompt_is_what_upstream_s_own_generate_says(
    asked: tuple[str, schema.Way, Path], tmp_path: Path
) -> None:
    """`voxcpm.VoxCPM.generate` is what a user calls. VoxCPM 1.5 would give the end of the prompt back from its model's `generate`."""
    from voxcpm import VoxCPM

    name, way, base = asked
    voice = opened("voice", name, base)
    path, rate = tmp_path / "prompt.wav", voice.facts.encode_rate_hz
    waveform.write_wav(path, audio.speech(0.7, 5, rate), rate)
    spoken = voice.synthesize_prompted(TEXT, "en", 7, 1.0, training.DECODING, Prompt(way, path, SAID))
    outer = VoxCPM.__new__(VoxCPM)
    outer.tts_model, outer.denoiser, outer.text_normalizer = voice.core, None, None
    heard = {} if way == "reference" else {"prompt_wav_path": str(path), "prompt_text": f"{SAID} "}
    heard |= {} if way == "continuation" else {"reference_wav_path": str(path)}
    limit = round(voice.facts.positions_per_s)
    with seeding.of(7):
        theirs = outer.generate(TEXT, max_len=limit, retry_badcase=False, **heard)
    assert np.array_equal(spoken.samples, theirs.reshape(-1))
    assert len(spoken.samples) <= voice.facts.speak_rate_hz * limit / voice.facts.positions_per_s


def test_each_way_of_hearing_the_same_clip_says_something_else(tmp_path: Path) -> None:
    voice, family = opened("voice", "voxcpm2", training.BASE), families.find("voxcpm2")
    path, rate = tmp_path / "prompt.wav", voice.facts.encode_rate_hz
    waveform.write_wav(path, audio.speech(0.7, 5, rate), rate)
    said = {
        way: voice.synthesize_prompted(
            TEXT, "en", 7, 1.0, training.DECODING, Prompt(way, path, SAID)
        ).samples.tobytes()
        for way in family.spec.zero_shot
    }
    assert set(said) == {"reference", "both", "continuation"} and len(set(said.values())) == 3


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("It rains.", "It rains. The lamp is on."),
        (" It rains.\n", "It rains. The lamp is on."),
        ("下雨了。", "下雨了。The lamp is on."),
        ("雨です", "雨ですThe lamp is on."),
        ("他说“好”", "他说“好”The lamp is on."),
        ("下雨了…", "下雨了…The lamp is on."),
        ("비가 온다", "비가 온다 The lamp is on."),
        ("비가 온다.", "비가 온다. The lamp is on."),
        ("", "The lamp is on."),
    ],
)
def test_a_space_stands_between_prompt_and_text_where_the_script_has_one(said: str, text: str) -> None:
    assert prompting.continued(said, TEXT) == text


@pytest.mark.parametrize("way", ["continuation", "both"])
def test_the_words_of_a_prompt_and_its_sound_count_towards_what_fits(tmp_path: Path, way: schema.Way) -> None:
    """Upstream would die of a cache that is too small, in the middle of a line."""
    from voicelathe.errors import RequestError

    voice = opened("voice", "voxcpm2", training.BASE)
    path, rate = tmp_path / "prompt.wav", voice.facts.encode_rate_hz
    waveform.write_wav(path, audio.speech(1.0, 5, rate), rate)
    sound = int(np.ceil(voice.facts.positions_per_s)) * (2 if way == "both" else 1)
    said = " ".join(["go"] * 60)
    words = len(voice.core.text_tokenizer(f"{said} {TEXT}")) - len(voice.core.text_tokenizer(TEXT))
    with pytest.raises(RequestError, match=rf"the reference {words + sound},"):
        voice.synthesize_prompted(
            " ".join([TEXT] * 400), "en", 1, 9.0, training.DECODING, Prompt(way, path, said)
        )

"""The built vocoder undoes the latents; training goes on where it was killed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pretrain import controls, design, encoder, features, latents, loop, rows, vocoder, warm
from tests.factories import audio
from voicelathe.families.base import ClipItem


def vowel(seconds: float = 1.0) -> features.Array:
    """A pulse train at 100 Hz with two formants that move, then noise: something voiced and something not."""
    rng = np.random.default_rng(1)
    time_s = np.arange(int(seconds * 16_000)) / 16_000
    out = np.zeros_like(time_s)
    for harmonic in range(1, 40):
        hertz = 100.0 * harmonic
        gain = sum(np.exp(-(((hertz - f) / 250) ** 2)) for f in (500 + 300 * time_s, 1800 - 500 * time_s))
        out += gain * np.cos(2 * np.pi * hertz * time_s)
    out[len(out) * 3 // 4 :] = rng.normal(size=len(out) - len(out) * 3 // 4) * 0.5
    return (0.1 * out).astype(np.float32)


@pytest.fixture(scope="module")
def basis() -> dict[str, features.Array]:
    frames = features.stacked(features.frames(vowel(4.0))[0])
    return features.fit([frames + np.random.default_rng(2).normal(0, 0.02, frames.shape).astype(np.float32)])


@pytest.fixture(scope="module")
def vae(basis: dict[str, features.Array]) -> Any:
    return vocoder.build(basis).eval()


def test_the_same_state_gives_the_same_codec_whatever_was_drawn_before(
    basis: dict[str, features.Array], tmp_path: Path
) -> None:
    np.savez(tmp_path / "basis.npz", **basis)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(encoder.codec(tmp_path))
    assert all(torch.equal(tensor, found[1][name]) for name, tensor in found[0].items())


def test_latents_carry_nearly_all_of_the_envelope(basis: dict[str, features.Array]) -> None:
    wanted = features.stacked(features.frames(vowel())[0])
    back = features.stacks_of(features.latents(vowel(), basis), basis)
    assert ((back - wanted) ** 2).sum() < 0.03 * ((wanted - wanted.mean(0)) ** 2).sum()


def test_the_built_decoder_gives_back_the_envelope_of_what_was_encoded(
    basis: dict[str, features.Array], vae: Any
) -> None:
    given = torch.from_numpy(features.latents(vowel(), basis)).T[None]
    torch.manual_seed(1)
    with torch.inference_mode():
        made = vae.decode(given)[0, 0].numpy()
    assert len(made) == given.shape[2] * 640 and np.abs(made).max() < 1.0
    wanted, got = features.frames(vowel())[0], features.frames(made.astype(np.float32))[0]
    late = 1  # frame: what a latent describes is 20 ms old, and the decoder adds 10
    voiced, noise = slice(3, 35), slice(40, 47)
    voiced_bands, noise_bands = slice(0, features.NUM_VOICED), slice(features.NUM_VOICED, None)
    heard = got[voiced.start + late : voiced.stop + late, voiced_bands]
    assert np.corrcoef(wanted[voiced, voiced_bands].ravel(), heard.ravel())[0, 1] > 0.9
    assert heard.mean() == pytest.approx(
        wanted[voiced, voiced_bands].mean(), rel=0.12
    )  # 0.098 with one thread
    softer = (
        0.75 * vocoder.NOISE_GAIN
    ) ** 0.5  # numbers are roots of amplitudes; the filters keep three quarters
    assert got[noise, noise_bands].mean() == pytest.approx(
        softer * wanted[noise, noise_bands].mean(), rel=0.2
    )


@pytest.mark.parametrize("hertz", [75.0, 100.0, 125.0, 150.0, 175.0, 200.0, 225.0])
@pytest.mark.parametrize("off", [-0.3, 0.0, 0.3])
def test_a_pitch_that_is_nearly_said_is_spoken_exactly(
    basis: dict[str, features.Array], vae: Any, hertz: float, off: float
) -> None:
    given = torch.from_numpy(features.latents(vowel(), basis)[:16])
    wanted = features.PITCH_AT + round(hertz / 25) - features.PERIODS[0]
    given[:, features.PITCH_AT : features.PITCH_AT + len(features.PERIODS)] = features.PITCH_GAIN * off
    given[:, wanted] = features.PITCH_GAIN * (1 + off)
    torch.manual_seed(1)
    with torch.inference_mode():
        made = vae.decode(given.T[None])[0, 0].numpy()
    sure, pitch = features.frames(made)[0][:, : features.NUM_VOICED].sum(1) > 5, features.frames(made)[1]
    assert np.exp(np.median(pitch[sure])) == pytest.approx(hertz, rel=0.02)


def test_the_pitch_of_a_latent_is_a_whole_number_of_periods() -> None:
    pitch = np.log(np.repeat([70.0, 102.0, 113.0, 127.0, 171.0, 300.0], features.FRAMES)).astype(np.float32)
    assert [features.PERIODS[at] * 25 for at in features.periods(pitch)] == [75, 100, 125, 125, 175, 225]


def test_a_noise_band_keeps_to_itself() -> None:
    taps = vocoder.noise_filters()
    angle = np.pi * (np.arange(8) + 0.5) / 8  # the middle of every band
    response = np.ones((8, 8))
    for number, dilation in enumerate((1, 3, 9, 1)):
        waves = np.exp(-1j * angle[:, None] * dilation * np.arange(6, -1, -1))
        response *= np.abs(taps[:, number].numpy() @ waves.T)
    assert response.diagonal().min() > 0.7
    assert (response - np.diag(response.diagonal())).max() < 0.2


def test_the_phone_of_a_latent_is_the_one_in_its_middle() -> None:
    phones = [["pau", 0.05], ["ah", 0.1], ["t", 0.3]]
    assert latents.labels(phones, 4, ["ah", "pau", "t"]).tolist() == [1, 0, 0, 2]


def test_training_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    def run(file: Path, stops: list[float]) -> torch.Tensor:
        for minutes in stops:
            torch.manual_seed(3)
            layer = nn.Linear(4, 1)

            def losses(step: int, layer: nn.Linear = layer) -> dict[str, torch.Tensor]:
                given = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
                return {"error": (layer(given) - given.sum(1, keepdim=True)).pow(2).mean()}

            plan = loop.Plan(30, minutes, rate=0.05, warmup=5, weight_decay=0.0, weights={"error": 1.0})
            done = loop.train(file, {"layer": layer}, plan, losses)
        assert done
        return layer.weight.detach()

    whole = run(tmp_path / "whole.safetensors", [1.0])
    pieces = run(tmp_path / "pieces.safetensors", [0.0] * 29 + [1.0])  # no minutes: one step a call
    assert torch.equal(whole, pieces)
    steps = [line for line in (tmp_path / "pieces.jsonl").read_text().splitlines() if '"step": 25' in line]
    assert len(steps) == 1


def exported(basis: dict[str, features.Array]) -> tuple[Any, Any]:
    """A codec, and the encoder, not as it is built, that was written into it."""
    vae, trained = vocoder.build(basis).eval(), encoder.trainable(vocoder.build(basis).encoder).eval()
    torch.manual_seed(5)
    with torch.no_grad():
        conv = trained.block[1].conv
        conv.weight.add_(conv.weight.std() * torch.randn(conv.weight.shape))
        conv.bias.normal_()
        encoder.exported(trained, vae.encoder)
    return vae, trained


def test_the_encoder_that_was_trained_is_what_upstreams_modules_compute(
    basis: dict[str, features.Array],
) -> None:
    vae, trained = exported(basis)
    with torch.no_grad():
        audio = torch.from_numpy(vowel())[None, None]
        wanted, got = trained(audio)["mu"], vae.encode(audio, 16_000)
    assert wanted.shape == (1, design.LATENT, 25) and float(wanted.std()) > 0.01
    assert float((got - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())


def test_a_model_of_other_latents_says_the_same_once_it_is_translated() -> None:
    torch.manual_seed(7)
    turn, shift = torch.linalg.qr(torch.randn(64, 64))[0] * 1.5, torch.randn(64)
    now = torch.randn(4000, 64)
    then = now @ turn.T + shift
    names = [*warm.READS, warm.WRITES]
    tensors = {f"{name}.weight": torch.randn((16, 64) if name in warm.READS else (64, 16)) for name in names}
    tensors |= {f"{name}.bias": torch.randn(16 if name in warm.READS else 64) for name in names}
    made = warm.translate({**tensors, "base_lm.norm.weight": torch.ones(3)}, now, then)
    assert torch.equal(made["base_lm.norm.weight"], torch.ones(3))
    for name in warm.READS:
        before = then[:50] @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
        after = now[:50] @ made[f"{name}.weight"].T + made[f"{name}.bias"]
        assert torch.allclose(before, after, atol=0.1)
    hidden = torch.randn(50, 16)
    said = hidden @ tensors[f"{warm.WRITES}.weight"].T + tensors[f"{warm.WRITES}.bias"]
    told = hidden @ made[f"{warm.WRITES}.weight"].T + made[f"{warm.WRITES}.bias"]
    assert torch.allclose((said - shift) @ torch.linalg.inv(turn).T, told, atol=0.1)


def test_the_rate_goes_down_once_in_every_round() -> None:
    plan = loop.Plan(100, 1.0, rate=1.0, warmup=2, weight_decay=0.0, weights={}, ends=(40, 70, 200))
    rates = [plan.rate_at(step) for step in range(1, 101)]
    assert rates[1] > 0.9 and rates[39] == pytest.approx(0.02)
    assert rates[41] == pytest.approx(2 / 3 * (1 - 2 / 30)) and rates[69] == pytest.approx(2 / 3 * 0.02)
    assert rates[71] > 0.6 and rates[99] == pytest.approx(2 / 3 * 0.02)
    alone = loop.Plan(10, 1.0, rate=1.0, warmup=1, weight_decay=0.0, weights={})
    assert [alone.rate_at(step) for step in (1, 5, 10)] == pytest.approx([0.9, 0.5, 0.02])


def test_the_last_round_mixes_voices_and_half_of_it_has_no_reference() -> None:
    def clip(number: int, voice: str) -> rows.Clip:
        latents = torch.full((8, 4, 64), float(number))
        item = ClipItem(str(number), "The lamp is on.", "en", voice, {"latents": latents})
        return rows.Clip(item, voice, torch.zeros(8, 4), torch.zeros(8, 3))

    clips = [clip(number, voice) for number, voice in enumerate(["rms", "slt/0", "slt/1", "awb/0"] * 3)]
    drawn = [one for step in range(60) for one in rows.of_many(clips, step)]
    many = [one for one in drawn if "/" in one.voice]
    behind = [one for one in drawn if "reference" in one.item.tensors]
    assert abs(len(many) / len(drawn) - rows.MANY) < 0.05
    assert abs(len(behind) / len(drawn) - rows.MANY_REFERENCED) < 0.05
    for one in behind:
        other = clips[int(one.item.tensors["reference"][0, 0, 0])]
        assert other.voice == one.voice and other.item.clip_id != one.item.clip_id
    again = [one.item.clip_id for one in rows.of_many(clips, 7)]
    assert again == [one.item.clip_id for one in rows.of_many(clips, 7)]


def test_a_crop_that_was_opus_is_the_same_speech() -> None:
    crop = audio.speech(1.44)[: encoder.CROP].astype(np.float32)
    heard = encoder.opus(crop, 0.9)
    assert heard.shape == crop.shape and not np.array_equal(heard, crop)
    assert np.corrcoef(heard, crop)[0, 1] > 0.9


@pytest.mark.slow
def test_an_encoder_goes_on_from_a_base_whose_latents_mean_the_same(
    tmp_path: Path, basis: dict[str, features.Array]
) -> None:
    vae, trained = exported(basis)
    with torch.no_grad():
        halved = {name: one.to(torch.bfloat16).contiguous() for name, one in vae.state_dict().items()}
        save_file(halved, tmp_path / "audiovae.safetensors")
        again = encoder.trainable(warm.encoder_of(basis, tmp_path), goes_on=True).eval()
        audio = torch.from_numpy(vowel())[None, None]
        wanted, got = trained(audio)["mu"], again(audio)["mu"]
    assert float((got - wanted).abs().max()) < 0.05 * float(wanted.abs().max())  # bf16
    assert not warm.means_the_same(basis, {"decoder.other": torch.zeros(3)})
    other = {**basis, "directions": np.roll(basis["directions"], 1, axis=0)}
    with pytest.raises(SystemExit, match="its latents are not those of basis"):
        warm.encoder_of(other, tmp_path)


def test_a_control_is_in_front_of_the_text_and_no_sound_is_of_it() -> None:
    from transformers import LlamaTokenizerFast

    tokenizer = LlamaTokenizerFast.from_pretrained("data/bases/voxcpm2-mini")
    text = "It rains."
    length = len(tokenizer.tokenize(text))
    item = ClipItem("a", text, "en", "rms/1", {"latents": torch.zeros(3, 4, 64)})
    plain = rows.Clip(item, "rms/1", torch.zeros(3, 4, dtype=torch.long), torch.eye(3, length))
    told = controls.with_control(plain, "slow", tokenizer)
    assert told.item.text == "(slow)It rains." and told.shares_AL.shape == (
        3,
        len(tokenizer.tokenize(told.item.text)),
    )
    assert torch.equal(told.shares_AL[:, -length:], plain.shares_AL)
    assert not told.shares_AL[:, :-length].any() and told.shares_AL.shape[1] > length


def test_slow_clips_are_planned_longer_than_fast_ones_and_each_kind_is_there() -> None:
    stretches: dict[str, list[float]] = {}
    for line, control in controls.plan(90, 1, ["rms"]):
        stretches.setdefault(control, []).append(line.stretch)
    assert min(stretches["slow"]) > 1.12 >= max(stretches[""]) and min(stretches[""]) > 0.9 * max(
        stretches["fast"]
    )
    assert all(len(some) > 15 for some in stretches.values())

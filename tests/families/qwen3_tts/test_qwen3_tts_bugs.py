"""What is wrong in the fine-tuning code that is published for Qwen3-TTS, one test a bug: the wrong variant is computed and differs.

Sources: QwenLM/Qwen3-TTS finetuning/sft_12hz.py and qwen-tts 0.1.1; the numbers are of issues and pull requests there.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.factories import qwen_base
from tests.families.qwen3_tts import upstream_qwen3_tts as upstream
from voicelathe import families

FAMILY = families.find("qwen3_tts")
ITEM = upstream.clip(1, 9, "The lamp is on.")
CODES = ITEM.tensors["codes"].long()
END = 2150
Load = Callable[..., Any]


def prepared(load: Load, directory: Path | None = None) -> Any:
    """Heads thirty times as steep as random ones, so that wrong variants are far from right ones."""
    model = load() if directory is None else load(directory=directory)
    with torch.no_grad():
        for head in (model.core.talker.codec_head, *model.core.talker.code_predictor.lm_head):
            head.weight *= 30
    model.prepare([ITEM])
    return model


@torch.no_grad()
def ours(model: Any) -> dict[str, float]:
    losses = model.losses(model.collate([ITEM]), None)
    return {name: float(values[0]) for name, values in losses.items()}


@torch.no_grad()
def theirs(model: Any) -> tuple[Tensor, Tensor, int]:
    logits, hidden, before = upstream.forward(model, ITEM, model.voices["awb"], "english")
    return logits, hidden, int(before)


def perfect(targets: Tensor, codes: int) -> Tensor:
    return torch.full((*targets.shape, codes), -20.0).scatter_(-1, targets[..., None], 20.0)


def test_double_label_shift_learns_the_frame_after_the_next(qwen: Load) -> None:
    """#179, PR#178, PR#278, #371: inputs and labels are sliced by one, then ForCausalLMLoss shifts by one more."""
    model = prepared(qwen)
    logits, _, before = theirs(model)
    labels = torch.full((len(logits) + 1,), -100)
    labels[before : before + len(CODES)], labels[-1] = CODES[:, 0], END
    shift = model.core.talker.loss_function
    wrong = float(shift(logits=logits[None], labels=labels[None, 1:], vocab_size=3072))
    two_ahead = F.cross_entropy(logits[before - 2 : -1], labels[before:])
    assert wrong == pytest.approx(float(two_ahead), abs=1e-4)
    assert abs(wrong - ours(model)["codec0"]) > 0.1
    certain = perfect(labels[1:].clamp_min(0), 3072)  # certain of exactly the next code
    assert float(shift(logits=certain[None], labels=labels[None, 1:], vocab_size=3072)) > 30
    right = F.cross_entropy(certain[before - 1 :], labels[before:])
    assert float(right) <= 1e-4


def test_sub_talker_shift_trains_each_head_on_the_codebook_after_its_own(qwen: Load) -> None:
    """`forward_sub_talker_finetune` hands aligned labels to a loss that shifts: the last codebook is never learnt."""
    model = prepared(qwen)
    _, hidden, before = theirs(model)
    with torch.no_grad():
        logits, wrong = model.core.talker.forward_sub_talker_finetune(CODES, hidden[before - 1 : -1])
    next_codebook = F.cross_entropy(logits[:, :-1].flatten(0, 1), CODES[:, 2:].flatten())
    aligned = F.cross_entropy(logits.flatten(0, 1), CODES[:, 1:].flatten())
    assert float(wrong) == pytest.approx(float(next_codebook), abs=1e-4)
    assert ours(model)["sub_talker"] == pytest.approx(float(aligned), abs=1e-4)
    assert abs(float(wrong) - float(aligned)) > 0.01
    shift = model.core.talker.code_predictor.loss_function
    certain = perfect(CODES[:, 1:], 2048)
    assert float(shift(logits=certain, labels=CODES[:, 1:], vocab_size=2048)) > 30


def test_leaked_hidden_state_would_show_the_predictor_the_frame_it_predicts(qwen: Load) -> None:
    """Commit 022e286 takes the state at the frame itself; the state before it is what generation has (`past_hidden`)."""
    from voicelathe.families.qwen3_tts import losses as packed

    model = prepared(qwen)
    other = CODES.clone()
    other[5, 15] = (
        other[5, 15] + 1
    ) % 2048  # the last codebook of frame 5: nothing before frame 5 can know it
    changed = upstream.ClipItem(ITEM.clip_id, ITEM.text, "en", "awb", {**ITEM.tensors, "codes": other})

    def states(item: Any) -> tuple[Tensor, Tensor]:
        pack = model.collate([item])
        with torch.no_grad():
            hidden = packed._talker(
                model.core.talker.model, packed.embedded(model.core.talker, pack), pack, False
            )
        return hidden[pack.predicts_at_N[pack.frame_of_F]], hidden[pack.frame_at_F]

    (right, leaked), (right_changed, leaked_changed) = states(ITEM), states(changed)
    assert torch.equal(right[5], right_changed[5])
    assert float((leaked[5] - leaked_changed[5]).abs().max()) > 1e-4
    with torch.no_grad():
        wrong, _ = model.core.talker.forward_sub_talker_finetune(CODES, leaked)
    loss = float(F.cross_entropy(wrong.flatten(0, 1), CODES[:, 1:].flatten()))
    assert abs(loss - ours(model)["sub_talker"]) > 1e-3


def test_missing_text_projection_crashes_a_small_model_and_is_silently_wrong_in_a_large_one(
    qwen: Load, tmp_path: Path
) -> None:
    """PR#188, #39, #120, #198: text and model width differ in the 0.6B and are equal in the 1.7B."""

    def unprojected(model: Any) -> float:
        talker, projection = model.core.talker, model.core.talker.text_projection
        talker.text_projection = torch.nn.Identity()
        try:
            return ours(model)["codec0"]
        finally:
            talker.text_projection = projection

    with pytest.raises(RuntimeError, match="size"):
        unprojected(prepared(qwen))
    equal = prepared(qwen, qwen_base.write(tmp_path / "equal", text_hidden_size=qwen_base.HIDDEN))
    right, wrong = ours(equal)["codec0"], unprojected(equal)
    assert abs(right - wrong) > 0.01
    logits, _, before = theirs(equal)
    wanted = F.cross_entropy(logits[before - 1 :], torch.cat([CODES[:, 0], torch.tensor([END])]))
    assert right == pytest.approx(float(wanted), abs=1e-4)


@pytest.fixture(scope="module")
def exported(qwen_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A full checkpoint of an untrained model whose speaker was called Bea: a directory as the training loop writes it."""
    from tests.factories.training import train_settings
    from tests.families.conftest import CPU
    from voicelathe.train import saving

    model = FAMILY.open_model(qwen_dir, FAMILY.describe(qwen_dir, "", False), CPU)
    model.prepare([upstream.clip(1, 9, "The lamp is on.", speaker="Bea")])
    contents = saving.weights(model, train_settings("full"))
    return saving.put(tmp_path_factory.mktemp("full") / "step_0000001", contents, {"step": 1})


def speak(directory: Path, speaker: str) -> Tensor:
    from qwen_tts import Qwen3TTSModel

    opened = Qwen3TTSModel.from_pretrained(str(directory), dtype=torch.float32, attn_implementation="sdpa")
    torch.manual_seed(0)
    (samples,), rate = opened.generate_custom_voice(
        text="hello there", speaker=speaker, language="english", max_new_tokens=6
    )
    assert rate == 24000
    return torch.from_numpy(samples)


def test_upper_case_speaker_cannot_speak_and_ours_is_registered_in_lower_case(
    exported: Path, tmp_path: Path
) -> None:
    """`generate` looks `speaker.lower()` up in a table that holds the name as it was registered."""
    config = json.loads((exported / "config.json").read_text())
    assert config["talker_config"]["spk_id"] == {"bea": 3000}
    assert len(speak(exported, "Bea")) > 0 and torch.equal(speak(exported, "Bea"), speak(exported, "bea"))
    wrong = shutil.copytree(exported, tmp_path / "wrong")
    config["talker_config"] |= {"spk_id": {"Bea": 3000}, "spk_is_dialect": {"Bea": False}}
    (wrong / "config.json").unlink()
    (wrong / "config.json").write_text(json.dumps(config))
    with pytest.raises(NotImplementedError, match="Bea"):
        speak(wrong, "Bea")


def test_save_pretrained_cannot_be_reloaded_and_ours_is_opened_by_the_official_loader(
    qwen_dir: Path, exported: Path, tmp_path: Path
) -> None:
    """Transformers compares nested settings with defaults that upstream's classes do not have, or refuses them when it reads."""
    from qwen_tts import Qwen3TTSModel

    opened = Qwen3TTSModel.from_pretrained(str(qwen_dir), dtype=torch.float32)
    shutil.copytree(qwen_dir, tmp_path / "saved")
    with pytest.raises((KeyError, TypeError, ValueError)):
        opened.model.save_pretrained(tmp_path / "saved")
        Qwen3TTSModel.from_pretrained(str(tmp_path / "saved"), dtype=torch.float32)
    again = Qwen3TTSModel.from_pretrained(str(exported), dtype=torch.float32)
    assert list(again.get_supported_speakers()) == ["bea"]


def test_averaging_speakers_in_bf16_loses_digits_and_ours_is_the_fp32_mean(qwen: Load) -> None:
    """vspeech/Qwen3-TTS-Train #3."""
    model = qwen()
    items = [upstream.clip(number, 3, "a") for number in range(50)]
    vectors = torch.cat([item.tensors["speaker"] for item in items])
    model.prepare(items)
    exact = vectors.double().mean(0)
    assert float((model.voices["awb"] - exact).abs().max()) < 1e-6
    coarse = torch.zeros(vectors.shape[1], dtype=torch.bfloat16)
    for vector in vectors.to(torch.bfloat16):
        coarse += vector
    assert float((coarse / 50 - exact).abs().max()) > 1e-3


def test_padding_a_batch_changes_the_codes_and_ours_are_encoded_one_by_one(qwen: Load) -> None:
    """The codec is not causal at the end of a clip; upstream's prepare_data.py encodes in padded batches of 32."""
    from tests.factories import audio

    encoder = qwen("encoder")
    short, long = audio.speech(2.03, 1, 24000), audio.speech(3.1, 2, 24000)
    alone = encoder.codec.encode([short], sr=24000).audio_codes[0]
    padded = encoder.codec.encode([short, long], sr=24000).audio_codes[0]
    assert int((alone != padded).sum()) > 0
    (ours_alone,) = encoder.encode([short])
    ours_beside, _ = encoder.encode([short, long])
    assert torch.equal(ours_alone["codes"], ours_beside["codes"])
    assert torch.equal(ours_alone["codes"].long(), alone)

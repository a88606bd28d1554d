"""Qwen3-TTS as upstream itself runs it, clip by clip: its prompt from its own generation, its own forward, every shift done once.

The prompt is caught where `generate` hands it to the talker, so the layout that training must follow is not written down twice.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from voicelathe.families.base import ClipItem


class _Caught(Exception):
    pass


def clip(
    number: int, frames: int, text: str, language: str = "en", speaker: str = "awb", width: int = 64
) -> ClipItem:
    generator = torch.Generator().manual_seed(number)
    codes = torch.randint(0, 2048, (frames, 16), generator=generator).to(torch.int16)
    vector = torch.randn((1, width), generator=generator)
    return ClipItem(f"clip{number}", text, language, speaker, {"codes": codes, "speaker": vector})


def clips() -> list[ClipItem]:
    """Lengths, languages and speakers that differ."""
    return [
        clip(1, 9, "The lamp is on."),
        clip(2, 1, "Yes.", language="zh"),
        clip(3, 17, "Nobody speaks of rain in this small town.", language="auto", speaker="Bea"),
        clip(4, 6, "a"),
    ]


def prompt(loaded: Any, item: ClipItem, voice: Tensor, language: str) -> Tensor:
    """[1, T, C]: everything in front of the first frame, with gradients."""

    def catch(**given: Any) -> None:
        raise _Caught(given["inputs_embeds"])

    model, tts = loaded.core, loaded.tts
    ids = tts._tokenize_texts([tts._build_assistant_text(item.text)])
    speaker = {
        "ref_code": [None],
        "ref_spk_embedding": [voice],
        "x_vector_only_mode": [True],
        "icl_mode": [False],
    }
    model.talker.generate = catch
    try:
        # __wrapped__: without the no_grad around it
        type(model).generate.__wrapped__(
            model, input_ids=ids, voice_clone_prompt=speaker, languages=[language], non_streaming_mode=True
        )
    except _Caught as caught:
        embedded: Tensor = caught.args[0]
        return embedded
    finally:
        del model.talker.generate
    raise AssertionError("generation did not reach the talker")


def frames(model: Any, codes_FG: Tensor) -> Tensor:
    """[1, F, C]: what generation feeds for each frame, the pad of the text channel included."""
    talker, config = model.core.talker, model.core.config
    tables = [talker.get_input_embeddings(), *talker.code_predictor.get_input_embeddings()]
    summed = sum(table(codes_FG[:, group]) for group, table in enumerate(tables))
    pad = talker.text_projection(talker.get_text_embeddings()(torch.tensor([[config.tts_pad_token_id]])))
    return summed[None] + pad


def forward(model: Any, item: ClipItem, voice: Tensor, language: str) -> tuple[Tensor, Tensor, Tensor]:
    """Upstream's logits [T, V] and hidden states [T, C] over the whole clip, and the number of positions before the frames."""
    before = prompt(model, item, voice, language)
    codes = item.tensors["codes"].long()
    inputs = torch.cat([before, frames(model, codes)], dim=1)
    mask = torch.ones(inputs.shape[:2], dtype=torch.long)
    out = model.core.talker(
        inputs_embeds=inputs, attention_mask=mask, use_cache=False, output_hidden_states=True
    )
    return out.logits[0], out.hidden_states[0][-1][0], torch.tensor(before.shape[1])


def losses(model: Any, item: ClipItem, voice: Tensor, language: str) -> dict[str, Tensor]:
    """The three losses of one clip."""
    logits, hidden, before = forward(model, item, voice, language)
    start, codes = int(before), item.tensors["codes"].long()
    end = torch.tensor([model.core.config.talker_config.codec_eos_token_id])
    targets = torch.cat([codes[:, 0], end])
    code0 = F.cross_entropy(logits[start - 1 :], targets, reduction="none")
    rest, _ = model.core.talker.forward_sub_talker_finetune(codes, hidden[start - 1 : -1])
    return {
        "codec0": code0.mean(),
        "codec0_eos": code0[-1],
        "sub_talker": F.cross_entropy(rest.flatten(0, 1), codes[:, 1:].flatten()),
    }

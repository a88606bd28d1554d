"""Features and speech by upstream's own IndexTTS 2.5, in the interpreter of IndexTTS2. NOT VERIFIED, for the same reasons (synthesis.py)."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.families.indextts2 import multilingual, synthesis
from voicelathe.families.indextts2.editions import TWO_FIVE
from voicelathe.families.indextts2.files import CACHE, CONFIG, SPEAK_HZ
from voicelathe.families.indextts2.synthesis import HEAR_HZ, IndexTTS2Encoder, IndexTTS2Voice
from voicelathe.families.shared import torchaudio_shim

if TYPE_CHECKING:
    import numpy as np
    import torch

WANTED = ("w2v_bert", "campplus", "bigvgan")  # of the models that upstream fetches
OPENED = "opened"  # below DIR-upstream


def open_upstream(base: Path, device: "torch.device") -> Any:
    """Upstream's whole model. Raises FamilyUnavailable in an interpreter without its code."""
    opened = torchaudio_shim.upstream(
        "indextts.infer_v2_5", "IndexTTS2", "IndexTTS 2.5 hears and speaks", "indextts2", device
    )
    place = linked(base)
    return opened(
        cfg_path=str(place / CONFIG),
        model_dir=str(place),
        use_bf16=False,
        use_cuda_kernel=False,
        device=str(device),
        use_qwen_emo=False,  # describes emotions in words, which nobody asks here
    )


def linked(base: Path) -> Path:
    """A directory of links to the base's files and to the models beside it: upstream looks for all in one, and would write into the base.

    Raises FamilyUnavailable naming the models that are missing and the command that fetches them.
    """
    synthesis.other_models(base, WANTED)
    beside = base.with_name(f"{base.name}-upstream")
    place = beside / OPENED
    place.mkdir(exist_ok=True)
    for target in (*sorted(base.iterdir()), beside / CACHE):
        link = place / target.name
        if not link.exists() or not link.samefile(target):
            fresh = place / f".{target.name}.{os.getpid()}"  # two workers may come at once
            fresh.symlink_to(target.resolve())
            fresh.replace(link)
    return place


def features(upstream: Any, samples: "np.ndarray[Any, Any]") -> "dict[str, torch.Tensor]":
    """Of one clip: speech codes [A] (int16), the speaker's vector [1, S] (fp32) and the emotion [1, C] (fp16)."""
    import soxr
    import torch

    with torch.no_grad():
        heard = soxr.resample(samples, SPEAK_HZ, HEAR_HZ)
        before = synthesis.prompt(heard)
        whole = synthesis.states(upstream, heard)
        codes, _ = upstream.semantic_codec.quantize(whole)
        told = whole if len(before) == len(heard) else synthesis.states(upstream, before)
        emotion = upstream.gpt.get_emovec(told, torch.tensor([told.shape[1]], device=told.device))
        mels_FM = torchaudio_shim.campplus_banks(before, HEAR_HZ)
        speaker = upstream.campplus_model(mels_FM[None].to(upstream.device))
    return {
        "codes": codes.reshape(-1).to(torch.int16).cpu().contiguous(),
        "speaker": speaker.reshape(1, -1).float().cpu().contiguous(),
        "emotion": emotion.reshape(1, -1).half().cpu().contiguous(),
    }


class IndexTTS25Encoder(IndexTTS2Encoder):
    """Upstream's whole model: its encoders are among what it hears with."""

    features = staticmethod(features)


class IndexTTS25Voice(IndexTTS2Voice):
    """Upstream's whole model; `core` is its GPT."""

    edition = TWO_FIVE

    def _asked(self, language: str) -> tuple[str, ...]:
        """Its own name of the language."""
        return (multilingual.language_of(language),)

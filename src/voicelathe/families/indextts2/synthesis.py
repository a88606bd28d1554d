"""Features and speech by upstream's own IndexTTS2, inside the interpreter that `voicelathe env create indextts2` makes.

Upstream's classes are called from its package; nothing of it is copied (its licence: docs/families/indextts2.md). NOT VERIFIED: the published
weights and the models that upstream fetches beside them could not be had where this was written.
"""

import tempfile
import wave
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe import layout
from voicelathe.errors import FamilyUnavailable, RequestError, listing
from voicelathe.families.base import Spoken
from voicelathe.families.decoding import Decoding, keywords
from voicelathe.families.indextts2.files import CACHE, CONFIG, DECODING, SPEAK_HZ
from voicelathe.families.indextts2.loading import IndexTTS2Core
from voicelathe.families.shared import seeding, torchaudio_shim
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import numpy as np
    import torch

HEAR_HZ = 16000  # of the features
PROMPT_S = 15  # upstream hears no more of the clip in front
OTHER_MODELS = {  # upstream's name of a part -> where its fetching puts it, and the files that must be there
    "w2v_bert": ("w2v-bert-2.0", ("config.json",)),
    "semantic_codec": ("semantic_codec_model.safetensors", ()),
    "campplus": ("campplus_cn_common.bin", ()),
    "bigvgan": ("bigvgan", ("config.json", "bigvgan_generator.pt")),
}


def open_upstream(base: Path, device: "torch.device") -> Any:
    """Upstream's whole model. Raises FamilyUnavailable in an interpreter without its code."""
    opened = torchaudio_shim.upstream(
        "indextts.infer_v2", "IndexTTS2", "IndexTTS2 hears and speaks", "indextts2", device
    )
    return opened(
        cfg_path=str(base / CONFIG),
        model_dir=str(base),
        use_fp16=False,
        use_cuda_kernel=False,
        device=str(device),
        use_qwen_emo=False,  # describes emotions in words, which nobody asks here
        aux_paths=other_models(base),
    )


def other_models(base: Path, wanted: Collection[str] = OTHER_MODELS) -> dict[str, str]:
    """What upstream fetches besides, from DIR-upstream beside the base: left to itself it writes into DIR, whose every byte is pinned.

    Raises FamilyUnavailable naming the files that are missing and the command that fetches them.
    """
    place = base.with_name(f"{base.name}-upstream")
    paths = {name: place / CACHE / OTHER_MODELS[name][0] for name in wanted}
    files = [paths[name] / one for name in wanted for one in OTHER_MODELS[name][1] or (".",)]
    if missing := [str(path.relative_to(place)) for path in files if not path.exists()]:
        python = layout.ENVIRONMENTS / "indextts2" / "venv" / "bin" / "python"
        raise FamilyUnavailable(
            f"IndexTTS2 hears and speaks with further models, of which these are missing in {place}:\n{listing(missing)}\nFetch them once: "
            f"{python} -c 'from indextts.utils.model_download import ensure_models_available; ensure_models_available(\"{place}\")'"
        )
    return {name: str(path) for name, path in paths.items()}


def prompt(heard: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """What upstream would hear of a clip at HEAR_HZ that stands in front."""
    return heard[: PROMPT_S * HEAR_HZ]


def states(upstream: Any, heard: "np.ndarray[Any, Any]") -> "torch.Tensor":
    """What upstream's w2v-bert makes of a mono clip at HEAR_HZ: [1, frames, 1024]."""
    given = upstream.extract_features(heard, sampling_rate=HEAR_HZ, return_tensors="pt")
    given = {name: value.to(upstream.device) for name, value in given.items()}
    found: torch.Tensor = upstream.get_emb(given["input_features"], given["attention_mask"])
    return found


def features(upstream: Any, samples: "np.ndarray[Any, Any]") -> "dict[str, torch.Tensor]":
    """Of one clip: speech codes [A] (int16), the voice's latents [1, L * C] and the emotion [1, C], in half precision."""
    import soxr
    import torch

    with torch.no_grad():
        heard = soxr.resample(samples, SPEAK_HZ, HEAR_HZ)
        whole = states(upstream, heard)
        codes, _ = upstream.semantic_codec.quantize(whole)
        before = whole if len(prompt(heard)) == len(heard) else states(upstream, prompt(heard))
        length = torch.tensor([before.shape[1]], device=before.device)
        condition = upstream.gpt.get_conditioning(before.transpose(1, 2), length)
        emotion = upstream.gpt.get_emovec(before, length)
    return {
        "codes": codes.reshape(-1).to(torch.int16).cpu().contiguous(),
        "condition": condition.reshape(1, -1).half().cpu().contiguous(),
        "emotion": emotion.reshape(1, -1).half().cpu().contiguous(),
    }


@dataclass
class IndexTTS2Encoder:
    """Upstream's whole model: its encoders are among what it hears with."""

    features = staticmethod(features)

    upstream: Any
    facts: BaseFacts
    device: "torch.device"

    def encode(self, samples: "Sequence[np.ndarray[Any, Any]]") -> "Iterator[dict[str, torch.Tensor]]":
        """See `features`, one clip after the other."""
        for one in samples:
            assert one.ndim == 1, "mono"
            yield self.features(self.upstream, one)


@dataclass
class IndexTTS2Voice(IndexTTS2Core):
    """Upstream's whole model; `core` is its GPT."""

    upstream: Any

    def synthesize(
        self, text: str, language: str, seed: int, max_seconds: float, decoding: Decoding
    ) -> Spoken:
        """Upstream's generation in the voice of the main speaker's reference clip. Raises RequestError when none is known."""
        import numpy as np

        voice = next(iter(self.voices.values()), {})
        if "audio" not in voice:
            raise RequestError(
                f"{self.base} has no voice of its own: {self.edition.name} always speaks after a clip, which every checkpoint trained here carries. "
                "Let a checkpoint speak, or promote one."
            )
        limit = max(1, round(max_seconds * self.edition.codes_per_s))
        chosen = seeding.given(seed, self.upstream.infer)
        with seeding.of(seed), tempfile.TemporaryDirectory() as folder:
            prompt, out = Path(folder) / "prompt.wav", Path(folder) / "out.wav"
            _write(prompt, voice["audio"].numpy())
            self.upstream.infer(
                str(prompt),
                text.strip(),
                str(out),
                *self._asked(language),
                max_mel_tokens=limit,
                **keywords(DECODING, decoding),
                **chosen,
            )
            samples = _read(out) if out.is_file() else np.zeros(0, np.float32)
        return Spoken(samples, SPEAK_HZ, len(samples) / SPEAK_HZ * self.edition.codes_per_s < limit)

    def _asked(self, language: str) -> tuple[str, ...]:
        """What upstream wants to know of a language: nothing."""
        return ()


def _write(path: Path, samples: "np.ndarray[Any, Any]") -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEAK_HZ)
        file.writeframes(samples.astype("<i2").tobytes())


def _read(path: Path) -> "np.ndarray[Any, Any]":
    import numpy as np

    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, SPEAK_HZ)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 2**15

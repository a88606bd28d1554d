"""Speech by upstream's own CosyVoice 3, inside the interpreter that `voicelathe env create cosyvoice3` makes; nowhere else can it be imported.

Upstream's settings file builds objects when it is read, so it is read here alone. Two things are put right on the way: the attention
mask of one decoding step, and reading WAV files without torchaudio's own loaders.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MethodType
from typing import TYPE_CHECKING, Any

from voicelathe.families.base import Prompt, Spoken
from voicelathe.families.cosyvoice3.files import DECODING, SPEAK_HZ, TOKENS_PER_S
from voicelathe.families.cosyvoice3.loading import CosyVoice3Core
from voicelathe.families.cosyvoice3.text import INSTRUCTION
from voicelathe.families.decoding import Decoding, keywords
from voicelathe.families.shared import seeding, torchaudio_shim

if TYPE_CHECKING:
    import torch

MOST_TOKENS_A_WORD = 20  # upstream's max_token_text_ratio: generation ends there by itself
NAME = "voicelathe"  # of the speaker in upstream's table


def open_upstream(base: Path, device: "torch.device") -> Any:
    """Upstream's whole model. Raises FamilyUnavailable in an interpreter without its code."""
    opened = torchaudio_shim.upstream(
        "cosyvoice.cli.cosyvoice", "CosyVoice3", "CosyVoice 3 speaks", "cosyvoice3", device
    )
    torchaudio_shim.read_wavs()
    model = opened(str(base))
    widen_mask(model.model.llm.llm)
    return model


def widen_mask(encoder: Any) -> None:
    """One step of decoding must see all that came before it.

    Upstream passes a mask of one position; transformers from 4.53 on takes it for the whole mask and the speech is gibberish,
    without an error (CosyVoice issues 1446 and 1886). Older versions read the wider mask the same.
    """
    import torch

    step = type(encoder).forward_one_step

    def wide(self: Any, xs: Any, masks: Any, cache: Any = None) -> Any:
        past = 0 if cache is None else cache.get_seq_length()
        seen = torch.ones(xs.shape[0], 1, past + xs.shape[1], dtype=torch.bool, device=xs.device)
        return step(self, xs, seen, cache)

    encoder.forward_one_step = MethodType(wide, encoder)


@dataclass
class _Course:
    """How a generation went; upstream runs it in a thread of its own, where errors are lost."""

    limit: int
    tokens: int = 0
    stopped: bool = True
    problem: BaseException | None = None


@dataclass
class CosyVoice3Voice(CosyVoice3Core):
    """Upstream's whole model; `core` is its language model."""

    upstream: Any

    def synthesize(
        self, text: str, language: str, seed: int, max_seconds: float, decoding: Decoding
    ) -> Spoken:
        """With the instruction in front, as in training; flow and vocoder get the vector of the speaker with most training clips."""
        import torch

        voice = next(iter(self.voices.values()), torch.zeros(192))
        self.upstream.frontend.spk2info[NAME] = {"embedding": voice[None].to(self.device)}
        return self._spoken(
            seed, max_seconds, decoding,
            lambda upstream: upstream.inference_sft(
                f"{INSTRUCTION}{text.strip()}", NAME, stream=False, text_frontend=False, **seeding.given(seed, upstream.inference_sft)
            ),
        )  # fmt: skip

    def synthesize_prompted(
        self, text: str, language: str, seed: int, max_seconds: float, decoding: Decoding, prompt: Prompt
    ) -> Spoken:
        """Upstream's zero-shot generation, the instruction in front of the prompt's words."""
        said = f"{INSTRUCTION}{prompt.text.strip()}"
        return self._spoken(
            seed, max_seconds, decoding,
            lambda upstream: upstream.inference_zero_shot(
                text.strip(), said, str(prompt.sound), stream=False, text_frontend=False,
                **seeding.given(seed, upstream.inference_zero_shot),
            ),
        )  # fmt: skip

    def _spoken(
        self,
        seed: int,
        max_seconds: float,
        decoding: Decoding,
        speak: Callable[[Any], Iterator[dict[str, Any]]],
    ) -> Spoken:
        """Let upstream speak, at most so many tokens; what goes wrong in its thread is raised here.

        How tokens are drawn is an attribute of its model, made of the base's settings file.
        """
        import numpy as np

        course = _Course(max(1, round(max_seconds * TOKENS_PER_S)))
        self.core.inference = MethodType(_counted(type(self.core).inference, course), self.core)
        drawn = self.core.sampling
        self.core.sampling = partial(drawn, **keywords(DECODING, decoding))
        try:
            with seeding.of(seed):
                pieces = [one["tts_speech"].reshape(-1).float().cpu().numpy() for one in speak(self.upstream)]
        except Exception:
            if course.tokens and course.problem is None:
                raise
            pieces = []  # nothing to make sound of
        finally:
            self.core.sampling = drawn
            del self.core.inference
        if course.problem is not None:
            raise course.problem
        samples = np.concatenate([*pieces, np.zeros(0, np.float32)]).astype(np.float32)
        return Spoken(samples, SPEAK_HZ, course.stopped)


def _counted(generate: Any, course: _Course) -> Callable[..., Iterator[int]]:
    """Upstream's generator of tokens, ended at the limit; `stopped` says whether it ended by itself."""

    def inference(self: Any, **given: Any) -> Iterator[int]:
        own_limit = int(given["text_len"].sum()) * MOST_TOKENS_A_WORD
        try:
            for token in generate(self, **given):
                if course.tokens == course.limit:
                    course.stopped = False
                    return
                course.tokens += 1
                yield token
            course.stopped = course.tokens < own_limit
        except Exception as problem:
            course.problem = problem

    return inference

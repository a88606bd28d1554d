"""What only some families can do, asked with `isinstance`: of a family, or of what it opened. Importable without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from voicelathe.config import schema
from voicelathe.families.base import ClipItem, Model, Prompt, Spoken
from voicelathe.families.decoding import Decoding
from voicelathe.records import ReadText

if TYPE_CHECKING:
    import numpy as np
    import torch


@runtime_checkable
class Promptable(Protocol):
    """A family whose base can take over a voice from a clip, without training, in the ways of `spec.zero_shot`. Its voice is `Cloning`."""

    def prompted(self, item: ClipItem, reference: ClipItem, way: schema.Way) -> ClipItem:
        """The clip with another one in front, for `collate`; losses are of the clip alone. What `frozen` gave of both stays true."""


@runtime_checkable
class Measurable(Protocol):
    """A model whose batches have a size that can be told beforehand: that of every `Plannable` family."""

    def text_lengths(self, texts: Sequence[ReadText]) -> list[int]:
        """Tokens of each text. A sketch needs a base for it."""

    def example(self, text_tokens: Sequence[int], positions: Sequence[int]) -> tuple[Any, Any]:
        """Batch and noise of these sizes, as `collate` and `draw` make them; the numbers mean nothing.

        A family that trains with references takes a third sequence: the positions of each clip's reference, 0 for none.
        """


class Sketched(Model, Measurable, Protocol):
    """A model from its configuration alone. It has no facts, and no base either where none was given."""


@dataclass(frozen=True)
class Sketch:
    """A model built from its configuration alone, on tensors without memory."""

    model: Sketched
    codec: int  # bytes that upstream's own trainer keeps on the device besides: the audio codec
    caches: int  # and what it allocates for generation


@runtime_checkable
class Plannable(Protocol):
    """A family whose training can be rehearsed without weights (`voicelathe plan`, preflight)."""

    @property
    def published(self) -> Mapping[str, Any]:
        """Configuration of the model the family is named after, for a base that is not here."""

    def config(self, base: Path) -> Mapping[str, Any] | None:
        """Configuration of a base that is here; None when there is none."""

    def sketch(self, config: Mapping[str, Any], base: Path | None) -> Sketch:
        """Build the model as `open_model` would, in whatever tensor mode the caller has entered. `base` gives the tokenizer, if there is one."""

    def positions_per_s(self, config: Mapping[str, Any]) -> float:
        """Audio positions in one second."""


@runtime_checkable
class Settling(Protocol):
    """A model whose noise touches only a part of its forward."""

    def settled(self, batch: Any) -> Any:
        """The batch with all that noise does not touch computed under the present weights, for several draws; without gradients."""


@runtime_checkable
class Referenced(Protocol):
    """A model that hears a clip of the speaker before everything it says: every checkpoint carries one of each speaker."""

    def references(self) -> Mapping[str, str]:
        """Speaker -> id of the training clip that stands for them; known after `prepare`."""

    def keep(self, speaker: str, samples: "np.ndarray[Any, Any]") -> None:
        """Its sound: mono float32 at `facts.encode_rate_hz`."""


@runtime_checkable
class TrainedWithReferences(Protocol):
    """A model whose upstream trains clips with another one in front; its family is `Promptable`, and its spec says so, too."""

    def frozen_in_front(self, item: ClipItem) -> "dict[str, torch.Tensor]":
        """What is frozen of a clip that stands in front of others, beyond what `frozen` gives: added to its tensors."""


@runtime_checkable
class Cloning(Protocol):
    """A voice that can take over another one from a clip."""

    def synthesize_prompted(
        self,
        text: ReadText,
        language: str,
        seed: int,
        max_seconds: float,
        decoding: Decoding,
        prompt: Prompt,
    ) -> Spoken:
        """As `synthesize`, in the voice of the prompt."""


@runtime_checkable
class Copying(Protocol):
    """An encoder whose codec can be heard by itself: what it makes of a real clip, no voice on that base can sound better than."""

    def copy(self, samples: "np.ndarray[Any, Any]") -> Spoken:
        """Encode and decode a mono float32 clip at `facts.encode_rate_hz`. As long as the clip."""

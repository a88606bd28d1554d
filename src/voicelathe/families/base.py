"""The protocol a model family implements; everything else (loop, optimizer, checkpoints, evaluation, selection) exists once, outside.

Importable without torch. Shapes: B clips, A audio positions of a clip, T positions of a packed stream, P latent frames a position, D latent width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from voicelathe.config import schema
from voicelathe.families.decoding import Decoding, Setting
from voicelathe.records import BaseFacts, ReadText

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class FamilySpec:
    """What the rest of the program may know about a family."""

    id: str
    modes: frozenset[str]
    loss_weights: Mapping[str, float]  # total = sum(weight * loss); everybody uses the same
    licence: str
    requires: tuple[str, ...]  # distributions that must be importable
    scopes: frozenset[str]  # groups of linears that can carry an adapter
    cached_with: frozenset[str]  # those under which what `frozen` gives stays true; empty: nothing to cache
    stop_loss: str  # the component that says whether speech ends
    stop_above: float  # generation ends at a position whose probability of the end is above this
    stop_after: int  # but not before so many positions
    download: str  # the command that fetches a whole base
    usage: Mapping[
        str, str
    ]  # adapter | full -> Python that opens an export with upstream's package; BASE and HERE are places, DECODING the settings
    decoding: Mapping[str, Setting]  # how it speaks; a recipe's `speak:` has a value for each
    layers: tuple[str, ...]  # lists in `core` whose members `run_layer` runs: recomputed or shared as one
    pickled: Mapping[str, str] = field(
        default_factory=dict
    )  # a file that upstream reads as a pickle -> ours with the same tensors
    terms: str = ""  # what the licence asks of whoever passes a voice on, where it asks more than a notice
    reads_language: bool = False  # a clip's language changes its losses: part of what a run was trained on
    zero_shot: tuple[schema.Way, ...] = ()  # how its base takes over a voice from a clip; the usual way first
    trains_with_references: bool = False  # upstream trains clips with another recording in front; `Promptable.prompted` by reference then is its training, too
    replays_others: bool = False  # other speakers can be mixed in: its checkpoints hold nothing of a speaker
    trains_with_control: bool = False  # upstream writes in front of a text how to speak it, in brackets
    servers: Mapping[str, str] = field(
        default_factory=dict
    )  # adapter | full -> how other programs serve an export, in Markdown; BASE and HERE are places
    elsewhere: frozenset[str] = (
        frozenset()
    )  # worker verbs that upstream's own code does in an interpreter of its own (`voicelathe env create`)


@dataclass(frozen=True)
class ClipItem:
    """One clip as training and validation see it: cached encoding and text. The first dimension of a tensor counts positions."""

    clip_id: str
    text: ReadText
    language: str
    speaker_id: str
    tensors: Mapping[str, "torch.Tensor"]
    control: str = ""  # what the text begins with that nobody says, such as (slow); empty: nothing

    @property
    def words(self) -> ReadText:
        """What is said."""
        return ReadText(self.text.removeprefix(self.control))

    def saying(self, words: ReadText) -> "ClipItem":
        """The clip with other words, under its own control."""
        return replace(self, text=ReadText(f"{self.control}{words}"))


@dataclass(frozen=True)
class Prompt:
    """What a base hears before it speaks zero-shot."""

    way: schema.Way
    sound: Path  # a mono WAV at `facts.encode_rate_hz`
    text: ReadText  # its words


@dataclass(frozen=True)
class TrainPlan:
    """Which parameters move. `parts` names groups whose gradient norms are reported on their own."""

    trainable: Mapping[str, "torch.nn.Parameter"]
    parts: Mapping[str, list[str]]


@dataclass(frozen=True)
class Spoken:
    """Generated speech: mono float32 samples and whether the model stopped by itself."""

    samples: "np.ndarray[Any, Any]"
    rate_hz: int
    stopped: bool


@dataclass(frozen=True)
class Sketch:
    """A model built from its configuration alone, on tensors without memory."""

    loaded: Any
    codec: int  # bytes that upstream's own trainer keeps on the device besides: the audio codec
    caches: int  # and what it allocates for generation


Parts = Literal["encoder", "core", "all"]
Recompute = Literal["none", "decoder", "all"]


class Loaded(Protocol):
    """A loaded base; `core` is the module that is trained."""

    core: "torch.nn.Module"
    facts: BaseFacts
    device: "torch.device"  # where `core` is; whoever moves it sets this


class Family(Protocol):
    """One model family. The only importer of its upstream package."""

    spec: FamilySpec

    def recognises(self, base: Path) -> bool:
        """Whether a model directory is of this family, by its settings alone; whether it is whole is for `describe` to say."""

    def complete(self, base: Path) -> list[str]:
        """Write what a downloaded directory lacks, once, before it is hashed: upstream's pickles again as safetensors. Names of the new files."""

    def describe(self, base: Path, licence: str, trained: bool) -> BaseFacts:
        """Read what a base directory is, without torch. Raises BaseModelError naming the file that is missing or wrong."""

    def pinned(self, base: Path, licence: str, trained: bool, expected: BaseFacts | str) -> BaseFacts:
        """`verify`, then `describe`: a changed file is named before what the change broke."""

    def verify(self, base: Path, expected: BaseFacts | str) -> None:
        """Compare every file with the record or its digest, before anything is loaded. Raises BaseModelError."""

    def load(
        self, base: Path, facts: BaseFacts, machine: schema.Machine, parts: Parts, keep_bf16: bool = False
    ) -> Any:
        """Load into upstream's own classes. `encoder` must not load the language model's weights onto the device.

        `keep_bf16`: weights of `core` that a file has as bf16 may stay bf16, for a trainer that would make them so next; else fp32.
        """

    def encode(
        self, loaded: Any, samples: "Sequence[np.ndarray[Any, Any]]"
    ) -> "Iterator[dict[str, torch.Tensor]]":
        """Mono float32 audio at `facts.encode_rate_hz` -> what is cached per clip. Deterministic; a neighbour changes at most the last digits."""

    def prepare(self, loaded: Any, items: Sequence[ClipItem]) -> None:
        """See all training clips once, before the first step: refuse what cannot be trained on, remember the speakers.

        Raises ManifestError or BaseModelError naming clips or speakers.
        """

    def recall(self, loaded: Any, directory: Path) -> None:
        """Take over what a checkpoint knows of its speakers, so that the untouched base can be compared with it."""

    def collate(self, loaded: Any, items: Sequence[ClipItem]) -> Any:
        """Tokenise and pack clips into one batch."""

    def draw(self, loaded: Any, batch: Any, keys: Sequence[int], frozen: "tuple[int, int] | None") -> Any:
        """Everything random of one forward, from one CPU generator per clip.

        `frozen` = (pass, passes) is validation: no dropout of conditions, times stratified over the passes.
        """

    def losses(self, loaded: Any, batch: Any, noise: Any) -> "dict[str, torch.Tensor]":
        """Per-clip mean losses [B] of every component in `spec.loss_weights`."""

    def endings(self, loaded: Any, batch: Any) -> "list[torch.Tensor]":
        """Of each clip, fed with its real speech: the probability of the end [A] at every predicted position."""

    def frozen(self, loaded: Any, item: ClipItem) -> "dict[str, torch.Tensor]":
        """What no adapter on `spec.cached_with` can change of this clip's forward: added to its tensors, `collate` uses it. {}: nothing."""

    def adapter_targets(self, loaded: Any, scope: Sequence[str]) -> str:
        """Regular expression over whole module names of the linears that carry an adapter."""

    def trainable(self, loaded: Any, mode: str) -> TrainPlan:
        """What moves in this mode; freezes everything else."""

    def checkpoint_blocks(self, loaded: Any, which: Recompute) -> None:
        """Which blocks keep only their input and are computed again in backward. `decoder` is the part that makes the audio frames."""

    def save_adapter(
        self, loaded: Any, tensors: "dict[str, torch.Tensor]", lora: schema.Lora
    ) -> dict[str, Any]:
        """Files of an adapter checkpoint in the format others read: name -> tensors (safetensors) or JSON value."""

    def load_adapter(self, directory: Path) -> "dict[str, torch.Tensor]":
        """Back to the names `save_adapter` was given."""

    def full_files(self, loaded: Any, dtype: "torch.dtype") -> dict[str, Any]:
        """Files of a full checkpoint, as in `save_adapter`; what the base has besides is linked, so that upstream's loader opens it.

        None instead of contents: a file of the base that would be stale beside them.
        """

    def load_full(self, loaded: Any, directory: Path) -> None:
        """Copy a directory's weights into the loaded model. Raises CheckpointError when names do not fit."""

    def synthesize(
        self, loaded: Any, text: ReadText, language: str, seed: int, max_seconds: float, decoding: Decoding
    ) -> Spoken:
        """Speak with upstream's own generation. `decoding` has every setting of `spec.decoding`."""


@runtime_checkable
class Promptable(Protocol):
    """A family whose base can take over a voice from a clip, without training, in the ways of `spec.zero_shot`."""

    def prompted(self, item: ClipItem, reference: ClipItem, way: schema.Way) -> ClipItem:
        """The clip with another one in front, for `collate`; losses are of the clip alone. What `frozen` gave of both stays true."""

    def synthesize_prompted(
        self,
        loaded: Any,
        text: ReadText,
        language: str,
        seed: int,
        max_seconds: float,
        decoding: Decoding,
        prompt: Prompt,
    ) -> Spoken:
        """As `synthesize`, in the voice of the prompt."""


@runtime_checkable
class TrainedWithReferences(Promptable, Protocol):
    """A family whose upstream trains clips with another one in front; its spec says so, too."""

    def frozen_in_front(self, loaded: Any, item: ClipItem) -> "dict[str, torch.Tensor]":
        """What is frozen of a clip that stands in front of others, beyond what `frozen` gives: added to its tensors."""


@runtime_checkable
class Copying(Protocol):
    """A family whose codec can be heard by itself: what it makes of a real clip, no voice on that base can sound better than."""

    def copy(self, loaded: Any, samples: "np.ndarray[Any, Any]") -> Spoken:
        """Encode and decode a mono float32 clip at `facts.encode_rate_hz`; `loaded` with parts `encoder`. As long as the clip."""


@runtime_checkable
class Settling(Protocol):
    """A family whose noise touches only a part of its forward."""

    def settled(self, loaded: Any, batch: Any) -> Any:
        """The batch with all that noise does not touch computed under the present weights, for several draws; without gradients."""


@runtime_checkable
class Referenced(Protocol):
    """A family that hears a clip of the speaker before everything it says: every checkpoint carries one of each speaker."""

    def references(self, loaded: Any) -> Mapping[str, str]:
        """Speaker -> id of the training clip that stands for them; known after `prepare`."""

    def keep(self, loaded: Any, speaker: str, samples: "np.ndarray[Any, Any]") -> None:
        """Its sound: mono float32 at `facts.encode_rate_hz`."""


@runtime_checkable
class Plannable(Protocol):
    """A family whose training can be rehearsed without weights (`voicelathe plan`, preflight)."""

    @property
    def published(self) -> Mapping[str, Any]:
        """Configuration of the model the family is named after, for a base that is not here."""

    def config(self, base: Path) -> Mapping[str, Any] | None:
        """Configuration of a base that is here; None when there is none."""

    def sketch(self, config: Mapping[str, Any], base: Path | None) -> Sketch:
        """Build the model as `load` would, in whatever tensor mode the caller has entered. `base` gives the tokenizer, if there is one."""

    def positions_per_s(self, config: Mapping[str, Any]) -> float:
        """Audio positions in one second."""

    def text_lengths(self, loaded: Any, texts: Sequence[ReadText]) -> list[int]:
        """Tokens of each text. Needs a sketch with a base."""

    def example(self, loaded: Any, text_tokens: Sequence[int], positions: Sequence[int]) -> tuple[Any, Any]:
        """Batch and noise of these sizes, as `collate` and `draw` make them; the numbers mean nothing.

        A family that trains with references takes a third sequence: the positions of each clip's reference, 0 for none.
        """

"""The protocols a model family implements; everything else (loop, optimizer, checkpoints, evaluation, selection) exists once, outside.

A `Family` is what is known without weights. It opens a base as one of three: a `Model` trains and is validated, a `BaseVoice` speaks, an
`Encoder` turns clips into what is cached. What only some can do is a protocol of its own, in `families/optional.py`.

Importable without torch. Shapes: B clips, A audio positions of a clip, T positions of a packed stream, P latent frames a position, D latent width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

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
    copies: bool = False  # its codec can be heard by itself: its encoder is `Copying`
    carries_recordings: bool = (
        False  # every checkpoint holds a clip of each speaker, as sound: its model is `Referenced`
    )
    elsewhere: frozenset[str] = (
        frozenset()
    )  # worker verbs that upstream's own code does in an interpreter of its own (`voicelathe env create`)
    environment: str = ""  # the folder of envs/ that pins it, where it is another family's; empty: its own


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


Recompute = Literal["none", "decoder", "all"]


class Adaptable(Protocol):
    """An open base that can become a candidate: `core` takes an adapter or whole weights, the rest what a checkpoint knows of its speakers."""

    core: "torch.nn.Module"
    facts: BaseFacts
    base: Path
    device: "torch.device"  # where `core` is; whoever moves it sets this

    def adapter_targets(self, scope: Sequence[str]) -> str:
        """Regular expression over whole module names of the linears that carry an adapter."""

    def recall(self, directory: Path) -> None:
        """Take over what a checkpoint knows of its speakers, so that the untouched base can be compared with it."""

    def load_full(self, directory: Path) -> None:
        """Copy a directory's weights into `core`. Raises CheckpointError when names do not fit."""


class Model(Adaptable, Protocol):
    """A base as it is trained and validated."""

    def prepare(self, items: Sequence[ClipItem]) -> None:
        """See all training clips once, before the first step: refuse what cannot be trained on, remember the speakers.

        Raises ManifestError or BaseModelError naming clips or speakers.
        """

    def collate(self, items: Sequence[ClipItem]) -> Any:
        """Tokenise and pack clips into one batch."""

    def draw(self, batch: Any, keys: Sequence[int], frozen: "tuple[int, int] | None") -> Any:
        """Everything random of one forward, from one CPU generator per clip.

        `frozen` = (pass, passes) is validation: no dropout of conditions, times stratified over the passes.
        """

    def losses(self, batch: Any, noise: Any) -> "dict[str, torch.Tensor]":
        """Per-clip mean losses [B] of every component in `spec.loss_weights`."""

    def endings(self, batch: Any) -> "list[torch.Tensor]":
        """Of each clip, fed with its real speech: the probability of the end [A] at every predicted position."""

    def frozen(self, item: ClipItem) -> "dict[str, torch.Tensor]":
        """What no adapter on `spec.cached_with` can change of this clip's forward: added to its tensors, `collate` uses it. {}: nothing."""

    def trainable(self, mode: str) -> TrainPlan:
        """What moves in this mode; freezes everything else."""

    def checkpoint_blocks(self, which: Recompute) -> None:
        """Which blocks keep only their input and are computed again in backward. `decoder` is the part that makes the audio frames."""

    def save_adapter(self, tensors: "dict[str, torch.Tensor]", lora: schema.Lora) -> dict[str, Any]:
        """Files of an adapter checkpoint in the format others read: name -> tensors (safetensors) or JSON value."""

    def full_files(self, dtype: "torch.dtype") -> dict[str, Any]:
        """Files of a full checkpoint, as in `save_adapter`; what the base has besides is linked, so that upstream's loader opens it.

        None instead of contents: a file of the base that would be stale beside them.
        """


class BaseVoice(Adaptable, Protocol):
    """A base as it speaks."""

    def synthesize(
        self, text: ReadText, language: str, seed: int, max_seconds: float, decoding: Decoding
    ) -> Spoken:
        """Speak with upstream's own generation. `decoding` has every setting of `spec.decoding`."""


class Encoder(Protocol):
    """What turns clips into what is cached of them, without the language model's weights on the device."""

    facts: BaseFacts
    device: "torch.device"

    def encode(self, samples: "Sequence[np.ndarray[Any, Any]]") -> "Iterator[dict[str, torch.Tensor]]":
        """Mono float32 audio at `facts.encode_rate_hz` -> what is cached per clip. Deterministic; a neighbour changes at most the last digits."""


class Family(Protocol):
    """One model family, as it is known without weights. The only importer of its upstream package."""

    @property
    def spec(self) -> FamilySpec:
        """What the rest of the program may know."""

    def recognises(self, base: Path) -> bool:
        """Whether a model directory is of this family, by its settings alone; whether it is whole is for `describe` to say."""

    def complete(self, base: Path) -> list[str]:
        """Write what a downloaded directory lacks, once, before it is hashed: upstream's pickles again as safetensors. Names of the new files."""

    def describe(self, base: Path, licence: str, trained: bool) -> BaseFacts:
        """Read what a base directory is, without torch. Raises BaseModelError naming the file that is missing or wrong."""

    def pinned(self, base: Path, licence: str, trained: bool, expected: BaseFacts | str) -> BaseFacts:
        """`verify`, then `describe`: a changed file is named before what the change broke."""

    def verify(self, base: Path, expected: BaseFacts | str) -> None:
        """Compare every file with the record or its digest, before anything is opened. Raises BaseModelError."""

    def open_model(
        self, base: Path, facts: BaseFacts, machine: schema.Machine, keep_bf16: bool = False
    ) -> Model:
        """Into upstream's own classes, for training and validation; fp32.

        `keep_bf16`: weights of `core` that a file has as bf16 may stay bf16, for a trainer that would make them so next.
        """

    def open_voice(self, base: Path, facts: BaseFacts, machine: schema.Machine) -> BaseVoice:
        """As upstream opens it to speak."""

    def open_encoder(self, base: Path, facts: BaseFacts, machine: schema.Machine) -> Encoder:
        """Must not load the language model's weights onto the device."""

    def load_adapter(self, directory: Path) -> "dict[str, torch.Tensor]":
        """Back to the names `Model.save_adapter` was given."""

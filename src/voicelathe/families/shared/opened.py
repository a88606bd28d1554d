"""What the opened bases of all families have alike, for a family's model and voice to build on. Importable without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from voicelathe.families.base import ClipItem, Recompute, TrainPlan
from voicelathe.families.shared import parameter_groups
from voicelathe.records import BaseFacts

if TYPE_CHECKING:
    import torch


@dataclass
class OpenedBase:
    """A base in memory; a family adds `recall` and `load_full` of `families.base.Adaptable`."""

    scopes: ClassVar[Mapping[str, str]]  # group of linears -> regular expression over their names in `core`

    core: Any
    facts: BaseFacts
    base: Path
    device: "torch.device"

    def adapter_targets(self, scope: Sequence[str]) -> str:
        """One regular expression over whole module names."""
        return parameter_groups.targets(self.scopes, scope)


@dataclass
class TrainedBase(OpenedBase):
    """One that is trained; a family adds batches, losses and files."""

    parts: ClassVar[Mapping[str, tuple[str, ...]]]  # for gradient norms: part -> how names in `core` begin
    still: ClassVar[tuple[str, ...]] = ()  # how the names begin that full fine-tuning leaves alone, too

    recompute: Recompute = field(default="none", kw_only=True)

    def trainable(self, mode: str) -> TrainPlan:
        """Freezes everything else."""
        return parameter_groups.plan(self.core, mode, self.parts, self.still)

    def checkpoint_blocks(self, which: Recompute) -> None:
        """The losses of a family say which blocks are its decoder."""
        self.recompute = which

    def frozen(self, item: ClipItem) -> "dict[str, torch.Tensor]":
        """Every position passes through what an adapter changes: nothing stays the same."""
        return {}

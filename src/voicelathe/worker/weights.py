"""Put one candidate's weights after another into a base that is opened once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from voicelathe import checkpoints
from voicelathe.config import schema
from voicelathe.errors import CheckpointError
from voicelathe.families.base import Adaptable, BaseVoice, Family
from voicelathe.process import jobs
from voicelathe.train import adapters

Opened = TypeVar("Opened", bound=Adaptable)


class Swapper(Generic[Opened]):
    """Holds an open base, a model or a voice, and what is in it now; every directory is verified before it is read."""

    def __init__(
        self, family: Family, opened: Opened, lora: schema.Lora | None, refs: Sequence[jobs.WeightsRef]
    ) -> None:
        self.family, self.opened, self.lora = family, opened, lora
        self.holds_full: str | None = None
        self.knows_speakers_of: Path | None = None  # a run
        for ref in [ref for ref in refs if ref.kind != "base"][:1]:
            checkpoints.verify(Path(ref.path), ref.sha256)
            self._recall(ref)
        if lora is not None:
            adapters.inject(opened.core, lora, opened.adapter_targets(lora.scope), seed=0)
            opened.core.to(opened.device)

    def put(self, ref: jobs.WeightsRef) -> None:
        """Make the model be this candidate. Raises CheckpointError when the files are not the ones it names."""
        if ref.kind == "base":
            self._put_base()
            return
        checkpoints.verify(Path(ref.path), ref.sha256)
        self._recall(ref)
        if ref.kind == "full":
            self.opened.load_full(Path(ref.path))
            self.holds_full = ref.path
        elif self.lora is None or ref.candidate.lora_scale is None:
            raise CheckpointError(
                f"{ref.path} is an adapter, but the recipe has no train.lora settings or the candidate no scale."
            )
        else:
            try:
                adapters.load(self.opened.core, self.family.load_adapter(Path(ref.path)))
            except CheckpointError as problem:
                raise CheckpointError(
                    f"{ref.path}: {problem} It is of another recipe or its names were changed; train again: voicelathe retrain"
                ) from None
            adapters.set_scale(self.opened.core, ref.candidate.lora_scale)

    def scale(self, value: float) -> None:
        """Change the LoRA scale that is in place."""
        adapters.set_scale(self.opened.core, value)

    def _recall(self, ref: jobs.WeightsRef) -> None:
        """All checkpoints of a run know the same speakers."""
        if (run := Path(ref.path).parent) != self.knows_speakers_of:
            self.opened.recall(Path(ref.path))
            self.knows_speakers_of = run

    def _put_base(self) -> None:
        if self.lora is not None:
            adapters.set_scale(self.opened.core, 0.0)
        if self.holds_full is not None:
            self.opened.load_full(self.opened.base)
            self.holds_full = None


@dataclass
class HeldVoice:
    """The base that a process holds, and the weights that are in it now."""

    swapper: Swapper[BaseVoice]
    held: jobs.WeightsRef | None = None

    def take(self, ref: jobs.WeightsRef) -> None:
        weights = replace(ref, decoding=None)
        if weights != self.held:
            self.held = None  # until all of them are in place
            self.swapper.put(weights)
            self.held = weights

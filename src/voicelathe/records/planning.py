"""What a run will need before it starts: measured on tensors without memory, in bytes; nothing in it depends on a machine."""

from dataclasses import dataclass, field

REFERENCE_MARKS = 2  # positions around a reference


@dataclass(frozen=True)
class PassSize:
    """The clips of one forward. Lists run over clips."""

    text_tokens: list[int]
    positions: list[int]  # of audio
    source: str  # where the lengths come from, for people
    references: list[int] | None = (
        field(  # positions of each clip's reference, 0 for none; None: trained without
            default=None, metadata={"left_out": True}
        )
    )

    @property
    def num_positions(self) -> int:
        """Of text and audio; a reference stands between two marks."""
        marked = sum(positions + REFERENCE_MARKS for positions in self.references or [] if positions)
        return sum(self.text_tokens) + sum(self.positions) + marked


@dataclass(frozen=True)
class Phase:
    """The most the device holds during one phase of training, by what it is; optimizer state is not among it."""

    name: str  # forward | backward | forward again | backward again
    weights: int  # parameters and buffers
    gradients: int
    casts: int  # bf16 copies of fp32 weights, made by autocast
    activations: int  # everything else that lives at that moment
    workspace: int = 0  # what a CUDA kernel takes for itself at that moment; not on a CPU

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.casts + self.activations + self.workspace


@dataclass(frozen=True)
class Kernel:
    """Operations of one pass that cost the same: arithmetic and memory traffic of one, and how many there are."""

    flops: int
    bytes: int
    count: int
    in_half: bool  # 16-bit arithmetic


@dataclass(frozen=True)
class Rehearsal:
    """One recipe's training on tensors without memory, at the model's real sizes."""

    architecture: str  # of whose sizes
    num_parameters: int
    num_trainable: int
    passes: int  # of one optimizer step
    size: PassSize  # of the largest pass
    phases: list[Phase]
    fragmentation: int  # reserved beyond the peak by the allocator's rules
    masters: int  # low bits of masters, resident after the first step
    moments: int  # the optimizer's state
    paged: int  # of the moments: memory that may move to the host
    update: int  # temporaries of the update
    update_traffic: int  # bytes that norm, clipping and update read and write on the device
    kernels: list[Kernel]  # of one pass, forward and backward
    checkpoint: int  # weights file of one numbered checkpoint
    state: int  # files of one resume state
    codec: int  # upstream's trainer keeps these two on the card as well; ours does not
    caches: int
    activations_per_position: (
        float  # bytes, workspaces included; they grow in proportion to the positions of a pass
    )
    positions_per_s: float  # of audio
    update_kernels: int = 0  # operations of norm, clipping and update
    processes: int = field(default=1, metadata={"left_out": True})  # that share the model (train.shard)
    sent: int = field(default=0, metadata={"left_out": True})  # bytes that each sends the others in a step

    @property
    def peak(self) -> Phase:
        return max(self.phases, key=lambda phase: phase.total)

    @property
    def flops(self) -> int:
        """Of one optimizer step."""
        return self.passes * sum(kernel.flops * kernel.count for kernel in self.kernels)


@dataclass(frozen=True)
class Plan:
    """A rehearsal against one card. Everything in it is computed; nothing was run on the card."""

    recipe: str
    architecture: str
    card: str
    card_bytes: int
    memory: dict[str, int]  # of the card at the worst moment, by what it is
    worst: str  # the phase of that moment
    host: int  # bytes of optimizer state that may move to the host
    fits: bool
    longest_pass_s: float  # seconds of audio in one pass that would still fit; 0 when nothing would
    disk: dict[str, int]  # what the run writes, by what it is
    step_s: float  # one optimizer step: the card's work at its full speed, or the host's time to ask for it, whichever is longer
    hours: float  # the same for all steps
    speed_of: str  # the card whose speed that is
    assumptions: list[str]
    remedy: str | None  # the one setting that would make it fit
    refused: str | None = None  # why this kind of card cannot train it, whatever its memory

    @property
    def total(self) -> int:
        return sum(self.memory.values())

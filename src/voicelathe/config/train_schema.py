"""The section `train` of a recipe, which decides a run's weights: all of it is part of the run's digest. And the machines that train, which are no part of it."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Le, Lt, MinLen

from voicelathe.config.data_schema import Closed, Positive, PositiveFloat, Share

Beta = Annotated[float, Ge(0), Lt(1)]


ADDED_LATER = {"left_out": True}  # a field with this metadata is not written down while it has its default


@dataclass(frozen=True)
class Lora(Closed):
    """Low-rank adapters (Hu et al., 2021): W + scale * alpha / rank * B A."""

    rank: Positive
    alpha: PositiveFloat
    dropout: Annotated[float, Ge(0), Lt(1)]
    scope: Annotated[list[str], MinLen(1)]  # groups of linears; which there are is the family's to say


@dataclass(frozen=True)
class EarlyStopping(Closed):
    """End a run when neither validation loss nor speech has improved for `patience` checkpoints (Prechelt, 1998; docs/choosing.md).

    Each checkpoint is judged beside the training, which is never more than one checkpoint ahead.
    """

    patience: Positive  # checkpoints in a row
    lines: Annotated[
        int, Ge(4), Le(64)
    ]  # that each speaks: texts of the validation split, the same with the same seeds
    device: Literal["cpu"] | None = field(default=None)  # of that process; null: machine.device


@dataclass(frozen=True)
class Train(Closed):
    """One run. This whole section is part of the run digest. docs/memory.md has what each choice costs in bytes.

    optimizer: one of `train.optimizers.TABLE`. beta1, beta2: what its moments keep of themselves at each step; eps: added to the
    root of the second moment. Their defaults are Adam's (Kingma and Ba, 2015).

    schedule: what becomes of the learning rate after its warm-up: `constant`; `linear` or `cosine`, to zero at the last step;
    `warmup_stable_decay` (Hu et al., 2024): constant, and linearly to zero in the last decay_steps.

    weights: how weights lie on the device.
    `fp32`: 4 bytes, gradients 4 bytes; with `autocast` the forward makes bf16 copies besides (upstream's way, the reference).
    `bf16` (mode: lora): the frozen base in bf16, the adapter in fp32.
    `bf16_split16`, `bf16_split8` (mode: full): bf16 weights and the 16 or 8 bits that are missing to an fp32 or 24-bit master,
    on which the update is computed: exact, or with the last bit rounded stochastically. 4 or 3 bytes, gradients 2.
    `bf16_stochastic` (mode: full): bf16 weights alone; each update is rounded up or down, right on average. 2 bytes, gradients 2.
    Plain bf16 updates do not exist here: at a learning rate of 1e-5, 70 to 92 % of them are smaller than half the distance to
    the next bf16 number, and nearest rounding drops those.

    reference_share: how often a clip has a reference in front while it is trained on, another recording of its speaker that the model
    hears and is not asked to say. 0: never. Only for a family whose upstream trains so (`FamilySpec.trains_with_references`).

    control: what a row says of how it is spoken (its `control`) stands in front of its text as upstream writes it, `(slow)text`, in training and
    in the losses of held-out clips. Only for a family whose upstream has controls (`FamilySpec.trains_with_control`).

    replay_share: of all visits of a clip, how many are of the general set's replayed half, other speakers, against forgetting. 0: none. Forgetting is
    measured on the other half. Only for a family that remembers nothing of speakers beside its weights (`FamilySpec.replays_others`).
    replay_visits: so often one of these clips may be seen in a run; a share that would need more is refused.

    compile_layers: torch.compile makes one program of each kind of layer, at any length of clip. The same arithmetic in another order, so
    the last digits differ from a run without it; with it, runs repeat as they do without.

    shard: weights, gradients and optimizer state lie in pieces, one on each of the machine.processes, and a layer is put together while it
    computes (PyTorch's `fully_shard`). Gradients are added pass by pass and not step by step, so last digits differ from a run without it.

    deterministic: on a card steps repeat bit for bit, also where clips are so long that attention's backward would add in any order. Slower, and
    an operation that has no such way stops the run. On a CPU it changes nothing.

    gradient_release: a gradient is used and freed as soon as backward has made it, so gradients never lie there together
    (2 bytes a parameter less). The global norm is known only afterwards: it is recorded, and nothing is clipped.
    """

    mode: Literal["lora", "full"]
    steps: Positive
    clips_per_step: Positive
    clips_per_pass: Positive  # packed into one forward; several passes accumulate one optimizer step
    checkpoint_every: Positive
    learning_rate: PositiveFloat
    warmup_steps: Annotated[int, Ge(0)]
    weight_decay: Annotated[float, Ge(0)]  # of the weights of linear layers only
    max_grad_norm: PositiveFloat | None  # of all gradients together; null: recorded, not clipped
    optimizer: Annotated[str, MinLen(1)]
    weights: Literal["fp32", "bf16", "bf16_split16", "bf16_split8", "bf16_stochastic"]
    gradient_release: bool
    activation_checkpointing: Literal["none", "decoder", "all"]  # which blocks are computed again in backward
    autocast: bool  # bf16 arithmetic over fp32 weights, upstream's way; only on cuda
    cache_encoder: bool  # mode: lora without proj: what the frozen local encoder makes of a clip is computed once and kept
    probe_every: Positive  # steps between two looks at whether text and stop head still work
    lora: Lora | None  # null for mode: full
    seed: int | None = field(default=None, metadata=ADDED_LATER)  # of this training; null: the project's
    schedule: Literal["constant", "linear", "cosine", "warmup_stable_decay"] = field(
        default="cosine", metadata=ADDED_LATER
    )
    decay_steps: Positive | None = field(default=None, metadata=ADDED_LATER)  # of warmup_stable_decay only
    beta1: Beta = field(default=0.9, metadata=ADDED_LATER)
    beta2: Beta = field(default=0.999, metadata=ADDED_LATER)
    eps: PositiveFloat = field(default=1e-8, metadata=ADDED_LATER)
    reference_share: Share = field(default=0.0, metadata=ADDED_LATER)
    compile_layers: bool = field(default=False, metadata=ADDED_LATER)
    control: bool = field(default=False, metadata=ADDED_LATER)
    replay_share: Share = field(default=0.0, metadata=ADDED_LATER)
    replay_visits: Positive = field(default=10, metadata=ADDED_LATER)
    shard: bool = field(default=False, metadata=ADDED_LATER)  # mode: full, on several GPUs of one machine
    deterministic: bool = field(default=False, metadata=ADDED_LATER)
    early_stopping: EarlyStopping | None = field(default=None, metadata=ADDED_LATER)  # null: all steps

    @property
    def checkpoint_steps(self) -> list[int]:
        """The steps that are kept where nothing ends the run early: every multiple of checkpoint_every, and the last."""
        every = range(self.checkpoint_every, self.steps + 1, self.checkpoint_every)
        return sorted({*every, self.steps})


@dataclass(frozen=True)
class Nodes(Closed):
    """Machines that train one run together. No stage depends on this: what decides the weights is machine.processes, all of them counted."""

    count: Positive  # each starts machine.processes / count processes
    rendezvous: (
        Annotated[str, MinLen(1)] | None
    )  # HOST:PORT of the first machine; null: MASTER_ADDR, MASTER_PORT
    wait_s: PositiveFloat  # so long machines wait for each other before work begins


ALONE = Nodes(1, None, 600.0)

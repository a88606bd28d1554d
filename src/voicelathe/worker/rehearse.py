"""Verb `rehearse`: what a recipe would take in memory, files and arithmetic, measured on tensors without memory.

Nothing is opened and no device is touched: a 2-billion-parameter model is rehearsed in less than a minute on one CPU core.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from voicelathe import families, records
from voicelathe.config import schema
from voicelathe.data import control
from voicelathe.data.latents import index, replay
from voicelathe.data.lexicon.reading import as_read
from voicelathe.data.references import pairs
from voicelathe.errors import FamilyUnavailable
from voicelathe.families.base import FamilySpec
from voicelathe.families.optional import Measurable, Plannable, Sketched
from voicelathe.families.shared import layers
from voicelathe.process import jobs
from voicelathe.train import adapters, batches, footprint, memory, precision, rehearsal
from voicelathe.train.optimizers.base import Piecewise
from voicelathe.train.sharded import sizes

TEXT_TOKENS_PER_S = 3.9  # read English: 15 characters a second, 3.85 characters a token; an assumption


def run(job: jobs.RehearseJob, emit: Any) -> dict[str, Any]:
    """Returns a Rehearsal as plain values."""
    family = families.find(job.family)
    if not isinstance(family, Plannable):
        raise FamilyUnavailable(
            f"{job.family} cannot be planned yet: it has no sketch of itself without weights."
        )
    emit(jobs.PHASE, {"name": "sketch", "step": 0, "micro": 0})
    train, base = job.train, Path(job.base) if job.base is not None else None
    with torch.device("meta"):
        sketch = family.sketch(job.config, base)
    model = sketch.model
    if train.lora is not None:
        adapters.inject(model.core, train.lora, model.adapter_targets(train.lora.scope), seed=0)
        adapters.leave_casts_to_autocast(model.core, train)
    model.checkpoint_blocks(train.activation_checkpointing)
    precision.narrow(model.core, _without_master(train.weights), model.trainable(train.mode).trainable)
    mode = rehearsal.without_data(model.core)
    trainable = model.trainable(train.mode).trainable
    model.core.train()
    size = _alike(job, family, job.clip_s) if job.clip_s is not None else _largest(job, family, model)
    emit(jobs.PHASE, {"name": "rehearse", "step": 0, "micro": 0})
    measured = _Rehearsed(family.spec.loss_weights, model, train, trainable, mode, size, job.on_card)
    kept, of_all = footprint.state(train, trainable, job.processes), footprint.state(train, trainable)
    found = records.Rehearsal(
        architecture=str(job.config.get("architecture", job.config.get("model_type"))), num_parameters=sum(p.numel() for p in model.core.parameters()),
        num_trainable=sum(p.numel() for p in trainable.values()), passes=train.clips_per_step // train.clips_per_pass, size=size,
        phases=measured.phases, fragmentation=measured.fragmentation, masters=kept.masters, moments=kept.moments, paged=kept.paged,
        update=measured.update, update_traffic=measured.update_traffic, update_kernels=measured.update_kernels, kernels=measured.kernels,
        checkpoint=footprint.checkpoint_bytes(train, model.core, trainable), state=footprint.state_files(trainable, of_all),
        codec=sketch.codec, caches=sketch.caches,
        activations_per_position=measured.activations / size.num_positions, positions_per_s=family.positions_per_s(job.config),
    )  # fmt: skip
    return asdict(found if job.processes == 1 else _shared(found, family.spec, model.core, job.processes))


def _shared(
    found: records.Rehearsal, spec: FamilySpec, core: torch.nn.Module, count: int
) -> records.Rehearsal:
    """What each of several processes needs that hold the model together."""
    sized = sizes.of(core, layers.listed(core, spec.layers), count)
    phases = [sized.phase(one, first=" again" not in one.name) for one in found.phases]
    own = found.passes // count
    return replace(
        found, phases=[*phases, sized.saving], passes=own, update=found.update // count, processes=count,
        update_traffic=found.update_traffic // count, sent=sized.sent(own),
    )  # fmt: skip


class _Rehearsed:
    """One step's phases at one size, on a model that exists."""

    def __init__(
        self, weights: Mapping[str, float], model: Sketched, train: schema.Train, trainable: Mapping[str, Any], mode: FakeTensorMode, size: records.PassSize,
        on_card: bool,
    ) -> None:  # fmt: skip
        self.account = rehearsal.Account(on_card)
        for tensor in (*model.core.parameters(), *model.core.buffers()):
            self.account.name(tensor, rehearsal.WEIGHTS)
        leave = train.gradient_release or train.shard  # where they go is counted by `train.sharded.sizes`
        rehearsal.watch_gradients(self.account, list(trainable.values()), leave)
        self._weights, self._model, self._train = weights, model, train
        heard = [] if size.references is None else [size.references]
        batch, noise = (
            rehearsal.faked(mode, one) for one in model.example(*[size.text_tokens, size.positions, *heard])
        )
        self.phases: list[records.Phase] = []
        made = memory.optimizer(train, model.core, trainable, {}, seed=0, on_card=on_card)
        with mode, self.account:
            self._pass(batch, noise, "")
            self.kernels = [records.Kernel(*key[:2], count, key[2]) for key, count in sorted(self.account.kernels.items())]  # fmt: skip
            if train.clips_per_step > train.clips_per_pass:
                self._pass(batch, noise, " again")
            self.fragmentation = self.account.allocator.reserved - max(one.total for one in self.phases)
            self._step(
                made, trainable
            )  # the first step makes the moments, which are counted as optimizer state
            self.update, self.update_kernels, self.update_traffic = self._update(made, trainable)

    @property
    def activations(self) -> int:
        return max(phase.activations + phase.workspace for phase in self.phases[:2])

    def _pass(self, batch: Any, noise: Any, which: str) -> None:
        """Forward and backward as train.loop does them."""
        train = self._train
        self.account.begin()
        in_bf16 = train.autocast or train.weights != "fp32"
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bf16, cache_enabled=not train.shard):
            losses = self._model.losses(batch, noise)
        total = sum(self._weights[name] * loss for name, loss in losses.items())
        assert isinstance(total, torch.Tensor)
        self.phases.append(self.account.phase(f"forward{which}"))
        self.account.begin()
        (total.sum() / train.clips_per_step).backward()  # type: ignore[no-untyped-call]
        self.phases.append(self.account.phase(f"backward{which}"))

    def _update(self, made: torch.optim.Optimizer, trainable: Mapping[str, Any]) -> tuple[int, int, int]:
        """Bytes of temporaries, operations and traffic of norm, clipping and update; the phase stands beside the others.

        Memory has to do for a card that refuses the update in one kernel, too.
        """
        phase, temporary, kernels, traffic = self._counted(made, trainable)
        if isinstance(made, Piecewise) and made.is_fused:
            made.use_plain_kernels()
            phase, temporary, *_ = self._counted(made, trainable)
        self.phases.append(replace(phase, casts=0, activations=temporary))
        return temporary, kernels, traffic

    def _counted(
        self, made: torch.optim.Optimizer, trainable: Mapping[str, Any]
    ) -> tuple[records.Phase, int, int, int]:
        account, before = self.account, self.account.total
        account.begin()
        account.kernels.clear()
        self._step(made, trainable)
        traffic = sum(moved * count for (_, moved, _), count in account.kernels.items())
        return account.phase("update"), account.peak - before, account.kernels.total(), traffic

    def _step(self, made: torch.optim.Optimizer, trainable: Mapping[str, Any]) -> None:
        """What train.loop does after backward; gradients that are released come one by one, as backward makes them."""
        memory.prepare(made, 1, self._train.learning_rate)
        if self._train.gradient_release:
            assert isinstance(made, Piecewise)
            for parameter in trainable.values():
                parameter.grad = torch.empty_like(parameter)
                self.account.name(parameter.grad, rehearsal.GRADIENTS)
                memory.norms_of([parameter.grad])
                made.take(parameter)
            return
        for parameter in trainable.values() if self._train.shard else ():
            parameter.grad = torch.empty_like(parameter)
            self.account.name(parameter.grad, rehearsal.GRADIENTS)
        memory.norms_of([parameter.grad for parameter in trainable.values()])
        if self._train.max_grad_norm is not None:
            memory.clip(made, trainable, norm=2.0, limit=1.0)  # a step that is clipped
        made.step()


def _without_master(weights: precision.Weights) -> precision.Weights:
    """The same weights; low bits of masters are counted by the footprint, because they need data to be made."""
    return "bf16_stochastic" if weights in precision.LOW_DTYPES else weights


def _alike(job: jobs.RehearseJob, family: Plannable, clip_s: float) -> records.PassSize:
    """A pass of clips that are all this long."""
    text, positions = (
        round(TEXT_TOKENS_PER_S * clip_s),
        math.ceil(family.positions_per_s(job.config) * clip_s),
    )
    clips = job.train.clips_per_pass
    source = f"{clips} clip{'s' if clips > 1 else ''} of {clip_s:g} s, {text} text tokens each: an assumption"
    sizes = [max(1, text)] * clips, [max(2, positions)] * clips
    if not job.train.reference_share:
        return records.PassSize(*sizes, source)
    return records.PassSize(*sizes, f"{source}, as is a reference of the same length before each", sizes[1])


def _others(
    job: jobs.RehearseJob, model: Measurable, texts: dict[str, int], known: dict[str, int]
) -> dict[str, int]:
    """Clips of other speakers that are mixed in: tokens of each, which `texts` and `known` then have, too."""
    if job.general is None:
        return {}
    folder = Path(job.general)
    clips = replay.of_directory(folder).replayed
    told = families.spec(job.family).trains_with_control
    read = [as_read(job.lexicon, one.text, one.language, control.of(one) if told else None) for one in clips]
    found = dict(zip([one.clip_id for one in clips], model.text_lengths(read), strict=True))
    texts.update(found)
    known.update({one.clip_id: one.num_positions for one in index.read(folder) if one.clip_id in found})
    return found


def _text(job: jobs.RehearseJob, row: records.CleanClip) -> records.ReadText:
    """As the training would read it."""
    return as_read(job.lexicon, row.text, row.language, control.of(row) if job.train.control else None)


def _largest(job: jobs.RehearseJob, family: Plannable, model: Measurable) -> records.PassSize:
    """The pass of the whole run with the most positions: which clips meet is a function of the seed."""
    assert job.clips is not None and job.latents is not None
    known = {entry.clip_id: entry.num_positions for entry in index.read(Path(job.latents))}
    rows = sorted(records.read(Path(job.clips), records.CleanClip), key=lambda row: row.clip_id)
    texts = dict(
        zip(
            [row.clip_id for row in rows],
            model.text_lengths([_text(job, row) for row in rows]),
            strict=True,
        )
    )
    names, train, best = list(texts), job.train, (0, 0, [""])
    others = _others(job, model, texts, known)
    order = batches.Order(names, train.clips_per_step, job.seed, list(others), train.replay_share)
    paired = None
    if job.references is not None:
        plan = records.read_one(Path(job.references) / pairs.PLAN, records.ReferencePlan)
        known |= plan.num_positions(family.positions_per_s(job.config))
        paired = pairs.Pairs(plan, train.reference_share, job.seed)
    for step in range(1, train.steps + 1):
        clips = order.of_step(step)
        own = [one for one in clips if one not in others]
        before = paired.of_step(own, step) if paired else {}
        for start in range(0, len(clips), train.clips_per_pass):
            part = clips[start : start + train.clips_per_pass]
            heard = sum(known[before[one]] + records.REFERENCE_MARKS for one in part if one in before)
            best = max(best, (heard + sum(texts[one] + known[one] for one in part), -step, part))
    _, step, part = best
    source = f"the largest pass of the run, in step {-step}"
    size = records.PassSize([texts[one] for one in part], [known[one] for one in part], source)
    if paired is None:
        return size
    before = paired.of_step([one for one in part if one not in others], -step)
    return replace(size, references=[known[before[one]] if one in before else 0 for one in part])

"""A recipe's needs against a card: memory at the worst moment, disk for everything that is kept, the least time it can take.

The worker rehearses the recipe on tensors without memory (train.rehearsal); here its numbers are put together and compared.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from voicelathe import digest, families, layout, records, rng
from voicelathe.config import schema
from voicelathe.data.lexicon import lexicon_file
from voicelathe.plan import cards
from voicelathe.plan.cards import Card
from voicelathe.process import jobs, runner
from voicelathe.records import Plan, Rehearsal
from voicelathe.runs import references, replay
from voicelathe.train import optimizers

REVISION = 5  # of what a rehearsal means: a new one rehearses again
CACHE = layout.CACHE / "plans"
LAUNCH_S = 18e-6  # the host's time for one operation: Python, autograd and dispatch, measured on server cores, 16 to 20 us by recipe (benchmarks/RESULTS.md)
Report = Callable[[str], None]


def can_rehearse(params: schema.Params, base: str) -> bool:
    """Whether the base's family can be rehearsed."""
    return hasattr(families.find(params.bases[base].family), "published")


def disk_bytes(params: schema.Params, train: schema.Train, found: Rehearsal) -> int:
    """Everything a run keeps on the disk, with what exists for a moment while it is replaced."""
    return sum(_disk(params, train, found).values())


def rehearse(
    params: schema.Params,
    base: str,
    train: schema.Train,
    label: str,
    on_card: bool,
    clip_s: float | None = None,
) -> tuple[Rehearsal, list[str]]:
    """Measure a recipe's training without memory, or recall it. Returns also what had to be assumed.

    `on_card`: as on a CUDA device, else as on this CPU. `clip_s`: length of every clip; None takes the largest pass of the prepared data, or 10 s where there is none.
    """
    one, assumptions = params.bases[base], []
    path, index, clips = Path(one.path), layout.latents(base) / "index.parquet", layout.split("train")
    family: Any = families.find(one.family)
    config = family.config(path)
    present = config is not None
    if config is None:
        config = dict(family.published)
        assumptions.append(f"{path} is not here: planned with the published sizes of {one.family}")
    has_data = present and all(map(Path.is_file, (index, clips, *replay.files(base, train))))
    if clip_s is None and not has_data:
        clip_s = DEFAULT_CLIP_S
    from_data = clip_s is None
    paired = references.written(params, base, train) if from_data else None
    job = jobs.RehearseJob(
        family=one.family, config=dict(config), base=str(path) if present else None, train=replace(train, early_stopping=None), seed=rng.training_seed(train, params.seed), clip_s=clip_s,
        clips=str(clips) if from_data else None, latents=str(index.parent) if from_data else None, threads=params.machine.threads,
        on_card=on_card, references=None if paired is None else str(paired), lexicon=lexicon_file.of_project(params) if from_data else None,
        general=replay.place(base, train) if from_data else None, processes=params.machine.processes if train.shard else 1,
    )  # fmt: skip
    made_of = [index, clips, *replay.files(base, train)] if from_data else []
    found = _recalled(job, made_of, label)
    if train.shard:
        assumptions.append(
            f"memory is that of each of {found.processes} GPUs, which share the weights; in a step each sends the others {found.sent / 1e9:.1f} GB and "
            "receives as much, and the time leaves that out"
        )
    elif params.machine.processes > 1:
        assumptions.append(
            f"time is that of each of {params.machine.processes} GPUs, which share the passes of a step; that they add up their gradients is left out"
        )
    if train.early_stopping is not None:
        assumptions.append(
            f"{EARLY}: a bound on what judging a checkpoint takes beside the training, not counted as the rest is"
        )
    return found, [*assumptions, f"lengths: {found.size.source}"]


DEFAULT_CLIP_S = 10.0
EARLY = "early stopping"  # the process that judges checkpoints
NO_PAGING = "WSL2 does not page: the optimizer's moments stay on the card"


def _recalled(job: jobs.RehearseJob, data: list[Path], label: str) -> Rehearsal:
    """The cached rehearsal of an equal job over equal data, or a new one."""
    key = digest.of_value(
        [REVISION, version("torch"), records.to_json(job), [digest.of_file(path) for path in data]]
    )
    cached = CACHE / f"{key[:32]}.json"
    if not cached.is_file():
        digest.write_json(cached, runner.run(job, label))
    return records.read_one(cached, Rehearsal)


def plan(
    params: schema.Params,
    recipe: str,
    card: Card,
    speed_of: str,
    clip_s: float | None = None,
    report: Report = print,
) -> Plan:
    """A recipe against a card, with the one setting to change where it does not fit."""
    one = params.recipes[recipe]
    found, assumptions = rehearse(params, one.base, one.train, recipe, not card.is_host, clip_s)
    made = forecast(params, recipe, one, found, card, speed_of)
    if (refused := cards.refusal(card, one.train)) is not None:
        return replace(made, fits=False, assumptions=assumptions, refused=refused)
    advice = None if made.fits else remedy(params, recipe, one, card, clip_s, report)
    return replace(made, assumptions=assumptions, remedy=advice)


def forecast(
    params: schema.Params, recipe: str, one: schema.Recipe, found: Rehearsal, card: Card, speed_of: str
) -> Plan:
    """Everything but the remedy."""
    memory, worst = _memory(found, card, one.train)
    total, paged = sum(memory.values()), found.paged if _pages(card) else 0
    a_second = (
        found.activations_per_position
        * found.positions_per_s
        * found.size.num_positions
        / sum(found.size.positions)
    )
    spare = card.bytes - total + memory["activations"] + memory["workspace"]
    own = found.passes * found.processes // params.machine.processes  # of a step's passes, those of one GPU
    step_s = _step_s(replace(found, passes=own), card, paged if total + paged > card.bytes else 0)
    return Plan(
        recipe=recipe, architecture=found.architecture, card=card.name, card_bytes=card.bytes, memory=memory, worst=worst,
        host=paged, fits=total <= card.bytes, longest_pass_s=round(max(0.0, spare / a_second), 1),
        disk=_disk(params, one.train, found), step_s=round(step_s, 4), hours=round(step_s * one.train.steps / 3600, 3), speed_of=speed_of,
        assumptions=[], remedy=None,
    )  # fmt: skip


def _memory(found: Rehearsal, card: Card, train: schema.Train) -> tuple[dict[str, int], str]:
    """What the card holds at the worst moment of any step but the first, when optimizer state is there, too."""
    peak = found.peak
    return {
        "CUDA context": card.context,
        "weights": peak.weights,
        "masters": found.masters,
        "gradients": peak.gradients,
        "casts": peak.casts,
        "optimizer": found.moments - (found.paged if _pages(card) else 0),
        "activations": peak.activations,
        "workspace": peak.workspace,
        "fragmentation": found.fragmentation,
        EARLY: _beside(found, card, train),
    }, peak.name


def _beside(found: Rehearsal, card: Card, train: schema.Train) -> int:
    """What judging checkpoints takes of the same card: a bound, not a rehearsal.

    A process of its own with all weights in fp32, codec and caches; of a forward that keeps nothing for backward no more than the training
    holds, and twice that where the training computes in 16 bits.
    """
    early = train.early_stopping
    if early is None or (early.device == "cpu" and not card.is_host):
        return 0
    wider = 2 if train.weights != "fp32" or train.autocast else 1
    own = 4 * found.num_parameters + found.codec + found.caches
    return card.context + own + wider * (found.peak.activations + found.peak.workspace)


def _pages(card: Card) -> bool:
    """Whether moments of a paged optimizer may leave the card."""
    return card.can_page and not card.is_host


def _disk(params: schema.Params, train: schema.Train, found: Rehearsal) -> dict[str, int]:
    """What the run writes; unchanged files of a checkpoint are links and weigh nothing. Speech is not counted."""
    kept = len(train.checkpoint_steps)
    copies = {"adapters": kept if train.mode == "lora" else 0, "selected": 1, "all": kept}
    return {
        f"{kept} checkpoints": kept * found.checkpoint,
        "resume state, old and new while one replaces the other": 2 * found.state,
        "preflight: 2 checkpoints and a resume state": 2 * found.checkpoint + found.state,
        f"copies in MLflow (tracking.upload: {params.tracking.upload})": copies[params.tracking.upload] * found.checkpoint,
    }  # fmt: skip


def _step_s(found: Rehearsal, card: Card, moved: int) -> float:
    """Every operation takes its arithmetic or its memory traffic at the card's full speed, whichever is longer (roofline).

    The host asks for one operation after the other while the card works; where it needs longer to ask, its time counts: once for
    the passes, once for the update, between which it waits for the norm. `moved`: bytes of state that do not fit on the card and
    cross the bus twice a step.
    """
    seconds = 0.0
    for kernel in found.kernels:
        speed = card.half_flops if kernel.in_half else card.single_flops
        seconds += kernel.count * max(kernel.flops / speed, kernel.bytes / card.bandwidth)
    asked_s = 0.0 if card.is_host else LAUNCH_S
    passes = found.passes * max(seconds, asked_s * sum(kernel.count for kernel in found.kernels))
    update = max(found.update_traffic / card.bandwidth, asked_s * found.update_kernels)
    return passes + update + 2 * moved / card.host_bandwidth


def remedy(
    params: schema.Params,
    recipe: str,
    one: schema.Recipe,
    card: Card,
    clip_s: float | None,
    report: Report,
) -> str:
    """The first single change of a recipe that does not fit that makes it fit, tried in order; says so when there is none."""
    for text, changed in changes(one.train, params.machine.processes, params.nodes.count):
        report(f"{recipe}: does not fit; trying {text}")
        found, _ = rehearse(params, one.base, changed, recipe, not card.is_host, clip_s)
        if sum(_memory(found, card, changed)[0].values()) <= card.bytes:
            return text
    more = "more GPUs (machine.processes)" if one.train.shard else "a larger card"
    return f"no single setting is enough; {more}, or mode: lora with weights: bf16, activation_checkpointing: all and clips_per_pass: 1"


def changes(train: schema.Train, processes: int = 1, machines: int = 1) -> Iterator[tuple[str, schema.Train]]:
    """Changes of one setting (with what it drags along), the cheapest in speed and quality first."""
    if (early := train.early_stopping) is not None and early.device is None:
        yield (
            "train.early_stopping.device: cpu (training waits for it)",
            replace(train, early_stopping=replace(early, device="cpu")),
        )
        yield "train.early_stopping: null", replace(train, early_stopping=None)
    if train.activation_checkpointing != "all":
        yield "train.activation_checkpointing: all", replace(train, activation_checkpointing="all")
    can_shard = (
        train.optimizer in optimizers.of_fp32() and train.weights == "fp32" and not train.compile_layers
    )
    if processes > 1 and machines == 1 and train.mode == "full" and can_shard and not train.shard:
        yield "train.shard: true", replace(train, shard=True)
    if train.shard:  # of what follows, shorter passes alone are not refused with it
        fits = [n for n in range(1, train.clips_per_pass) if not train.clips_per_step % (n * processes)]
        yield from ((f"train.clips_per_pass: {n}", replace(train, clips_per_pass=n)) for n in fits[-1:])
        if train.reference_share:
            yield "train.reference_share: 0.0", replace(train, reference_share=0.0)
        return
    if train.mode == "lora" and train.weights == "fp32":
        yield "train.weights: bf16 (autocast: false)", replace(train, weights="bf16", autocast=False)
    leaner = optimizers.leaner(train.optimizer)
    of_bf16 = train.optimizer if train.optimizer in optimizers.of_bf16() else leaner
    if train.mode == "full" and train.weights == "fp32" and of_bf16 is not None:
        dragged = "autocast: false" + (f", optimizer: {of_bf16}" if of_bf16 != train.optimizer else "")
        lean = replace(train, weights="bf16_split16", autocast=False, optimizer=of_bf16)
        yield f"train.weights: bf16_split16 ({dragged})", lean
    if leaner is not None and leaner != train.optimizer:
        yield f"train.optimizer: {leaner}", replace(train, optimizer=leaner)
    divisors = [n for n in range(1, train.clips_per_pass) if train.clips_per_step % n == 0]
    for clips in (
        sorted({divisors[len(divisors) // 2], 1}, reverse=True)
        if divisors and not train.gradient_release
        else []
    ):
        yield f"train.clips_per_pass: {clips}", replace(train, clips_per_pass=clips)
    if train.mode == "full" and of_bf16 is not None:
        stochastic = replace(train, weights="bf16_stochastic", autocast=False, optimizer=of_bf16)
        yield "train.weights: bf16_stochastic", stochastic
    if train.reference_share:
        yield "train.reference_share: 0.0", replace(train, reference_share=0.0)

"""What no single setting can know: settings of params.yaml that contradict each other, or the family of a base, each with its dotted path."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from voicelathe import families, layout
from voicelathe.config import schema
from voicelathe.families import decoding
from voicelathe.families.base import FamilySpec
from voicelathe.train import optimizers

ADDRESS = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}"  # HOST:PORT


def contradictions(params: schema.Params) -> Iterator[str]:
    """Every problem of settings that are valid one by one."""
    for kind, names in (("bases", params.bases), ("recipes", params.recipes)):
        for name in names:
            if not re.match(schema.NAME, name):
                yield f"{kind}.{name}: a name may hold lower-case letters, digits, '_' and '-' only"
    if (address := params.engine.address) not in (None, "auto") and not re.fullmatch(ADDRESS, address or ""):
        yield f"engine.address = {address!r}: auto, HOST:PORT of the cluster's head or null is expected, without a scheme (docs/scale.md)"
    yield from of_nodes(params.nodes, params.machine.processes)
    if params.ingest.recording_from is not None:
        yield from _regex("ingest.recording_from", params.ingest.recording_from, groups=1)
    for number, pattern in enumerate(params.gate.boilerplate):
        yield from _regex(f"gate.boilerplate.{number}", pattern, groups=0)
    for name, base in params.bases.items():
        if base.family not in families.TABLE:
            known = ", ".join(sorted(families.TABLE))
            yield f"bases.{name}.family = {base.family!r}: no such family; there are {known}"
    for name, one in params.recipes.items():
        yield from of_recipe(f"recipes.{name}", one, params)
        if one.base in params.bases and params.bases[one.base].family in families.TABLE:
            family = families.find(params.bases[one.base].family)
            yield from of_family(f"recipes.{name}", one, family.spec)
            yield from of_zero_shot(f"recipes.{name}.evaluate", one.evaluate, family.spec)


def of_nodes(nodes: schema.Nodes, processes: int) -> Iterator[str]:
    """Processes that machines cannot share evenly, and an address that is none."""
    if processes % nodes.count:
        yield (
            f"nodes.count = {nodes.count}: machine.processes = {processes}, the processes of all machines together, cannot be shared evenly; "
            f"set it to {nodes.count} times the GPUs of one machine, or nodes.count: 1"
        )
    if nodes.rendezvous is not None and not re.fullmatch(ADDRESS, nodes.rendezvous):
        yield f"nodes.rendezvous = {nodes.rendezvous!r}: HOST:PORT of the first machine or null is expected, without a scheme (docs/scale.md)"


def of_zero_shot(where: str, one: schema.Evaluate, spec: FamilySpec) -> Iterator[str]:
    """A way to take over a voice that the base does not have."""
    if one.zero_shot is None or one.zero_shot in spec.zero_shot:
        return
    told = (
        f"takes over a voice by {' or '.join(spec.zero_shot)}; set it to {spec.zero_shot[0]}"
        if spec.zero_shot
        else "takes over no voice from a clip; set it to null"
    )
    yield f"{where}.zero_shot = {one.zero_shot}: {spec.id} {told}"


def of_recipe(where: str, one: schema.Recipe, params: schema.Params) -> Iterator[str]:
    """What the base, the machine and the other sections of a recipe must agree with."""
    train = one.train
    if one.base not in params.bases:
        yield f"{where}.base = {one.base!r}: no such base; there are {sorted(params.bases)}. Add it: voicelathe base add DIR"
    if (train.mode == "lora") != (train.lora is not None):
        yield f"{where}.train.lora = {train.lora!r}: mode: lora needs the adapter's settings, mode: full needs null"
    if train.clips_per_step % train.clips_per_pass:
        yield f"{where}.train.clips_per_pass = {train.clips_per_pass}: must divide clips_per_step ({train.clips_per_step})"
    if train.checkpoint_every > train.steps:
        yield f"{where}.train.checkpoint_every = {train.checkpoint_every}: no checkpoint before steps ({train.steps}) is over"
    if train.autocast and params.machine.device == "cpu":
        yield f"{where}.train.autocast = true: upstream's autocast is for CUDA; set it to false with machine.device: cpu"
    if train.replay_share >= 1.0:
        yield f"{where}.train.replay_share = {train.replay_share}: no clip of the voice would be trained on; set less than 1, for example 0.1"
    yield from of_schedule(f"{where}.train", train)
    yield from of_shares(f"{where}.train", train, params.machine.processes)
    yield from of_shards(f"{where}.train", train, params.machine.processes, params.nodes.count)
    yield from of_memory(f"{where}.train", train)
    yield from of_early_stopping(f"{where}.train", train, params.nodes.count)
    if train.mode == "lora" and not one.evaluate.lora_scales:
        yield f"{where}.evaluate.lora_scales = []: an adapter needs at least one LoRA scale, for example [1.0]"
    pack = PurePosixPath(one.listen.lines)
    if pack.parts[:-1] != layout.LINES.parts or pack.suffix != ".jsonl":
        yield f"{where}.listen.lines = {one.listen.lines!r}: a pack is a file {layout.LINES}/NAME.jsonl, because the stages depend on that folder; make one: voicelathe lines propose"
    if len({line.id for line in one.listen.long_lines}) < len(one.listen.long_lines):
        yield f"{where}.listen.long_lines: every line needs its own id"


def of_schedule(where: str, train: schema.Train) -> Iterator[str]:
    """Parts of the schedule that do not fit into the steps, or that its shape does not have."""
    if train.warmup_steps >= train.steps:
        yield f"{where}.warmup_steps = {train.warmup_steps}: must be less than steps ({train.steps})"
    decays = train.schedule == "warmup_stable_decay"
    if decays != (train.decay_steps is not None):
        wanted = "needs the number of its last steps" if decays else "has none; set null"
        yield f"{where}.decay_steps = {train.decay_steps}: schedule: {train.schedule} {wanted}"
    elif train.decay_steps is not None and train.warmup_steps + train.decay_steps > train.steps:
        yield (
            f"{where}.decay_steps = {train.decay_steps}: together with warmup_steps ({train.warmup_steps}) more than "
            f"steps ({train.steps})"
        )


def of_shares(where: str, train: schema.Train, processes: int) -> Iterator[str]:
    """What several processes cannot share."""
    passes = train.clips_per_step // train.clips_per_pass
    if passes % processes:
        yield (
            f"{where}.clips_per_pass = {train.clips_per_pass}: {passes} passes a step cannot be shared evenly among machine.processes = "
            f"{processes}; make clips_per_step ({train.clips_per_step}) a multiple of clips_per_pass times {processes}"
        )
    if processes > 1 and train.gradient_release:
        yield f"{where}.gradient_release = true: gradients are used before machine.processes = {processes} could add theirs; set it to false"


def of_shards(where: str, train: schema.Train, processes: int, machines: int) -> Iterator[str]:
    """What processes cannot do that hold a model together; what they can is an optimizer with fp32 moments over fp32 weights."""
    if not train.shard:
        return
    if train.mode == "lora":
        yield (
            f"{where}.shard = true: for mode: full; with mode: lora nearly all memory is the frozen base, which has no gradients and no "
            "optimizer state to share. Set shard: false, and where a card is full weights: bf16 and activation_checkpointing: all"
        )
        return
    if processes == 1:
        yield f"{where}.shard = true: there is nobody to share with at machine.processes = 1; set that to the number of GPUs, or shard: false"
    if machines > 1:
        yield f"{where}.shard = true: only among the GPUs of one machine; set nodes.count ({machines}) to 1, or shard: false"
    if train.optimizer in optimizers.TABLE and optimizers.find(train.optimizer).footprint.bits != 32:
        yield (
            f"{where}.optimizer = {train.optimizer!r}: 8-bit moments share a scale among values that shard: true would part; set "
            f"{' or '.join(optimizers.of_fp32())}, or shard: false"
        )
    if train.weights != "fp32":
        yield f"{where}.weights = {train.weights!r}: with shard: true weights are fp32; set that, on cuda with autocast: true, or shard: false"
    if train.compile_layers:
        yield f"{where}.compile_layers = true: not together with shard: true, which nobody has tried; set one of them to false"


def of_early_stopping(where: str, train: schema.Train, machines: int) -> Iterator[str]:
    """A run that could never stop early, and one whose checkpoints nobody beside the training could judge."""
    if (early := train.early_stopping) is None:
        return
    num, least = len(train.checkpoint_steps), early.patience + 3
    if num < least:
        yield (
            f"{where}.early_stopping.patience = {early.patience}: a run of {num} checkpoints ends before it could stop early, which takes {least}; "
            "lower patience or checkpoint_every, or set early_stopping: null"
        )
    if machines > 1:
        yield f"{where}.early_stopping: only on one machine; set nodes.count ({machines}) to 1, or early_stopping: null"


def of_memory(where: str, train: schema.Train) -> Iterator[str]:
    """Stacks that would train wrongly, or that say one thing twice."""
    if train.optimizer not in optimizers.TABLE:
        known = ", ".join(sorted(optimizers.TABLE))
        yield f"{where}.optimizer = {train.optimizer!r}: no such optimizer; there are {known}"
        return
    scales_itself = optimizers.find(train.optimizer).footprint.scales_itself
    if train.mode == "full" and train.weights == "bf16":
        yield (
            f"{where}.weights = 'bf16': with mode: full most updates would be lost, being smaller than half the distance between two "
            "bf16 numbers. Set bf16_split16 (exact), bf16_split8 or bf16_stochastic"
        )
    if train.mode == "lora" and train.weights not in ("fp32", "bf16"):
        yield f"{where}.weights = {train.weights!r}: the base of an adapter is frozen and needs no master; set bf16"
    if train.mode == "full" and train.weights not in ("fp32", "bf16") and not scales_itself:
        known = " or ".join(optimizers.of_bf16())
        yield f"{where}.optimizer = {train.optimizer!r}: bf16 weights are updated by the 8-bit kernels; set {known}"
    if train.autocast and train.weights != "fp32":
        yield f"{where}.autocast = true: bf16 weights compute in bf16 anyway; set it to false"
    if train.gradient_release:
        if train.max_grad_norm is not None:
            yield (
                f"{where}.max_grad_norm = {train.max_grad_norm}: with gradient_release the global norm is known only after the update; "
                "set it to null, or gradient_release to false"
            )
        if train.mode == "lora" or not scales_itself:
            yield f"{where}.gradient_release = true: for mode: full with an 8-bit optimizer; elsewhere gradients are small or stay"
        if train.clips_per_pass != train.clips_per_step:
            yield f"{where}.gradient_release = true: a step must be one pass; set clips_per_pass to clips_per_step ({train.clips_per_step})"


def _able(what: str) -> str:
    """The families whose spec says that they can do something."""
    return ", ".join(name for name in families.TABLE if getattr(families.spec(name), what))


def of_family(where: str, one: schema.Recipe, spec: FamilySpec) -> Iterator[str]:
    """What the model family of the base knows and the recipe must agree with."""
    if one.train.mode not in spec.modes:
        yield f"{where}.train.mode = {one.train.mode}: {spec.id} knows {', '.join(sorted(spec.modes))}"
    for scope in one.train.lora.scope if one.train.lora else []:
        if scope not in spec.scopes:
            yield f"{where}.train.lora.scope = {scope!r}: {spec.id} has {', '.join(sorted(spec.scopes))}"
    if one.train.cache_encoder and not (one.train.lora and set(one.train.lora.scope) <= spec.cached_with):
        known = ", ".join(sorted(spec.cached_with)) or "no scope"
        yield (
            f"{where}.train.cache_encoder = true: the encoder's output of {spec.id} stays the same only with mode: lora and a scope "
            f"of {known}"
        )
    if one.train.reference_share and not spec.trains_with_references:
        yield (
            f"{where}.train.reference_share = {one.train.reference_share}: upstream does not train {spec.id} with references, only {_able('trains_with_references')}; "
            "set it to 0.0"
        )
    if one.train.control and not spec.trains_with_control:
        yield f"{where}.train.control = true: upstream's {spec.id} knows no control in front of a text, only {_able('trains_with_control')}; set it to false"
    if one.evaluate.control_lines and not spec.trains_with_control:
        yield f"{where}.evaluate.control_lines = {one.evaluate.control_lines}: upstream's {spec.id} knows no control, only {_able('trains_with_control')}; set it to 0"
    elif 0 < one.evaluate.control_lines < schema.FEWEST_CONTROL_LINES:
        yield (
            f"{where}.evaluate.control_lines = {one.evaluate.control_lines}: so few lines show nothing; set {schema.FEWEST_CONTROL_LINES} or more, "
            "or 0 to leave it out"
        )
    if "ignores_control" in one.select.vetoes and not one.evaluate.control_lines:
        yield f"{where}.select.vetoes names ignores_control, and evaluate.control_lines is 0: nothing would show it; set 16, or take it out"
    if one.train.replay_share and not spec.replays_others:
        yield (
            f"{where}.train.replay_share = {one.train.replay_share}: a checkpoint of {spec.id} would carry the other speakers, too; only {_able('replays_others')} "
            "can mix them in; set it to 0.0"
        )
    for name, problem in decoding.problems(spec.decoding, one.speak):
        yield f"{where}.speak.{name} = {one.speak.get(name, '(missing)')}: {problem}"
    if set(one.select.loss_weights) != set(spec.loss_weights):
        seen, wanted = sorted(one.select.loss_weights), ", ".join(sorted(spec.loss_weights))
        yield f"{where}.select.loss_weights = {seen}: {spec.id} has the losses {wanted}"


def _regex(where: str, pattern: str, groups: int) -> Iterator[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        yield f"{where} = {pattern!r}: not a regular expression ({problem})"
        return
    if compiled.groups < groups:
        yield f"{where} = {pattern!r}: needs a group that captures the recording, for example ([^/]+)_\\d+"

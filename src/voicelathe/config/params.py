"""params.yaml -> typed settings: every problem of the file at once, with its dotted path, the value seen and what is expected.

The file is read as YAML 1.2 with ruamel.yaml, which is DVC's own parser: PyYAML reads the `1e-05` that DVC writes as a string.
"""

import functools
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any

from voicelathe import families, layout
from voicelathe.config import schema, version
from voicelathe.digest import write_text
from voicelathe.errors import ParamsError, listing
from voicelathe.families.base import FamilySpec, Promptable
from voicelathe.train import optimizers

FILE = Path("params.yaml")
PACKS = "lines are a file below lines/ now, held-out ones among them (docs/lines.md); make one: voicelathe lines propose"
MOVED = {  # settings of earlier versions, as in a recipe pasted from one -> where they went
    "listen.lines": PACKS,
    "listen.held_out_lines": PACKS,
}
NULL = "tag:yaml.org,2002:null"


def load(path: Path = FILE) -> schema.Params:
    """Read and check the whole file. Raises ParamsError that lists every problem.

    Parsing takes 0.1 s, so a process parses the same text once; settings are frozen.
    """
    return _loaded(text_of(path), str(path))


@functools.lru_cache(maxsize=4)
def _loaded(text: str, where: str) -> schema.Params:
    return check(parse(text, where), where)


def check(raw: object, where: str) -> schema.Params:
    """Validate already parsed YAML; `where` opens the error message."""
    import pydantic

    try:
        params = pydantic.TypeAdapter(schema.Params).validate_python(version.without(raw, where))
    except pydantic.ValidationError as problem:
        raise ParamsError(_report(where, _structural(problem, raw))) from None
    if problems := list(_contradictions(params)):
        raise ParamsError(_report(where, problems))
    return params


def recipe(params: schema.Params, name: str) -> schema.Recipe:
    """The recipe of that name. Raises ParamsError with the names there are."""
    if name not in params.recipes:
        raise ParamsError(
            f"recipes.{name}: no such recipe in {FILE}. There are: {', '.join(sorted(params.recipes))}."
        )
    return params.recipes[name]


def read_yaml(path: Path) -> Any:
    """Parse YAML 1.2 keeping comments, so that `edit` can write the file back."""
    return parse(text_of(path), str(path))


def text_of(path: Path) -> str:
    """The text of a settings file. Raises ParamsError when there is none."""
    if not path.is_file():
        raise ParamsError(
            f"{path} is missing. Run in the project's root, or restore the file: git checkout {path}"
        )
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as problem:
        raise ParamsError(f"{path} is not readable YAML: {problem}") from None


def parse(text: str, where: str) -> Any:
    """YAML 1.2 with its comments; `where` opens the error message."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return _yaml(YAML).load(text)
    except YAMLError as problem:
        raise ParamsError(f"{where} is not readable YAML: {problem}") from None


def edit(changes: Mapping[str, object], path: Path = FILE) -> None:
    """Set keys given as `section/name/key`, creating what is missing and keeping comments; refuses a result that `load` would refuse."""
    tree = read_yaml(path)
    for dotted, value in changes.items():
        *parents, leaf = dotted.split("/")
        place = tree
        for part in parents:
            place = place.setdefault(part, {})
        place[leaf] = value
    _write(tree, path)


def _write(tree: Any, path: Path) -> None:
    check(tree, f"{path} (after the edit)")
    write_text(path, dump(tree))


def dump(tree: Any) -> str:
    """The text of what `parse` gave, with its comments."""
    from ruamel.yaml import YAML

    text = StringIO()
    _yaml(YAML).dump(tree, text)
    return text.getvalue()


def copy_recipe(source: str, copies: Mapping[str, Mapping[str, object]], path: Path = FILE) -> None:
    """Add recipes that equal `source` but for keys given as `section/key`; all that stands in the file stays as it is.

    A section that the file shares by an anchor is shared with the copies, too, unless they differ in it.
    """
    tree = read_yaml(path)
    recipes = tree["recipes"]
    for name, changes in copies.items():
        changed = {key.split("/")[0] for key in changes}
        made = _bare({})
        for section, value in recipes[source].items():
            made[section] = value if _is_anchored(value) and section not in changed else _bare(value)
        for key, value in changes.items():
            section, leaf = key.split("/")
            made[section][leaf] = value
            made[section].yaml_add_eol_comment(f"all that differs from recipes.{source}", leaf)
        recipes[name] = made
    _write(tree, path)


def _is_anchored(node: Any) -> bool:
    return getattr(getattr(node, "anchor", None), "value", None) is not None


def _bare(node: Any) -> Any:
    """A copy without comments and anchors, which are the original's; its style of braces and quotes is kept."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if not isinstance(node, (dict, list)):
        return node
    made: Any = CommentedMap() if isinstance(node, dict) else CommentedSeq()
    if hasattr(node, "fa") and node.fa.flow_style():
        made.fa.set_flow_style()
    if isinstance(node, dict):
        made.update((key, _bare(value)) for key, value in node.items())
    else:
        made.extend(_bare(value) for value in node)
    return made


def _yaml(kind: Any) -> Any:
    yaml = kind()
    yaml.preserve_quotes = True
    yaml.width = 4096  # a line stays as long as its author made it
    # As params.yaml is written by hand, so that an edit changes no line but its own.
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(type(None), lambda dumper, _: dumper.represent_scalar(NULL, "null"))
    return yaml


def _structural(problem: Any, raw: object) -> Iterator[str]:
    for error in problem.errors(include_url=False):
        location = [
            str(part) for part in error["loc"] if not str(part).startswith(("function-", "dataclass"))
        ]
        seen = "(missing)" if error["type"] == "missing" else repr(error["input"])
        message = "unknown key" if error["type"] == "unexpected_keyword_argument" else _lower(error["msg"])
        moved = next((f"; {hint}" for name, hint in MOVED.items() if ".".join(location).endswith(name)), "")
        yield f"{'.'.join(location)} = {_short(seen)}: {message}{moved}"


def _contradictions(params: schema.Params) -> Iterator[str]:
    """What no single field can know."""
    import re

    for kind, names in (("bases", params.bases), ("recipes", params.recipes)):
        for name in names:
            if not re.match(schema.NAME, name):
                yield f"{kind}.{name}: a name may hold lower-case letters, digits, '_' and '-' only"
    if params.ingest.recording_from is not None:
        yield from _regex("ingest.recording_from", params.ingest.recording_from, groups=1)
    for number, pattern in enumerate(params.gate.boilerplate):
        yield from _regex(f"gate.boilerplate.{number}", pattern, groups=0)
    for name, base in params.bases.items():
        if base.family not in families.TABLE:
            known = ", ".join(sorted(families.TABLE))
            yield f"bases.{name}.family = {base.family!r}: no such family; there are {known}"
    for name, one in params.recipes.items():
        yield from _recipe_contradictions(f"recipes.{name}", one, params)
        if one.base in params.bases and params.bases[one.base].family in families.TABLE:
            family = families.find(params.bases[one.base].family)
            yield from _family_contradictions(f"recipes.{name}", one, family.spec)
            if one.evaluate.zero_shot and not isinstance(family, Promptable):
                yield f"recipes.{name}.evaluate.zero_shot = true: {family.spec.id} takes no reference clip; set it to false"


def _recipe_contradictions(where: str, one: schema.Recipe, params: schema.Params) -> Iterator[str]:
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
    yield from _schedule_contradictions(f"{where}.train", train)
    yield from _share_contradictions(f"{where}.train", train, params.machine.processes)
    yield from _memory_contradictions(f"{where}.train", train)
    if train.mode == "lora" and not one.evaluate.lora_scales:
        yield f"{where}.evaluate.lora_scales = []: an adapter needs at least one LoRA scale, for example [1.0]"
    pack = PurePosixPath(one.listen.lines)
    if pack.parts[:-1] != layout.LINES.parts or pack.suffix != ".jsonl":
        yield f"{where}.listen.lines = {one.listen.lines!r}: a pack is a file {layout.LINES}/NAME.jsonl, because the stages depend on that folder; make one: voicelathe lines propose"
    if len({line.id for line in one.listen.long_lines}) < len(one.listen.long_lines):
        yield f"{where}.listen.long_lines: every line needs its own id"


def _schedule_contradictions(where: str, train: schema.Train) -> Iterator[str]:
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


def _share_contradictions(where: str, train: schema.Train, processes: int) -> Iterator[str]:
    """What several processes cannot share."""
    passes = train.clips_per_step // train.clips_per_pass
    if passes % processes:
        yield (
            f"{where}.clips_per_pass = {train.clips_per_pass}: {passes} passes a step cannot be shared evenly among machine.processes = "
            f"{processes}; make clips_per_step ({train.clips_per_step}) a multiple of clips_per_pass times {processes}"
        )
    if processes > 1 and train.gradient_release:
        yield f"{where}.gradient_release = true: gradients are used before machine.processes = {processes} could add theirs; set it to false"


def _memory_contradictions(where: str, train: schema.Train) -> Iterator[str]:
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


def _family_contradictions(where: str, one: schema.Recipe, spec: FamilySpec) -> Iterator[str]:
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
    if set(one.select.loss_weights) != set(spec.loss_weights):
        seen, wanted = sorted(one.select.loss_weights), ", ".join(sorted(spec.loss_weights))
        yield f"{where}.select.loss_weights = {seen}: {spec.id} has the losses {wanted}"


def _regex(where: str, pattern: str, groups: int) -> Iterator[str]:
    import re

    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        yield f"{where} = {pattern!r}: not a regular expression ({problem})"
        return
    if compiled.groups < groups:
        yield f"{where} = {pattern!r}: needs a group that captures the recording, for example ([^/]+)_\\d+"


def _report(where: str, problems: Iterator[str] | list[str]) -> str:
    lines = sorted(problems)
    return f"{where} has {len(lines)} problem{'s' if len(lines) > 1 else ''}:\n{listing(lines, shown=30)}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."

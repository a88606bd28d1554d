"""params.yaml -> typed settings: every problem of the file at once, with its dotted path, the value seen and what is expected.

The file is read as YAML 1.2 with ruamel.yaml, which is DVC's own parser: PyYAML reads the `1e-05` that DVC writes as a string.
"""

import functools
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voicelathe.config import checks, schema, version
from voicelathe.digest import write_text
from voicelathe.errors import ParamsError, listing

if TYPE_CHECKING:
    import pydantic

FILE = Path("params.yaml")
PACKS = "lines are a file below lines/ now, held-out ones among them (docs/lines.md); make one: voicelathe lines propose"
MPS = "Apple's GPUs are not supported: bitsandbytes, CUDA's kernels and what is said of memory are for NVIDIA's. Take cpu here, and train on a machine with an NVIDIA card"
WAYS = "null is what false was; true of an older recipe becomes the way of its family (docs/choosing.md)"
HINTS = (  # end of a setting's name, its value or None for any, what to do: settings of earlier versions, as in a recipe pasted from one, and what people expect to be there
    ("listen.lines", None, PACKS),
    ("listen.held_out_lines", None, PACKS),
    ("machine.device", "mps", MPS),
    ("evaluate.zero_shot", None, WAYS),
)
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
        params = _adapter().validate_python(version.without(raw, where))
    except pydantic.ValidationError as problem:
        raise ParamsError(_report(where, _structural(problem, raw))) from None
    if problems := list(checks.contradictions(params)):
        raise ParamsError(_report(where, problems))
    return params


@functools.cache
def _adapter() -> "pydantic.TypeAdapter[schema.Params]":
    import pydantic

    return pydantic.TypeAdapter(schema.Params)


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


def sharing(recipe: str, section: str, path: Path = FILE) -> list[str]:
    """Other recipes whose section is the very same by an anchor, so that an edit would change them, too."""
    recipes = read_yaml(path)["recipes"]
    own = recipes[recipe][section]
    return [name for name, one in recipes.items() if name != recipe and one.get(section) is own]


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
        name, value = ".".join(location), error["input"]
        hint = next(
            (f"; {hint}" for end, of, hint in HINTS if name.endswith(end) and of in (None, value)), ""
        )
        yield f"{name} = {_short(seen)}: {message}{hint}"


def _report(where: str, problems: Iterator[str] | list[str]) -> str:
    lines = sorted(problems)
    return f"{where} has {len(lines)} problem{'s' if len(lines) > 1 else ''}:\n{listing(lines, shown=30)}"


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def _short(text: str, limit: int = 80) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."

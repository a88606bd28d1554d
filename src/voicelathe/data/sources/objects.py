"""Values inside the objects of a row, by names with dots: annotation.text. A list of one is as good as what it holds."""

from collections.abc import Mapping
from typing import Any

from voicelathe.data.manifest.fields import ALIASES

MAX_DEPTH = 8


def leaves(row: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Every value of a row that is no object, by its name, and the names of lists of several."""
    found: dict[str, Any] = {}
    lists: set[str] = set()
    _walk(row, "", found, lists, 0)
    return found, lists


def _walk(value: Any, name: str, found: dict[str, Any], lists: set[str], depth: int) -> None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list):
        lists.add(name)
    elif isinstance(value, Mapping) and depth < MAX_DEPTH:
        for key, inner in value.items():
            _walk(inner, f"{name}.{key}" if name else str(key), found, lists, depth + 1)
    else:
        found[name] = value


def value(row: Mapping[str, Any], name: str) -> Any:
    """The value under a name, which may have dots; None where there is none."""
    if name in row:
        held = row[name]
        return held[0] if isinstance(held, list) and len(held) == 1 else held
    head = _known(row, name).partition(".")[0]
    return leaves({head: row[head]})[0].get(_known(row, name)) if head in row else None


def without(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The row without the value under a name, and without objects that then hold nothing."""
    if name in row:
        return {key: held for key, held in row.items() if key != name}
    head, _, rest = _known(row, name).partition(".")
    held = row.get(head)
    if isinstance(held, list) and len(held) == 1:
        held = held[0]
    if not isinstance(held, Mapping) or not rest:
        return {key: one for key, one in row.items() if key != head}
    left = without(held, rest)
    return {key: left if key == head else one for key, one in row.items() if key != head or left}


def _known(row: Mapping[str, Any], name: str) -> str:
    """A name as the row has it: some keys are read under our name already, and both are known then."""
    if name in row:
        return name
    head, dot, rest = name.partition(".")
    return name if head in row else f"{ALIASES.get(head, head)}{dot}{rest}"

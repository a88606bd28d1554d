"""What do installed packages offer under one of our groups of entry points? A metric, a watermark."""

import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from voicelathe.errors import VoiceLatheError


def offered(
    group: str, kind: str, error: type[VoiceLatheError], built_in: Mapping[str, str] | None = None
) -> dict[str, EntryPoint]:
    """Name -> entry point of a class or factory without arguments, ours (name -> `module:object`) among them.

    `kind`: what they are, in the plural. Raises `error` when two packages offer one name.
    """
    found = {name: EntryPoint(name, value, group) for name, value in (built_in or {}).items()}
    for point in _installed(group, tuple(sys.path)):
        if point.name in found and found[point.name].value != point.value:
            raise error(
                f"Two {kind} are called {point.name!r}: {found[point.name].value} and {point.value}. Uninstall one of them."
            )
        found[point.name] = point
    return found


@cache
def _installed(group: str, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Reads the file of entry points of every installed package, a tenth of a second for the few hundred of this one; so once a process and path."""
    return tuple(entry_points(group=group))

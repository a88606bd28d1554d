"""Of which version is a params.yaml, and can it be read?"""

from collections.abc import Mapping
from typing import Any

from voicelathe.errors import ParamsError

KEY, VERSION = "version", 4  # raised with every change that an older file has to follow: `changes.CHANGES`


def of(raw: Mapping[str, Any], where: str) -> int:
    """The version that a file says; 1 for one of the time before versions. Raises ParamsError for none that there is."""
    found = raw.get(KEY, 1)
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= VERSION:
        newer = isinstance(found, int) and found > VERSION
        what = (
            "it was written for a newer voicelathe; update this one" if newer else "leave the line as it was"
        )
        raise ParamsError(
            f"{where}: version = {found!r}: a whole number from 1 to {VERSION} is expected; {what}."
        )
    return found


def without(raw: object, where: str) -> object:
    """The settings alone, of a file of this version. Raises ParamsError for an older one, with the command that upgrades it."""
    if not isinstance(raw, Mapping):
        return raw
    if (found := of(raw, where)) < VERSION:
        raise ParamsError(
            f"{where} is of version {found}; version {VERSION} is read. To see what an upgrade changes: voicelathe params "
            "upgrade; to do it: voicelathe params upgrade --write. It names all that it changes."
        )
    return {key: value for key, value in raw.items() if key != KEY}

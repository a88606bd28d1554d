"""Which watermark does everything carry that this project gives out? That of a plug-in, which `consent.watermark` names; none is shipped.

A plug-in is a class under the entry point group `voicelathe.watermarks`. Its mark is read back from the very samples that leave, and
samples whose mark cannot be read back do not leave.
"""

import threading
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from voicelathe import plugins
from voicelathe.errors import WatermarkError

GROUP = "voicelathe.watermarks"
SETTING = "consent.watermark"
Samples = NDArray[np.int16]


class Watermark(Protocol):
    """What a package offers: a class without arguments, of which a process makes one object. One thread at a time calls it."""

    def mark(self, samples: Samples, rate_hz: int, payload: bytes) -> Samples:
        """The same sound with a mark that says `payload` (two bytes): int16, one channel, of the same length. `samples` is read-only.

        A piece may be as short as a word.
        """

    def found(self, samples: Samples, rate_hz: int) -> bytes | None:
        """What the mark in a sound says; None where there is none."""


@dataclass(frozen=True)
class Marker:
    """A plug-in that is loaded."""

    name: str
    plugin: Watermark = field(repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def marked(self, samples: Samples, rate_hz: int, payload: bytes) -> Samples:
        """Raises WatermarkError when the mark cannot be read back, or the plug-in returned something else than the sound."""
        samples = samples.copy()
        samples.flags.writeable = False
        with self._turn:
            made = self._asked("mark", samples, rate_hz, payload)
            if not isinstance(made, np.ndarray) or (made.dtype, made.shape) != (np.int16, samples.shape):
                raise WatermarkError(
                    f"{SETTING} = {self.name!r} gave back {_shape(made)}, not {_shape(samples)}; nothing is given out. "
                    "Correct the plug-in."
                )
            made = made.copy()  # whatever the plug-in does with its own array later
            made.flags.writeable = False
            seen = self._asked("found", made, rate_hz)
        if seen != payload:
            what = "nothing" if seen is None else repr(seen)[:40]
            raise WatermarkError(
                f"{SETTING} = {self.name!r}: its mark could not be read back from {len(made) / rate_hz:.2f} s of speech (put in "
                f"{payload!r}, found {what}), so nothing is given out. Try a longer text; if that fails, too, correct the plug-in."
            )
        return made

    def _asked(self, what: str, *arguments: Any) -> Any:
        try:
            return getattr(self.plugin, what)(*arguments)
        except Exception as problem:  # of a stranger's code
            raise WatermarkError(
                f"{SETTING} = {self.name!r}: its {what} failed ({type(problem).__name__}: {problem}); nothing is given out."
            ) from problem


def find(name: str) -> EntryPoint:
    """Raises WatermarkError that lists what there is, and when two packages offer one name."""
    found = plugins.offered(GROUP, "watermarks", WatermarkError)
    if name not in found:
        raise WatermarkError(
            f"{SETTING} = {name!r}: no installed package offers it. There are: {', '.join(sorted(found)) or 'none'}. "
            f"Install the package that does (entry points {GROUP})"
        )
    return found[name]


def load(name: str) -> Marker:
    """Raises WatermarkError for a plug-in that is not installed, cannot be imported, or has no `mark` and `found`."""
    point = find(name)
    try:
        plugin = point.load()()
    except Exception as problem:  # of a stranger's code
        raise WatermarkError(
            f"{SETTING} = {name!r}: {point.value} cannot be loaded ({type(problem).__name__}: {problem}). Install it again."
        ) from problem
    missing = [one for one in ("mark", "found") if not callable(getattr(plugin, one, None))]
    if missing:
        raise WatermarkError(
            f"{SETTING} = {name!r}: {point.value} has no {' and no '.join(missing)}. Correct the plug-in."
        )
    return Marker(name, plugin)


def problem(name: str) -> str | None:
    """Why nothing could be marked by a plug-in of this name; None when it is installed."""
    try:
        find(name)
    except WatermarkError as found:
        return str(found)
    return None


def _shape(made: object) -> str:
    return f"{made.dtype} {made.shape}" if isinstance(made, np.ndarray) else type(made).__name__

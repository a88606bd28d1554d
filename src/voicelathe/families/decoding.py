"""How does a family speak: by which settings, within which limits, and under which names does upstream know them?

Decoding settings are part of what is judged: a recipe names every one of them in `speak:`, each sample's record keeps them, and a
promoted version speaks with no others unless somebody asks for it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from voicelathe.errors import RequestError

Decoding = Mapping[str, float]  # setting -> value, every setting of the family


@dataclass(frozen=True)
class Setting:
    """One decoding setting of a family."""

    default: float  # upstream's
    least: float
    most: float
    keyword: str  # upstream's name of it
    meaning: str
    whole: bool = False  # counts something
    tried: tuple[float, ...] = ()  # what `voicelathe decoding` tries where nobody says otherwise
    costs: bool = False  # a voice computes in proportion to it

    def problem(self, value: float) -> str | None:
        """What is wrong with a value, in words that go behind it; None when nothing is."""
        if not self.least <= value <= self.most:
            return f"must be from {self.least:g} to {self.most:g} ({self.meaning})"
        if self.whole and value != int(value):
            return f"must be a whole number ({self.meaning})"
        return None

    def written(self, value: float) -> str:
        """As Python or YAML spells it."""
        return str(int(value)) if self.whole else repr(float(value))


def problems(known: Mapping[str, Setting], given: Decoding) -> Iterator[tuple[str, str]]:
    """(setting, what is wrong with it) of a whole set: unknown, out of its limits, missing."""
    for name, value in given.items():
        if name not in known:
            yield name, f"no such setting; there are {', '.join(known) or 'none'}"
        elif (problem := known[name].problem(value)) is not None:
            yield name, problem
    for name in known.keys() - given.keys():
        yield name, f"missing; upstream's own value is {known[name].written(known[name].default)}"


def defaults(known: Mapping[str, Setting]) -> dict[str, float]:
    """Upstream's own values."""
    return {name: float(setting.default) for name, setting in known.items()}


def check(known: Mapping[str, Setting], asked: Decoding) -> None:
    """Raises RequestError naming the setting, the value and its limits."""
    for name, value in asked.items():
        if name not in known:
            raise RequestError(
                f"decoding: {name}: no such setting; this voice has {', '.join(known) or 'none'}."
            )
        if (problem := known[name].problem(value)) is not None:
            raise RequestError(f"decoding: {name} = {value:g}: {problem}.")


def chosen(known: Mapping[str, Setting], own: Decoding, asked: Decoding) -> dict[str, float]:
    """A voice's own settings with what somebody asks for instead. Raises RequestError as `check`."""
    check(known, asked)
    return {name: float({**own, **asked}[name]) for name in known}


def keywords(known: Mapping[str, Setting], decoding: Decoding) -> dict[str, float]:
    """Upstream's keyword arguments."""
    return {
        setting.keyword: int(decoding[name]) if setting.whole else float(decoding[name])
        for name, setting in known.items()
    }


def as_arguments(known: Mapping[str, Setting], decoding: Decoding) -> str:
    """Upstream's keyword arguments as Python writes them in a call."""
    return ", ".join(
        f"{setting.keyword}={setting.written(decoding[name])}" for name, setting in known.items()
    )


def work(known: Mapping[str, Setting], decoding: Decoding) -> float:
    """How much is computed for the same speech, in proportion: a count of steps or beams; 1 where no setting changes it."""
    return math.prod(decoding[name] for name, setting in known.items() if setting.costs)


def as_text(decoding: Decoding) -> str:
    """`guidance 2, steps 10`: for pages and cards, in one order wherever it was read from."""
    return ", ".join(f"{name} {value:g}" for name, value in sorted(decoding.items()))

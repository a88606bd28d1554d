"""Which settings are tried? A short list of the family for each, or what somebody asks for; the recipe's own are always among them."""

import itertools
from collections.abc import Mapping, Sequence

from voicelathe.errors import RequestError, listing
from voicelathe.families.decoding import Decoding, Setting

Grid = Mapping[str, Sequence[float]]  # setting -> its values; what is not there stays as the recipe has it


def of_family(known: Mapping[str, Setting]) -> dict[str, list[float]]:
    """The family's own short lists."""
    return {name: [float(one) for one in setting.tried] for name, setting in known.items() if setting.tried}


def asked(known: Mapping[str, Setting], given: Sequence[str]) -> dict[str, list[float]]:
    """What somebody asks for, each as KEY=V1,V2. Raises RequestError with everything that is wrong with it."""
    found: dict[str, list[float]] = {}
    problems = []
    for one in given:
        name, _, said = one.partition("=")
        if not said:
            problems.append(f"{one}: give a setting and its values, as {_example(known)}")
        elif name not in known:
            problems.append(f"{name}: no such setting; there are {', '.join(known) or 'none'}")
        elif name in found:
            problems.append(f"{name} is given twice; give all its values at once: --grid {name}=V1,V2")
        else:
            found[name], wrong = _values(known[name], said)
            problems += [f"{name} = {value}" for value in wrong]
    if problems:
        raise RequestError(f"--grid has {len(problems)} problem(s):\n{listing(problems)}")
    return found


def _values(setting: Setting, said: str) -> tuple[list[float], list[str]]:
    """The values, each once, and what is wrong with the others."""
    found, wrong = [], []
    for text in said.split(","):
        try:
            value = float(text)
        except ValueError:
            wrong.append(f"{text.strip() or 'nothing'}: must be a number ({setting.meaning})")
            continue
        if (problem := setting.problem(value)) is not None:
            wrong.append(f"{value:g}: {problem}")
        elif value != float(f"{value:g}"):
            wrong.append(f"{value!r}: give at most six digits, or two values could have one name")
        else:
            found.append(value)
    return list(dict.fromkeys(found)), wrong


def _example(known: Mapping[str, Setting]) -> str:
    name = next(iter(known), "steps")
    return f"--grid {name}=V1,V2"


def crossed(grid: Grid, own: Decoding) -> list[dict[str, float]]:
    """Every combination, each with all settings; the recipe's own first, once."""
    first = {name: float(value) for name, value in own.items()}
    made = [{**first, **dict(zip(grid, values, strict=True))} for values in itertools.product(*grid.values())]
    return [first, *(one for one in made if one != first)]


def named(candidate: str, grid: Grid, one: Decoding) -> str:
    """`step_0000040@1 guidance 1.5, steps 6`: who spoke, with what was varied."""
    return f"{candidate} " + ", ".join(f"{name} {one[name]:g}" for name in sorted(grid))

"""Would other weights of the loss components nominate another candidate, and which candidates are one and the same?

A total is a choice of weights; a nomination that changes with a small change of them is not worth much, so the report shows how far
each weight may move.
"""

from collections.abc import Sequence

from voicelathe.evaluate import statistics
from voicelathe.evaluate.evidence import Paired
from voicelathe.records import WeightRange


def ranges(paired: Paired, allowed: Sequence[str]) -> list[WeightRange]:
    """For each component: which candidate is lowest at which weight of it, the other weights staying as they are."""
    ranges = []
    contenders = [one for one in paired.candidates if one.candidate in allowed]
    for name in sorted(paired.components):
        others = [
            (component, weight) for component, weight in sorted(paired.weights.items()) if component != name
        ]
        at_zero = [sum(weight * one.losses[component] for component, weight in others) for one in contenders]
        spans: dict[tuple[float, float | None], list[str]] = {}
        for part in statistics.lowest_ranges(at_zero, [one.losses[name] for one in contenders]):
            spans.setdefault((part.low, part.high), []).append(contenders[part.index].candidate)
        ranges += [
            WeightRange(name, names, round(low, 6), None if high is None else round(high, 6))
            for (low, high), names in spans.items()
        ]
    return ranges


def identical(paired: Paired) -> list[list[str]]:
    """Groups of candidates whose losses are equal on every clip: usually one set of weights saved twice."""
    groups: dict[bytes, list[str]] = {}
    for column, name in enumerate(paired.names):
        groups.setdefault(
            b"".join(values[:, column].tobytes() for _, values in sorted(paired.components.items())), []
        ).append(name)
    return [names for names in groups.values() if len(names) > 1]

"""Interleaved timing and one table: case, ours, baseline, ratio, spread."""

import statistics
import time
from collections.abc import Callable, Mapping

REPEATS = 7


def interleaved(cases: Mapping[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, list[float]]:
    """Process CPU seconds of each case, one after the other, `repeats` times; the first round warms up and does not count."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(repeats + 1):
        for name, work in cases.items():
            began = time.process_time()
            work()
            if number:
                found[name].append(time.process_time() - began)
    return found


def rows(title: str, measured: Mapping[str, list[float]], baseline: str) -> str:
    """Markdown: medians in ms, the ratio to the baseline of the same round, and the smallest and largest such ratio."""
    lines = [f"| {title} | median ms | times the baseline | lowest .. highest |", "|---|--:|--:|--:|"]
    for name, seconds in measured.items():
        ratios = [theirs / ours for ours, theirs in zip(seconds, measured[baseline], strict=True)]
        spread = f"{min(ratios):.2f} .. {max(ratios):.2f}"
        lines.append(
            f"| {name} | {1000 * statistics.median(seconds):.0f} | {statistics.median(ratios):.2f} | {spread} |"
        )
    return "\n".join(lines)

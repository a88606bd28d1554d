"""How much is left of what the base makes of a control? Paired by line, with an interval; and when too little is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from voicelathe import rng
from voicelathe.config import schema
from voicelathe.evaluate.statistics import percentile_interval, resampled_means, rounded
from voicelathe.records import Reason
from voicelathe.records.probes import KeptControl, ProbeRecord

CODE = "ignores_control"
MIN_LINES = schema.FEWEST_CONTROL_LINES
FOLLOWED = 0.995  # level of the interval by which a base follows: the same lines are the denominator of what is kept, so chance must be small
MIN_KEPT = (
    0.5  # a candidate that certainly has less than half of the base's effect does not follow the control
)
PAIRS = {  # the first control should give more seconds, decibels, hertz than the second
    "pace": ("slow", "fast"),
    "level": ("loud", "soft"),
    "pitch": ("high", "low"),
}
DIGITS = 6


def judge(base: ProbeRecord, one: ProbeRecord, seed: int) -> list[KeptControl] | None:
    """Each kind, over the lines that both have; None where controls were not asked of both."""
    if base.controls is None or one.controls is None:
        return None
    found = []
    for kind in PAIRS:
        own, theirs = base.controls.get(kind, {}), one.controls.get(kind, {})
        if own:
            found.append(_kept(kind, own, theirs, rng.key(seed, "bootstrap control", kind)))
    return found


def findings(found: Sequence[KeptControl] | None) -> Iterator[Reason]:
    """A reason for each kind that the base follows clearly and the candidate certainly does not."""
    for one in found or ():
        pair = " and ".join(PAIRS[one.kind])
        if one.follows and not one.is_comparable:
            yield Reason(
                CODE,
                f"{pair}: of {one.base_lines} lines that the base spoke under both only {one.num_lines} could be compared",
            )
        elif one.kept is not None and one.kept_interval is not None and one.kept_interval.high < MIN_KEPT:
            yield Reason(
                CODE,
                f"{pair}: {one.kept:.2f} of the base's effect is left (95 % {one.kept_interval.low:.2f} to "
                f"{one.kept_interval.high:.2f}, {one.num_lines} lines)",
            )


def _kept(kind: str, own: Mapping[str, float], theirs: Mapping[str, float], key: int) -> KeptControl:
    base_lines, lines = sorted(own), sorted(own.keys() & theirs.keys())
    alone = np.array([[own[line]] for line in base_lines], dtype=np.float64)
    both = np.array([[own[line], theirs[line]] for line in lines], dtype=np.float64).reshape(-1, 2)
    base = round(float((both if lines else alone)[:, 0].mean()), DIGITS)
    effect = round(float(both[:, 1].mean()), DIGITS) if lines else None
    drawn = resampled_means(alone, base_lines, key) if len(base_lines) >= MIN_LINES else None
    interval = None if drawn is None else rounded(percentile_interval(drawn[:, 0], FOLLOWED))
    found = KeptControl(kind, len(base_lines), len(lines), base, interval, effect, None, None)
    means = resampled_means(both, lines, key) if found.is_comparable else None
    if means is None or effect is None or base <= 0.0:
        return found
    share = rounded(percentile_interval(means[:, 1] / np.maximum(means[:, 0], 1e-12)))
    return replace(found, kept=round(effect / base, DIGITS), kept_interval=share)

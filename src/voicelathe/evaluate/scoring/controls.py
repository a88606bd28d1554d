"""How much is left of what the base makes of a control? Paired by line, with an interval; and when too little is."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from voicelathe import rng
from voicelathe.evaluate.statistics import percentile_interval, resampled_means, rounded
from voicelathe.records import Reason
from voicelathe.records.probes import KeptControl, ProbeRecord

CODE = "ignores_control"
MIN_LINES = 6  # fewer show nothing: an interval over them is too narrow
MIN_KEPT = (
    0.5  # a candidate that certainly has less than half of the base's effect does not follow the control
)
PAIRS = {"pace": "slow and fast", "level": "loud and soft", "pitch": "high and low"}
DIGITS = 6


def judge(base: ProbeRecord, one: ProbeRecord, seed: int) -> list[KeptControl] | None:
    """Each kind, over the lines that both have; None where controls were not asked of both."""
    if base.controls is None or one.controls is None:
        return None
    found = []
    for kind in PAIRS:
        own, theirs = base.controls.get(kind, {}), one.controls.get(kind, {})
        if lines := sorted(own.keys() & theirs.keys()):
            found.append(_kept(kind, lines, own, theirs, rng.key(seed, "bootstrap control", kind)))
    return found


def findings(found: Sequence[KeptControl] | None) -> Iterator[Reason]:
    """A reason for each kind that the base follows clearly and the candidate certainly does not."""
    for one in found or ():
        if one.kept is not None and one.kept_interval is not None and one.kept_interval.high < MIN_KEPT:
            yield Reason(
                CODE,
                f"{PAIRS[one.kind]}: {one.kept:.2f} of the base's effect is left (95 % {one.kept_interval.low:.2f} to "
                f"{one.kept_interval.high:.2f}, {one.num_lines} lines)",
            )


def _kept(
    kind: str, lines: Sequence[str], own: Mapping[str, float], theirs: Mapping[str, float], key: int
) -> KeptControl:
    both = np.array([[own[line], theirs[line]] for line in lines], dtype=np.float64)
    base, effect = (round(float(one), DIGITS) for one in both.mean(axis=0))
    means = resampled_means(both, lines, key) if len(lines) >= MIN_LINES else None
    if means is None:
        return KeptControl(kind, len(lines), base, None, effect, None, None)
    interval = rounded(percentile_interval(means[:, 0]))
    if interval.low <= 0.0:
        return KeptControl(kind, len(lines), base, interval, effect, None, None)
    share = rounded(percentile_interval(means[:, 1] / np.maximum(means[:, 0], 1e-12)))
    return KeptControl(kind, len(lines), base, interval, effect, round(effect / base, DIGITS), share)

"""Early signs that a run goes wrong: steps that stand out, text that stops to matter, a stop head that forgets.

Everything is compared with the run's own past, which the journal holds, so a resumed run says what an uninterrupted one would.
A sign is a reason in the step's record; nothing is stopped by it.
"""

import statistics
from collections import deque
from collections.abc import Collection, Iterable, Mapping

from voicelathe.records import Reason, StepRecord

SPIKE, TEXT_IGNORED, STOP_HEAD_FORGETS = (
    "_spike",
    "text_ignored",
    "stop_head_forgets",
)  # codes; the first ends those of losses
WINDOW, ENOUGH = 20, 10  # steps that are compared, and how many of them there must be
TIMES, SIGMAS = 2.0, 8.0  # a spike is so many times the median and so many deviations above it,
SHARE = 0.1  # and a loss rises by such a share of all losses together, as one near zero doubles for nothing
NORM = "grad_norm"
GAP, GAP_SHARE = 0.02, 0.25  # a gap once this large that fell to a quarter
STOP_LOSS, STOP_TIMES = 0.02, 1.5  # a stop loss this large and so many times its lowest


class Watch:
    """Remembers what the signs of a step depend on."""

    def __init__(self, history: Iterable[StepRecord]) -> None:
        self.past: dict[str, deque[float]] = {}  # of each loss, and of the gradient norm
        self.widest_gap, self.lowest_stop = 0.0, float("inf")
        for record in history:
            self.remember(record)

    def remember(self, record: StepRecord) -> None:
        for name, value in {**record.losses, NORM: record.grad_norm}.items():
            self.past.setdefault(name, deque(maxlen=WINDOW)).append(value)
        self.widest_gap = max(self.widest_gap, record.probe.get("text_gap", 0.0))
        self.lowest_stop = min(self.lowest_stop, record.probe.get("stop", float("inf")))

    def spikes(
        self, losses: Mapping[str, float], norm: float, clips: Mapping[str, Mapping[str, float]]
    ) -> list[Reason]:
        """What stands out of a step, each loss for itself: a bad ending drowns in the total. `clips`: the losses of each clip; the worst are named."""
        usual = sum(statistics.median(self.past[name]) for name in losses if name in self.past)
        told: list[Reason] = []
        for name, value in {**losses, NORM: norm}.items():
            past = self.past.get(name, ())
            if not _stands_out(value, past, 0.0 if name == NORM else SHARE * usual):
                continue
            of = {clip_id: parts.get(name, sum(parts.values())) for clip_id, parts in clips.items()}
            worst = sorted(of, key=lambda clip_id: (-of[clip_id], clip_id))[:3]
            told.append(
                Reason(
                    f"{name if name == NORM else f'{name}_loss'}{SPIKE}",
                    f"{value:.3f}, the median of the last {len(past)} steps is {statistics.median(past):.3f}; clips with the highest loss: "
                    + ", ".join(f"{clip_id} ({of[clip_id]:.3f})" for clip_id in worst),
                )
            )
        return told

    def probed(self, probe: Mapping[str, float]) -> list[Reason]:
        """What a probe says, compared with the best that earlier probes found."""
        signs: list[Reason] = []
        gap, stop = probe.get("text_gap", self.widest_gap), probe.get("stop", 0.0)
        if self.widest_gap >= GAP and gap < GAP_SHARE * self.widest_gap:
            signs.append(
                Reason(
                    TEXT_IGNORED,
                    f"another clip's text raises the loss by {gap:.1%}, earlier by {self.widest_gap:.1%}; "
                    "stop earlier, lower the learning rate, or add data",
                )
            )
        if stop > max(STOP_LOSS, STOP_TIMES * self.lowest_stop):
            signs.append(
                Reason(
                    STOP_HEAD_FORGETS,
                    f"its loss is {stop:.3f}, earlier {self.lowest_stop:.3f}; speech may not end. "
                    "Trim silence at the ends of clips, or stop earlier",
                )
            )
        return signs


def _stands_out(value: float, past: Collection[float], least: float) -> bool:
    if len(past) < ENOUGH:
        return False
    median = statistics.median(past)
    deviation = 1.4826 * statistics.median(abs(one - median) for one in past)  # as a standard deviation
    return value > TIMES * median and value > median + max(SIGMAS * deviation, least)

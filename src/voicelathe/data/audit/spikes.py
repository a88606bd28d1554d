"""Which clips were in the steps of a run that stand out, and what the audit knows about them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from voicelathe.records import Finding, ManifestRow, Reason, StepRecord

MARK = "_spike"  # how train.anomalies names a step that stands out


@dataclass(frozen=True)
class Spike:
    """A step that stands out, why, and its clips: those with findings first, then by line of the manifest."""

    step: int
    signs: list[Reason]
    clips: list["Suspect"]


@dataclass(frozen=True)
class Suspect:
    """A clip of such a step."""

    clip_id: str
    line: int | None  # None: the raw manifest does not know it any more
    text: str | None
    findings: list[str]
    num_spikes: int  # of the run, that this clip was in
    num_steps: int
    is_replayed: bool = False  # it is a clip of the general set, of another speaker


def find(
    steps: Sequence[StepRecord], findings: Iterable[Finding], rows: Iterable[ManifestRow]
) -> list[Spike]:
    """The steps that the trainer marked, in order."""
    marked = [step for step in steps if any(sign.code.endswith(MARK) for sign in step.signs)]
    in_spikes = Counter(clip_id for step in marked for clip_id in set(step.clip_ids))
    in_steps = Counter(clip_id for step in steps for clip_id in set(step.clip_ids))
    known = {row.clip_id: row for row in rows}
    replayed = {clip_id for step in marked for clip_id in step.replayed or ()}
    said: dict[str, list[str]] = {}
    for finding in findings:
        said.setdefault(finding.clip_id, []).append(f"{finding.rule} ({finding.value})")

    def suspect(clip_id: str) -> Suspect:
        row = known.get(clip_id)
        return Suspect(
            clip_id=clip_id,
            line=row.line if row else None,
            text=row.text if row else None,
            findings=said.get(clip_id, []),
            num_spikes=in_spikes[clip_id],
            num_steps=in_steps[clip_id],
            is_replayed=clip_id in replayed,
        )

    return [
        Spike(
            step=step.step,
            signs=[sign for sign in step.signs if sign.code.endswith(MARK)],
            clips=sorted(
                map(suspect, sorted(set(step.clip_ids))),
                key=lambda one: (not one.findings, -one.num_spikes, one.line or 0, one.clip_id),
            ),
        )
        for step in marked
    ]

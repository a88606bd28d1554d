"""What did people decide about the proposed clips, and which manifest comes of it? Files of the pages, checked and kept beside the proposal.

A clip without a decision is taken when nothing speaks against it and left out otherwise. The digest in a file notices a slip of an editor; it
is no signature.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from voicelathe import digest, records
from voicelathe.errors import SubtitleError, listing
from voicelathe.records import CutDecision, CutDecisions, Proposal, ProposedClip, sealed

FORMAT = "voicelathe-cut-decisions/1"
ACCEPT, REJECT, OPEN = "accept", "reject", "open"
REACH_S = 0.5  # so far beyond its edges a page plays a clip, and may an edge be moved
SHORTEST_MS = 100
OVERLAP_MS = 10  # that two clips may share: edges are moved by as much
MAX_TEXT_CHARS = 5_000
FORM = sealed.Form(
    FORMAT,
    max_bytes=32 << 20,
    error=SubtitleError,
    what="a file of decisions",
    first="Save the decisions at the end of the page, then name that file.",
    again="Save it again from the page.",
    renew="Propose again.",
)
PAGE_S, PAGE_CLIPS = 2400.0, 800  # of sound and clips in one page: some 11 MB


@dataclass(frozen=True)
class Applied:
    """What became of the clips of a proposal."""

    rows: list[dict[str, object]]
    taken_unseen: int  # accepted because nothing speaks against them
    accepted: int  # by a person
    moved: int
    reworded: int
    rejected: int
    waiting: int


def digest_of(proposal: Proposal) -> str:
    return digest.of_value(records.to_json(proposal))


def pages(proposal: Proposal) -> list[list[ProposedClip]]:
    """The clips of each page, in order; one empty page where there is no clip."""
    made: list[list[ProposedClip]] = [[]]
    total_s = 0.0
    for one in proposal.clips:
        length_s = one.end_s - one.start_s + 2 * REACH_S
        if made[-1] and (total_s + length_s > PAGE_S or len(made[-1]) == PAGE_CLIPS):
            made.append([])
            total_s = 0.0
        made[-1].append(one)
        total_s += length_s
    return made


def proposed(one: ProposedClip) -> str:
    """The decision about a clip before anybody looked at it."""
    return OPEN if one.flags else ACCEPT


def times_ms(one: ProposedClip) -> tuple[int, int]:
    return round(1000 * one.start_s), round(1000 * one.end_s)


def reach_ms(proposal: Proposal, one: ProposedClip) -> tuple[int, int]:
    """Where the edges of a clip may be moved to."""
    last_ms = math.floor(1000 * proposal.recordings[one.recording].duration_s)
    start_ms, end_ms = times_ms(one)
    return max(0, start_ms - round(1000 * REACH_S)), max(end_ms, min(last_ms, end_ms + round(1000 * REACH_S)))


def read(path: Path, proposal: Proposal) -> CutDecisions:
    """A file of decisions. Raises SubtitleError when it is none, was edited, is of another proposal or decides what is not there."""
    found = sealed.read(path, CutDecisions, FORM)
    if found.name != proposal.name or found.proposal != digest_of(proposal):
        raise SubtitleError(
            f"{path} is about another proposal ({found.name!r}, {found.proposal[:12]}) than the present one ({proposal.name!r}, "
            f"{digest_of(proposal)[:12]}). Open the page that lies beside the proposal now, and decide there."
        )
    shares = pages(proposal)
    if not 1 <= found.page <= len(shares):
        raise SubtitleError(f"{path} is about page {found.page}; the proposal has {len(shares)}.")
    if problems := list(_problems(found, {one.clip: one for one in shares[found.page - 1]}, proposal)):
        raise SubtitleError(
            f"{path}: not as the page writes it:\n{listing(problems)}\nSave it again from the page."
        )
    return found


def _problems(found: CutDecisions, known: Mapping[str, ProposedClip], proposal: Proposal) -> Iterator[str]:
    names = [one.clip for one in found.decisions]
    yield from (
        f"{name} is decided {names.count(name)} times" for name in sorted(set(names)) if names.count(name) > 1
    )
    yield from (f"{name} is not on this page" for name in names if name not in known)
    yield from (f"{name} is missing" for name in known if name not in set(names))
    for one in found.decisions:
        if one.clip not in known:
            continue
        low, high = reach_ms(proposal, known[one.clip])
        if one.decision not in (ACCEPT, REJECT, OPEN):
            yield f"{one.clip}: decision {one.decision!r}, allowed are {ACCEPT}, {REJECT}, {OPEN}"
        if not low <= one.start_ms <= one.end_ms - SHORTEST_MS <= high - SHORTEST_MS:
            yield f"{one.clip}: {one.start_ms} to {one.end_ms} ms; allowed are {low} to {high}, {SHORTEST_MS} ms at least"
        if len(one.text) > MAX_TEXT_CHARS:
            yield f"{one.clip}: a text of {len(one.text)} characters, at most {MAX_TEXT_CHARS}"


def apply(proposal: Proposal, files: Sequence[CutDecisions]) -> Applied:
    """Rows of a manifest for every clip that was accepted, or that nobody decided and nothing speaks against.

    Raises SubtitleError for accepted clips that overlap, or that have no text.
    """
    decided = {one.clip: one for file in files for one in file.decisions}
    kept: list[tuple[ProposedClip, CutDecision]] = []
    for one in proposal.clips:
        decision = decided.get(one.clip) or CutDecision(one.clip, proposed(one), *times_ms(one), one.text)
        if decision.decision == ACCEPT:
            kept.append((one, decision))
    if problems := [*_empty(kept), *_overlaps(kept, proposal)]:
        raise SubtitleError(
            f"{len(problems)} accepted clips cannot be rows:\n{listing(problems)}\nChange them in the page, save it and apply again."
        )
    states = [one.decision for one in decided.values()]
    by_person = [pair for pair in kept if pair[0].clip in decided]
    undecided = [one for one in proposal.clips if one.clip not in decided]
    return Applied(
        [_row(proposal, one, decision) for one, decision in kept],
        taken_unseen=len(kept) - len(by_person),
        accepted=len(by_person),
        moved=sum((two.start_ms, two.end_ms) != times_ms(one) for one, two in by_person),
        reworded=sum(two.text != one.text for one, two in by_person),
        rejected=states.count(REJECT),
        waiting=states.count(OPEN) + sum(proposed(one) == OPEN for one in undecided),
    )


def _empty(kept: Sequence[tuple[ProposedClip, CutDecision]]) -> Iterator[str]:
    yield from (f"{one.clip} has no text" for one, decision in kept if not decision.text.strip())


def _overlaps(kept: Sequence[tuple[ProposedClip, CutDecision]], proposal: Proposal) -> Iterator[str]:
    ordered = sorted(kept, key=lambda pair: (pair[0].recording, pair[1].start_ms))
    for (one, first), (other, second) in pairwise(ordered):
        if one.recording == other.recording and first.end_ms - second.start_ms > OVERLAP_MS:
            audio = proposal.recordings[one.recording].audio
            yield f"{one.clip} and {other.clip} of {audio} share {first.end_ms - second.start_ms} ms"


def _row(proposal: Proposal, one: ProposedClip, decision: CutDecision) -> dict[str, object]:
    recording = proposal.recordings[one.recording]
    channel = {} if recording.channel is None else {"channel": recording.channel}
    return channel | {
        "id": one.clip,
        "audio": recording.audio,
        "start_s": decision.start_ms / 1000,
        "end_s": decision.end_ms / 1000,
        "text": " ".join(decision.text.split()),
        "recording_id": recording.recording_id,
        "speaker_id": one.speaker_id,
        "language": proposal.language,
    }

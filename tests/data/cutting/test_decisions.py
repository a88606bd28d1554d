"""What comes back from the page: whole, of this proposal, within reach; and the rows that come of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import cuts
from voicelathe import digest, records
from voicelathe.data.cutting import decisions
from voicelathe.errors import SubtitleError
from voicelathe.records import CutDecision, CutDecisions, Proposal, sealed


def saved(path: Path, proposal: Proposal, *changed: CutDecision, page: int = 1, **fields: object) -> Path:
    """A file as the page writes it: every clip of the page as proposed, but for those that are given."""
    known = {one.clip: one for one in changed}
    made = [
        known.get(
            one.clip, CutDecision(one.clip, decisions.proposed(one), *decisions.times_ms(one), one.text)
        )
        for one in decisions.pages(proposal)[page - 1]
    ]
    extra = [one for one in changed if one.clip not in {two.clip for two in made}]
    whole = CutDecisions(
        decisions.FORMAT, proposal.name, decisions.digest_of(proposal), page, [*made, *extra], ""
    )
    whole = replace(whole, **fields)  # type: ignore[arg-type]
    digest.write_json(path, records.to_json(replace(whole, digest=sealed.seal(whole))))
    return path


def test_without_a_decision_what_nothing_speaks_against_is_taken() -> None:
    done = decisions.apply(cuts.proposal(), [])
    assert [row["id"] for row in done.rows] == ["rec_0001", "rec_0002"]
    assert (done.taken_unseen, done.accepted, done.waiting) == (2, 0, 1)
    assert done.rows[0] == {
        "id": "rec_0001", "audio": "rec.wav", "start_s": 0.5, "end_s": 1.5, "text": "The first text.",
        "recording_id": "rec", "speaker_id": "anna", "language": "en",
    }  # fmt: skip


def test_moved_reworded_rejected_and_accepted_clips(tmp_path: Path) -> None:
    proposal = cuts.proposal()
    path = saved(
        tmp_path / "d.json",
        proposal,
        CutDecision("rec_0001", "accept", 450, 1500, "The first text."),
        CutDecision("rec_0002", "reject", 2000, 3000, "The second text."),
        CutDecision("rec_0003", "accept", 3500, 4500, " What was really\n said. "),
    )
    done = decisions.apply(proposal, [decisions.read(path, proposal)])
    assert [(row["id"], row["start_s"], row["text"]) for row in done.rows] == [
        ("rec_0001", 0.45, "The first text."),
        ("rec_0003", 3.5, "What was really said."),
    ]
    assert (done.accepted, done.moved, done.reworded, done.rejected, done.waiting) == (2, 1, 1, 1, 0)


def test_clips_that_would_overlap_or_say_nothing_are_no_rows(tmp_path: Path) -> None:
    proposal = cuts.proposal()
    for change, said in (
        (
            [
                CutDecision("rec_0002", "accept", 1500, 3500, "x"),
                CutDecision("rec_0003", "accept", 3400, 4500, "y"),
            ],
            "share 100 ms",
        ),
        ([CutDecision("rec_0002", "accept", 2000, 3000, " \n")], "has no text"),
    ):
        found = decisions.read(saved(tmp_path / "d.json", proposal, *change), proposal)
        with pytest.raises(SubtitleError, match=said):
            decisions.apply(proposal, [found])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (CutDecision("rec_0001", "accept", -1, 1500, "x"), "-1 to 1500 ms"),
        (CutDecision("rec_0001", "accept", 1000, 1050, "x"), "100 ms at least"),
        (CutDecision("rec_0001", "accept", 500, 9000, "x"), "allowed are 0 to 2000"),
        (CutDecision("rec_0001", "maybe", 500, 1500, "x"), "decision 'maybe'"),
        (CutDecision("rec_0001", "accept", 500, 1500, "x" * 5001), "5001 characters"),
        (CutDecision("other", "accept", 500, 1500, "x"), "other is not on this page"),
    ],
)
def test_what_the_page_cannot_have_written_is_refused(tmp_path: Path, change: CutDecision, said: str) -> None:
    proposal = cuts.proposal()
    with pytest.raises(SubtitleError, match=said):
        decisions.read(saved(tmp_path / "d.json", proposal, change), proposal)


def test_files_of_other_proposals_pages_and_formats_edited_and_broken_ones(tmp_path: Path) -> None:
    proposal, path = cuts.proposal(), tmp_path / "d.json"
    other = replace(proposal, clips=proposal.clips[:2])
    with pytest.raises(SubtitleError, match="another proposal"):
        decisions.read(saved(path, other), proposal)
    with pytest.raises(SubtitleError, match="page 2; the proposal has 1"):
        decisions.read(_page_two(path, proposal), proposal)
    with pytest.raises(SubtitleError, match="format 'x'"):
        decisions.read(saved(path, proposal, format="x"), proposal)
    text = saved(path, proposal).read_text()
    path.write_text(text.replace("The first text.", "Another text."))
    with pytest.raises(SubtitleError, match="edited or damaged"):
        decisions.read(path, proposal)
    for broken in ("", "{", "[]", json.dumps({"format": 1}), "[" * 100_000, text.replace("500", "0.5")):
        path.write_text(broken)
        with pytest.raises(SubtitleError, match="is not a file of decisions"):
            decisions.read(path, proposal)
    with pytest.raises(SubtitleError, match="no such file"):
        decisions.read(tmp_path / "missing.json", proposal)


def _page_two(path: Path, proposal: Proposal) -> Path:
    made = decisions.read(saved(path, proposal), proposal)
    made = replace(made, page=2)
    digest.write_json(path, records.to_json(replace(made, digest=sealed.seal(made))))
    return path


def test_a_long_proposal_is_divided_into_pages() -> None:
    one = cuts.proposal().clips[0]
    many = [replace(one, clip=f"rec_{at:04d}", start_s=at * 10.0, end_s=at * 10.0 + 9.0) for at in range(500)]
    proposal = replace(cuts.proposal(), clips=many)
    shares = decisions.pages(proposal)
    assert [two.clip for share in shares for two in share] == [two.clip for two in many]
    assert len(shares) == 3 and all(
        sum(two.end_s - two.start_s + 1 for two in share) <= decisions.PAGE_S for share in shares
    )
    assert decisions.pages(replace(proposal, clips=[])) == [[]]

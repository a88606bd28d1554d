"""Splits: recordings stay whole, shared audio joins them, and nothing depends on the order of the manifest."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.factories import rows
from voicelathe import digest, layout
from voicelathe.data.manifest import splits_named
from voicelathe.data.split import assign, components, frozen, proof
from voicelathe.errors import SplitError
from voicelathe.records import CleanClip, Link


def places(clips: list[CleanClip], seed: int = 1) -> dict[str, set[str]]:
    """The splits of each recording."""
    found: dict[str, set[str]] = {}
    for name, members in assign.assign(clips, rows.SPLIT, seed).clips.items():
        for clip in members:
            found.setdefault(clip.recording_id, set()).add(name)
    return found


@pytest.mark.parametrize("num", [3, 10, 36, 49, 50, 200])
def test_every_recording_is_in_one_split_and_every_clip_in_one_place(num: int) -> None:
    clips = rows.recordings(num)
    assert all(len(held) == 1 for held in places(clips).values())
    assigned = [clip for members in assign.assign(clips, rows.SPLIT, 1).clips.values() for clip in members]
    assert sorted(clip.clip_id for clip in assigned) == sorted(clip.clip_id for clip in clips)


@pytest.mark.parametrize("num", [3, 36, 80])
def test_the_order_of_the_manifest_does_not_matter(num: int) -> None:
    clips = rows.recordings(num)
    shuffled = random.Random(5).sample(clips, len(clips))
    assert assign.assign(shuffled, rows.SPLIT, 1) == assign.assign(clips, rows.SPLIT, 1)


def test_two_recordings_cannot_make_three_splits() -> None:
    with pytest.raises(SplitError, match="2 independent recordings cannot make three splits"):
        assign.assign(rows.recordings(2), rows.SPLIT, 1)


def test_three_recordings_of_one_file_cannot_make_three_splits() -> None:
    clips = [replace(clip, audio_sha256="same", audio="same.wav") for clip in rows.recordings(3)]
    with pytest.raises(
        SplitError, match=r"1 independent recordings .*\n.*3 recordings: rec_000, rec_001, rec_002"
    ):
        assign.assign(clips, rows.SPLIT, 1)


def test_no_clips_at_all_cannot_be_split_and_the_rules_that_dropped_them_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SplitError, match=r"nothing to split. data/audit/report.html says why"):
        assign.assign([], rows.SPLIT, 1)
    summary = {"rows": 9, "dropped": 9, "dropped_share": 1.0, "dropped_too_slow": 2, "dropped_silent": 7}
    digest.write_json(layout.SUMMARY, summary)
    with pytest.raises(SplitError, match=r"nothing to split: silent 7, too_slow 2. data/audit/report.html"):
        assign.assign([], rows.SPLIT, 1)


@pytest.mark.parametrize("link", ["audio", "audio_sha256", "samples_sha256"])
def test_recordings_that_share_audio_stay_together(link: str) -> None:
    clips = rows.recordings(30, clips_each=2)
    joined = [
        replace(clip, **{link: "shared"}) if clip.clip_id in ("c0300", "c1701", "c2900") else clip
        for clip in clips
    ]
    for seed in range(6):
        held = places(joined, seed)
        assert held["rec_003"] == held["rec_017"] == held["rec_029"]
    names = components.of(joined)
    assert names["rec_017"] == names["rec_029"] == "rec_003" and names["rec_004"] == "rec_004"


def test_shared_audio_joins_through_a_chain() -> None:
    clips = rows.recordings(6, clips_each=2)
    chained = [
        replace(clip, samples_sha256=f"link {recording // 2 if number else (recording + 1) // 2}")
        for clip in clips
        for recording, number in [(int(clip.clip_id[1:]) // 100, int(clip.clip_id[1:]) % 100)]
    ]
    assert set(components.of(chained).values()) == {"rec_000"}


def test_few_recordings_are_dealt_out_close_to_their_shares() -> None:
    clips = [
        clip
        for recording in range(36)
        for clip in rows.recordings(36)[recording * 5 : recording * 5 + 2 + recording % 4]
    ]
    for seed in range(10):
        sizes = {name: len(members) for name, members in assign.assign(clips, rows.SPLIT, seed).clips.items()}
        assert abs(sizes["validation"] - 0.1 * len(clips)) <= 5 and abs(sizes["test"] - 0.1 * len(clips)) <= 5


def test_one_recording_that_holds_nearly_everything_is_trained_on() -> None:
    clips = rows.recordings(3, clips_each=2) + [
        rows.clean_clip(1000 + n, recording_id="rec_000", audio="rec_000.wav") for n in range(90)
    ]
    assert places(clips)["rec_000"] == {"train"}


def test_another_seed_makes_other_splits() -> None:
    for num in (36, 200):
        assert len({str(places(rows.recordings(num), seed)) for seed in range(4)}) > 1


def test_from_fifty_recordings_on_nothing_moves_when_one_is_added() -> None:
    before, after = places(rows.recordings(120)), places(rows.recordings(121))
    assert all(after[name] == held for name, held in before.items())


def test_many_recordings_come_close_to_their_shares_by_chance() -> None:
    held = Counter(name for names in places(rows.recordings(1000, clips_each=1)).values() for name in names)
    assert 70 <= held["validation"] <= 130 and 70 <= held["test"] <= 130


def test_a_split_that_stays_empty_by_chance_is_an_error() -> None:
    share = replace(rows.SPLIT, validation_share=0.001, test_share=0.1)
    with pytest.raises(SplitError, match="No recording fell to validation"):
        assign.assign(rows.recordings(60), share, 1)


def test_the_proof_lists_every_recording_with_its_component_and_sums() -> None:
    clips = rows.recordings(10, clips_each=4)
    proof = assign.assign(clips, rows.SPLIT, 1).assignments
    assert [one.recording_id for one in proof] == sorted({clip.recording_id for clip in clips})
    assert sum(one.num_clips for one in proof) == 40 and proof[0].duration_s == 12.0
    assert {one.recording_id: {one.split} for one in proof} == places(clips)


def test_the_proof_s_minutes_are_the_same_on_every_python() -> None:
    """sum() loses last digits before 3.12 and keeps them since: of seven times 1.77 s it made 0.206 minutes."""
    clips = [replace(clip, duration_s=1.77) for clip in rows.recordings(3, clips_each=7)]
    shown = proof.of(assign.assign(clips, rows.SPLIT, 1), rows.SPLIT, 1)
    assert [one["minutes"] for one in shown["splits"].values()] == [0.207] * 3


# --- what else joins recordings --------------------------------------------------------------------------------------


def test_recordings_of_the_same_performance_stay_together_and_the_proof_says_why() -> None:
    clips = rows.recordings(12)
    links = [Link("rec_003", "rec_007", "near_duplicate"), Link("rec_005", "gone", "exact_duplicate")]
    for seed in range(5):
        found = assign.assign(clips, rows.SPLIT, seed, links)
        split_of = {one.recording_id: one.split for one in found.assignments}
        assert split_of["rec_003"] == split_of["rec_007"]
    shown = proof.of(found, rows.SPLIT, 4)
    assert len(shown["components"]) == 11
    (joined,) = (one for one in shown["components"] if len(one["recordings"]) > 1)
    assert joined["recordings"] == ["rec_003", "rec_007"] and joined["clips"] == 10
    assert joined["joined_by"] == ["near_duplicate: rec_003 and rec_007"]
    assert sum(one["clips"] for one in shown["components"]) == 60
    assert sum(one["share"] for one in shown["splits"].values()) == pytest.approx(1.0, abs=1e-5)


def test_recordings_that_say_the_same_stay_together_only_when_asked_to() -> None:
    clips = [replace(clip, text=f"Sentence {clip.clip_id}.") for clip in rows.recordings(9)]
    clips[0] = replace(clips[0], text="A carrier phrase, said twice!")
    clips[-1] = replace(clips[-1], text="a carrier phrase said twice")
    together = replace(rows.SPLIT, same_text_together=True)
    assert len(set(components.of(clips).values())) == 9
    joined = {one.recording_id: one.component for one in assign.assign(clips, together, 1).assignments}
    assert joined["rec_000"] == joined["rec_008"] == "rec_000" and len(set(joined.values())) == 8


def test_every_speaker_with_enough_recordings_is_in_every_split() -> None:
    clips = [
        replace(clip, speaker_id="anna" if int(clip.recording_id[4:]) < 24 else "bert")
        for clip in rows.recordings(44)
    ]
    for seed in range(6):
        found = assign.assign(clips, rows.SPLIT, seed)
        held = {name: Counter(clip.speaker_id for clip in members) for name, members in found.clips.items()}
        assert all(0.05 <= held[name]["anna"] / 120 <= 0.17 for name in ("validation", "test"))
        assert all(0.05 <= held[name]["bert"] / 100 <= 0.17 for name in ("validation", "test"))


def test_long_and_short_clips_are_in_every_split() -> None:
    clips = [
        replace(clip, duration_s=2.0 if int(clip.recording_id[4:]) % 2 else 9.0)
        for clip in rows.recordings(40)
    ]
    for seed in range(6):
        for members in assign.assign(clips, rows.SPLIT, seed).clips.values():
            longer = sum(clip.duration_s > 5 for clip in members)
            assert 0.3 <= longer / len(members) <= 0.7


# --- a split that must hold ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), [(20, 30), (20, 90), (60, 61), (45, 55)])
def test_what_was_tested_on_is_never_trained_on_when_data_is_added(before: int, after: int) -> None:
    held = frozen.of(assign.assign(rows.recordings(before), rows.SPLIT, 1).clips)
    grown = assign.assign(rows.recordings(after), rows.SPLIT, 2, frozen=held)
    for name, members in assign.assign(rows.recordings(before), rows.SPLIT, 1).clips.items():
        still = {clip.clip_id for clip in grown.clips[name]}
        assert {clip.clip_id for clip in members} <= still
    assert all(grown.clips.values())


def test_a_tested_file_under_another_recording_name_stays_in_the_test_split() -> None:
    first = assign.assign(rows.recordings(20), rows.SPLIT, 1)
    tested = {clip.recording_id for clip in first.clips["test"]}
    renamed = [
        replace(clip, recording_id=f"new_{clip.recording_id}", audio=f"new/{clip.audio}")
        for clip in rows.recordings(20)
    ]
    again = assign.assign(renamed, rows.SPLIT, 9, frozen=frozen.of(first.clips))
    assert {clip.recording_id for clip in again.clips["test"]} == {f"new_{name}" for name in tested}


def test_rows_that_join_a_tested_and_a_trained_recording_are_an_error() -> None:
    first = assign.assign(rows.recordings(20), rows.SPLIT, 1)
    one, other = first.clips["test"][0].recording_id, first.clips["train"][0].recording_id
    link = Link(min(one, other), max(one, other), "near_duplicate")
    with pytest.raises(SplitError, match="hold parts of two frozen splits") as problem:
        assign.assign(rows.recordings(20), rows.SPLIT, 1, [link], frozen.of(first.clips))
    assert f"{one} was in test" in str(problem.value) and f"{other} was in train" in str(problem.value)


@pytest.mark.parametrize("new", ["a_new_one", "z_new_one"])
def test_the_copy_that_replaced_a_tested_clip_is_not_trained_on(new: str) -> None:
    clips = rows.recordings(60, clips_each=1)
    first = assign.assign(clips, rows.SPLIT, 1)
    (tested, *_) = first.clips["test"]
    copy = replace(tested, recording_id=new, audio="new.wav", audio_sha256="0" * 64, samples_sha256="1" * 64)
    grown = [copy if clip == tested else clip for clip in clips]  # the audit kept the one that came first
    link = Link(*sorted((new, tested.recording_id)), "near_duplicate")
    for seed in range(20):
        again = assign.assign(grown, rows.SPLIT, seed, [link], frozen.of(first.clips))
        assert copy in again.clips["test"]


def test_a_frozen_split_of_which_no_tested_clip_is_known_again_is_an_error() -> None:
    held = frozen.of(assign.assign(rows.recordings(20), rows.SPLIT, 1).clips)
    others = [
        replace(clip, recording_id=f"new_{clip.recording_id}", audio_sha256=clip.audio_sha256[::-1],
                samples_sha256=clip.samples_sha256[::-1])
        for clip in rows.recordings(20)
    ]  # fmt: skip
    with pytest.raises(SplitError, match="no tested recording, file or clip of the frozen split") as problem:
        assign.assign(others, rows.SPLIT, 1, frozen=held)
    assert "set split.frozen to null" in str(problem.value)
    some = [*others, *rows.recordings(20)]
    assert assign.assign(some, rows.SPLIT, 1, frozen=held).clips["test"]


def test_a_frozen_split_that_is_not_there_is_named() -> None:
    with pytest.raises(SplitError, match=r"splits/spring/train\.jsonl"):
        frozen.read("spring")


def proposed(**parts: list[int]) -> frozen.Proposed:
    return frozen.Proposed(
        {f"rec_{number:02d}": part for part, numbers in parts.items() for number in numbers}
    )


@pytest.mark.parametrize("num", [12, 80])
def test_a_proposed_split_is_kept_and_what_it_lacks_comes_out_of_its_training_recordings(num: int) -> None:
    clips = [rows.clean_clip(number) for number in range(1, num + 1)]
    held = proposed(train=list(range(1, num - 1)), validation=[num - 1, num])
    found = assign.assign(clips, rows.SPLIT, 1, frozen=held).clips
    names = {part: {clip.recording_id for clip in members} for part, members in found.items()}
    assert names["validation"] == {f"rec_{num - 1:02d}", f"rec_{num:02d}"}
    assert names["test"] and names["test"] | names["train"] == {
        f"rec_{number:02d}" for number in range(1, num - 1)
    }


def test_a_whole_proposal_is_the_split_and_what_joins_two_parts_is_trained_on() -> None:
    clips = [rows.clean_clip(number) for number in range(1, 8)]
    held = proposed(train=[1, 2, 3], validation=[4, 5], test=[6, 7])
    found = assign.assign(clips, rows.SPLIT, 1, [Link("rec_05", "rec_06", "near_duplicate")], held)
    names = {part: {clip.recording_id for clip in members} for part, members in found.clips.items()}
    assert names == {
        **{"train": {"rec_01", "rec_02", "rec_03", "rec_05", "rec_06"}},
        **{"validation": {"rec_04"}, "test": {"rec_07"}},
    }


@pytest.mark.parametrize(
    ("written", "part"),
    [
        *(
            ("train-clean-100", "train"),
            ("dev", "validation"),
            ("metadata_val", "validation"),
            ("Test", "test"),
        ),
        *(("validated", None), ("clips", None), ("train_test", None), (None, None), ("latest", None)),
    ],
)
def test_names_of_splits_are_known_as_tools_write_them(written: str | None, part: str | None) -> None:
    assert splits_named.known(written) == part


def test_the_seconds_of_a_recording_are_the_same_on_every_python() -> None:
    """sum() of seven times 1.0025 s was 7.017 before Python 3.12."""
    clips = [replace(clip, duration_s=1.0025) for clip in rows.recordings(3, clips_each=7)]
    found = assign.assign(clips, rows.SPLIT, 1).assignments
    assert [one.duration_s for one in found] == [7.018] * 3

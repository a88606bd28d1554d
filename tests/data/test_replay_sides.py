"""The general set is divided once: what is replayed is never what forgetting is measured on; and nobody is seen too often."""

import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from tests.factories import rows
from voicelathe.data.latents import replay
from voicelathe.errors import ParamsError, SplitError
from voicelathe.records import CleanClip


def clip(number: int, speaker: str, recording: str | None = None, **changes: object) -> CleanClip:
    said = {"text": f"Sentence {chr(97 + number // 26 % 26)}{chr(97 + number % 26)} it is."} | changes
    return replace(
        rows.clean_clip(number), speaker_id=speaker, recording_id=recording or f"rec{number}", clip_id=f"g{number:03d}",
        audio_sha256=f"{number:064d}", **said,
    )  # fmt: skip


def test_no_speaker_recording_or_audio_is_on_both_sides() -> None:
    draw = random.Random(7)
    for _ in range(40):
        clips = [
            clip(n, f"s{draw.randrange(6)}", f"r{draw.randrange(9)}") for n in range(draw.randint(8, 30))
        ]
        clips = [replace(one, audio_sha256=f"{draw.randrange(40):064d}") for one in clips]
        try:
            found = replay.sides(clips)
        except SplitError:
            continue
        assert sorted(one.clip_id for one in (*found.replayed, *found.measured)) == sorted(
            one.clip_id for one in clips
        )
        for name in ("audio_sha256", f"{found.by}_id", "clip_id"):
            ours, theirs = ({getattr(one, name) for one in some} for some in (found.replayed, found.measured))
            assert ours and theirs and not ours & theirs, name


def test_the_order_of_the_rows_does_not_matter() -> None:
    clips = [clip(n, f"s{n % 5}") for n in range(20)]
    assert replay.sides(clips) == replay.sides(clips[::-1])


def test_sides_have_as_many_clips_of_each_language_as_whole_speakers_allow() -> None:
    clips = [clip(n, f"s{n % 8}", language="de" if n % 8 < 4 else "en") for n in range(80)]
    found = replay.sides(clips)
    for side in (found.replayed, found.measured):
        assert Counter(one.language for one in side) == {"de": 20, "en": 20} and found.by == "speaker"
    shipped = replay.sides([clip(n, "rms" if n < 24 else "slt") for n in range(48)])
    assert len(shipped.replayed) == len(shipped.measured) == 24


def test_one_speaker_is_divided_by_recordings_and_one_recording_not_at_all() -> None:
    found = replay.sides([clip(n, "solo", f"r{n % 3}") for n in range(9)])
    assert found.by == "recording" and {len(found.replayed), len(found.measured)} == {3, 6}
    with pytest.raises(
        SplitError, match="All 4 clips of the general set are of one speaker and one recording"
    ):
        replay.sides([clip(n, "solo", "r") for n in range(4)])


def test_visits_are_counted_without_the_error_of_floats() -> None:
    assert [replay.num_replayed(steps, 10, 0.29) for steps in (1, 10, 100)] == [2, 29, 290]
    assert (
        sum(replay.num_replayed(n, 8, 0.1) - replay.num_replayed(n - 1, 8, 0.1) for n in range(1, 101)) == 80
    )
    assert replay.most_visits(7, 7) == 1 and replay.most_visits(8, 7) == 2


@pytest.mark.parametrize("steps", [7, 40, 1000, 9000])
@pytest.mark.parametrize("clips", [3, 10, 24, 700])
def test_the_share_that_a_refusal_names_would_do(steps: int, clips: int) -> None:
    visits = steps * 8
    for share in (0.9, 0.31, 0.013):
        replays = replay.num_replayed(steps, 8, share)
        try:
            replay.require_enough("recipes.x", replays, visits, clips, 10)
        except ParamsError as problem:
            named = re.search(r"Lower replay_share to ([\d.]+),", str(problem))
            assert named is not None and 0.0 < float(named[1]) < share
            replay.require_enough(
                "recipes.x", replay.num_replayed(steps, 8, float(named[1])), visits, clips, 10
            )


def test_no_sentence_is_on_both_sides_where_all_speakers_read_the_same() -> None:
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    clips = [clip(n, f"s{n // 10}", text=f"It is {words[n % 10]}.") for n in range(40)]
    found = replay.sides(clips)
    ours, theirs = ({one.text for one in some} for some in (found.replayed, found.measured))
    assert ours and theirs and not ours & theirs and len(ours) == len(theirs) == 5
    assert len(found.replayed) == len(found.measured) == 10 and replay.sides(clips[::-1]) == found
    with pytest.raises(SplitError, match="one sentence only"):
        replay.sides([clip(n, f"s{n}", text="It is one.") for n in range(4)])


def test_a_share_that_would_show_clips_too_often_is_refused_with_the_numbers() -> None:
    replay.require_enough("recipes.x", 240, 2400, 24, 10)
    with pytest.raises(ParamsError) as seen:
        replay.require_enough("recipes.x", 241, 2410, 24, 10)
    assert (
        "recipes.x.train.replay_share: 241 of 2410 visits of the run are replays of 24 general clips"
        in str(seen.value)
    )
    assert (
        "seen up to 11 times, and recipes.x.train.replay_visits = 10: with it there are enough for 240. Lower replay_share to 0.0995,"
        in str(seen.value)
    )


def test_the_voice_s_own_recordings_are_not_replayed() -> None:
    held = clip(1, "lark")
    same = replace(clip(2, "other"), audio_sha256=held.audio_sha256)
    stranger = clip(3, "other", text="Nobody else says this.")
    replay.require_strangers([stranger], {"test": [held]})
    with pytest.raises(
        SplitError, match=rf"clip g002, {same.audio}: its audio is that of {held.audio} of test"
    ):
        replay.require_strangers([same], {"train": [], "test": [held]})


def test_a_replayed_clip_may_say_what_a_training_clip_says_and_not_what_a_held_out_one_says() -> None:
    held = clip(1, "lark", text="The lamp is on.")
    same = clip(2, "other", text="the lamp, is on")
    replay.require_strangers([same], {"train": [held], "validation": [], "test": []})
    replay.require_strangers([replace(same, language="de")], {"validation": [held]})
    with pytest.raises(SplitError, match=r"clip g002, .*: it says what clip g001 of validation says"):
        replay.require_strangers([same], {"validation": [held]})

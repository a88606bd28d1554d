"""Leaks between splits are counted as a comparison of everything with everything counts them."""

import random

from voicelathe.data.near_duplicates import leakage
from voicelathe.data.near_duplicates.leakage import Placed


def test_shared_seconds_are_those_of_a_plain_double_loop() -> None:
    draw = random.Random(4)
    for _ in range(30):
        clips = []
        for number in range(25):
            start_s = round(draw.uniform(0, 30), 2)
            end_s = None if number == 7 else round(start_s + draw.uniform(0.02, 6), 2)
            file = draw.choice(["f", "g", None])
            split = draw.choice(["train", "validation", "test"])
            clips.append(Placed(str(number), split, str(number), file, None, start_s, end_s))
        expected = [
            len(
                {one.split}
                | {
                    other.split
                    for other in clips
                    if one.audio_sha256 is not None
                    and one.audio_sha256 == other.audio_sha256
                    and one.end_s is not None
                    and other.end_s is not None
                    and min(one.end_s, other.end_s) - max(one.start_s, other.start_s) >= leakage.LEAST_S
                }
            )
            for one in clips
        ]
        assert leakage.count(leakage.placed(clips), {}).seconds.tolist() == expected


def test_clips_without_audio_share_none_and_unknown_twins_do_not_count() -> None:
    clips = [
        Placed("a", "train", "r", None, None, 0.0, None),
        Placed("b", "test", "s", None, None, 0.0, None),
    ]
    found = leakage.count(leakage.placed(clips), {"a": ["gone"]})
    assert set(found.audio + found.samples + found.seconds) == {3} and set(found.performance) == {1}
    assert leakage.count(leakage.placed(clips), {"a": ["b"], "b": ["a"]}).performance.tolist() == [2, 2]

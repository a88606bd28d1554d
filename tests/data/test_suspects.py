"""Looking only at suspects finds what judging every row finds. Rules without a mask make every row a suspect, so only masked ones are judged here."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.factories import rows
from voicelathe.data import corpus
from voicelathe.data.audit import clean, rules
from voicelathe.data.audit.rules import Limits, letters, outliers, repeats
from voicelathe.data.text import beginnings
from voicelathe.data.text.phrases import Phrases
from voicelathe.records import ClipMeasure, Finding, Heard, ManifestRow

PHRASES = Phrases(
    (" thanks for watching ", " abonniert den kanal ", " a.b "),
    ("字幕",),
    frozenset({" thank you "}),
    frozenset({"music"}),
    True,
)
TEXTS = (
    *(
        "",
        " ",
        None,
        "Thanks, for watching!",
        "thank you",
        "[Music]",
        "(laughs) and on",
        "字幕 by",
        "a*b c*d",
        "Ünïcode",
    ),
    *(
        "x" * 501,
        "Привет, как дела?",
        "tab\there",
        "bell\x07",
        "don't",
        "A usual sentence, of a usual length, 42.",
        "Hi.",
    ),
)
NUMBERS: dict[str, tuple[Any, ...]] = {
    "duration_s": (0.05, 0.1, 3.0, 3.0, 30.0, 30.5, None),
    "clipped_share": (0.0, 0.001, 0.0011, None),
    "num_nonfinite": (0, 0, 2, None),
    "num_channels": (1, 1, 2, None),
    "leading_silence_s": (0.0, 0.1, 0.5, 0.51, 3.0, None),
    "trailing_silence_s": (0.0, 0.1, 0.5, 0.7, None),
    "silence_share": (0.1, 0.55, 1.0, None),
    "level_spread_db": (30.0, 6.0, 5.9, None),
    "file_rate_hz": (16000, 16000, 8000, 44100, None),
    "cutoff_hz": (None, None, 3000.0, 6400.0, 6399.0),
    "samples_sha256": (None, "s1", "s2", "s3", "s4"),
    "problem": (None, None, None, "truncated", "missing"),
    "fingerprint": (None,),
}


@pytest.fixture(autouse=True)
def masked_rules_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RULES", "OF_MEASURED"):
        masked = tuple(one for one in getattr(rules, name) if one.judge is None or one.may_break is not None)
        monkeypatch.setattr(rules, name, masked)


def made(seed: int, num: int = 250) -> tuple[list[ManifestRow], list[ClipMeasure], list[Heard]]:
    """Rows of which most have one fault or two, and values at the very limits."""
    draw = random.Random(seed)
    known, measures, heard = [], [], []
    for number in range(1, num + 1):
        start_s = draw.choice((None, 0.0, round(draw.uniform(0, 40), 1)))
        row = rows.manifest_row(
            number,
            text=draw.choice(TEXTS) if draw.random() < 0.4 else f"{rows.SENTENCE} {number // 3}",
            language=draw.choice(("en", "en", "de-AT", "ru", "xx", "zh")),
            sample_rate_hz=draw.choice((None, 16000, 16000, 24000)),
            start_s=start_s,
            audio_sha256=draw.choice((None, "f1", "f2", f"own {number}", f"own {number}")),
            user_id=draw.choice((None, f"u{number}", f"u{number // 5}")),
        )
        changed = {name: draw.choice(some) for name, some in NUMBERS.items() if draw.random() < 0.12}
        one = replace(rows.measured(number), samples_sha256=f"own {number}")
        one = replace(one, **changed)
        if None in (one.duration_s, one.samples_sha256, row.audio_sha256):  # nothing else has no audio
            one = replace(one, problem="unreadable")
        known.append(row)
        measures.append(one)
        if draw.random() < 0.7:
            cer, aligned = draw.choice((None, 0.02, 0.05, 0.9)), draw.choice((None, True, True, False))
            said = None if cer is None else draw.choice((rows.SENTENCE.lower(), "something else", ""))
            speed = draw.choice((None, None, 2.0))
            heard.append(
                Heard(row.clip_id, draw.choice((0.0, 0.6, 0.7, 2.0)), cer, aligned, None, said, speed)
            )
    return known, measures, heard


def every_row(known: list[ManifestRow], measures: list[ClipMeasure], heard: list[Heard]) -> set[Finding]:
    """The rules over a record of every row."""
    clips = corpus.of(known, measures, heard).clips()
    own = [one for clip in clips for one in rules.judge(clip, Limits(rows.AUDIT, PHRASES))]
    held = corpus.of(known, measures, heard)
    own += letters.judge(held)
    own += beginnings.judge(held)
    bad = clean.dropped(own)
    is_bad = np.array([clip.row.clip_id in bad for clip in clips])
    own += outliers.judge(clips, bad, rows.AUDIT, outliers.pace_distances(held, is_bad))
    bad = clean.dropped(own)
    return set(clean.of_use([*own, *repeats.judge(clips, bad, rows.AUDIT, rows.alike(clips, bad))]))


def test_suspects_are_all_who_break_a_rule() -> None:
    seen: set[str] = set()
    for seed in range(4):
        known, measures, heard = made(seed)
        found = clean.audit(known, [], measures, rows.AUDIT, PHRASES, heard)
        whole = every_row(known, measures, heard)
        assert set(found.findings) == whole and len(found.findings) == len(whole)
        seen |= {one.rule for one in whole}
    assert len(seen) >= 24, sorted(seen)


def test_a_clean_corpus_has_no_suspects() -> None:
    known = [rows.manifest_row(number, text=f"{rows.SENTENCE} {number}") for number in range(1, 60)]
    found = corpus.of(known, [rows.measured(number) for number in range(1, 60)])
    assert not rules.suspects(found, Limits(rows.AUDIT, rows.PHRASES)).any()
    bad = rules.suspects(found, Limits(rows.AUDIT, rows.PHRASES))
    assert len(repeats.suspects(found, bad, [])) == 0

"""What the embedded base is trained to say, and how its tokenizer reads English."""

import json
import random
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from pretrain import alignment, assemble, corpus, texts, tokens

ROOT = Path(__file__).parents[2]
WORDS = ["the", "quiet", "teacher", "lamp", "is", "on", "don't"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    out = tmp_path_factory.mktemp("tokenizer")
    tokens.write(out, WORDS)
    return Tokenizer.from_file(str(out / "tokenizer.json"))


def read(tokenizer: Tokenizer, text: str) -> str:
    return "".join(tokenizer.encode(text, add_special_tokens=False).tokens)


def test_known_words_become_the_phonemes_of_the_dictionary(tokenizer: Tokenizer) -> None:
    assert read(tokenizer, "The lamp is on.") == "ðʌ▁LæMP▁ɪZ▁ɑN."
    assert read(tokenizer, "  the  QUIET teacher ,don't ") == "ðʌ▁KWAʌT▁TICɚ,DONT"


def test_unknown_words_are_read_by_rule_and_nothing_is_unknown_to_the_model(tokenizer: Tokenizer) -> None:
    assert read(tokenizer, "Shnight queech") == "ʃNAT▁KWIC"
    assert "<unk>" not in tokenizer.encode("Zyxomma frobnicates; 12 naïve cafés — 東京!?").tokens


def test_the_four_audio_tokens_have_the_numbers_that_upstream_hard_codes(tokenizer: Tokenizer) -> None:
    assert [tokenizer.token_to_id(name) for name in tokens.AUDIO.values()] == [101, 102, 103, 104]


@pytest.fixture
def prose(tmp_path: Path) -> Path:
    """Three hundred clauses that are all different; the real ones come with a Debian package that a test must not need."""
    path = tmp_path / "prose"
    numbers = [
        " ".join((WORDS[a], WORDS[b], WORDS[c], "and so it went on"))
        for a in range(7)
        for b in range(7)
        for c in range(7)
    ]
    path.write_text(", ".join(numbers) + ".", encoding="utf-8")
    return path


def test_nothing_of_the_demo_and_of_the_measured_lines_is_trained_on(prose: Path) -> None:
    trained = set(texts.training(400, 1, prose))
    demo = [json.loads(line)["text"] for line in (ROOT / "data/demo/manifest.jsonl").open(encoding="utf-8")]
    kept_apart = {*demo, *texts.held_out_sentences(), *assemble.LISTENED}
    assert len(trained) > 300 and len(kept_apart) > 300
    assert not trained & kept_apart


def test_the_prose_that_is_measured_is_not_trained_on(prose: Path) -> None:
    trained, measured = texts.prose(prose)
    assert len(measured) == texts.NUM_HELD_OUT and not set(trained) & set(measured)


def test_the_target_of_the_demo_and_what_is_too_near_to_it_are_never_training_voices(prose: Path) -> None:
    seeds = range(corpus.SEED, corpus.SEED + corpus.VOLUMES)
    planned = {line.voice for seed in seeds for line in corpus.plan(600, seed, prose)}
    assert planned == set(corpus.VOICES) - set(corpus.TOO_NEAR) and len(planned) > 20
    assert max(corpus.VOICES[voice].formants for voice in planned if voice.startswith("rms")) < 1.2
    for voice in ("lark", *corpus.TOO_NEAR):
        with pytest.raises(AssertionError, match=f"{voice} is not a training voice"):
            corpus.speak(corpus.Line("Hello.", voice, 1.0, -6.0))


def test_most_lines_are_the_own_voice_and_the_others_are_even(prose: Path) -> None:
    voices = [line.voice for line in corpus.plan(1000, 1, prose)]
    share = voices.count(corpus.OWN_VOICE) / len(voices)
    others = [voices.count(voice) for voice in set(voices) - {corpus.OWN_VOICE}]
    assert 0.55 < share < 0.67 and min(others) > 4 and max(others) < 40


def test_later_volumes_are_many_virtual_speakers_all_over_their_ranges(prose: Path) -> None:
    voices = [line.voice for line in corpus.plan(2400, corpus.SEED + corpus.WIDE_FROM, prose)]
    assert set(voices) == set(corpus.wide()) and min(map(voices.count, set(voices))) > 10
    for voice, (share, formants, pitch) in corpus.RANGES.items():
        known = [one for one in corpus.wide().values() if one.voice == voice]
        assert len(known) == round(share * corpus.NUM_WIDE) and len({one.formants for one in known}) > 3
        assert all(formants[0] <= one.formants <= formants[1] for one in known)
        assert all(pitch[0] <= one.pitch <= pitch[1] for one in known)


@pytest.mark.skipif(shutil.which("flite") is None, reason="needs the Debian package flite")
def test_a_virtual_speaker_is_higher_and_takes_as_long() -> None:
    from pretrain import features

    told = {}
    for voice in ("rms", "rms_116", "rms_88"):
        samples, phones = corpus.speak(corpus.Line("The lamp is on.", voice, 1.0, -6.0))
        _, pitch = features.frames(samples.astype(np.float32) / 32768)
        told[voice] = (float(np.exp(np.median(pitch))), len(samples), [name for name, _ in phones])
        assert phones[-1][1] == pytest.approx(len(samples) / corpus.RATE_HZ, abs=0.15)
    hertz, length, names = told["rms"]
    for voice, factor in (("rms_116", 1.16), ("rms_88", 0.88)):
        assert told[voice][0] == pytest.approx(factor * hertz, rel=0.04)
        assert told[voice][1] == pytest.approx(length, rel=0.03) and told[voice][2] == names


def test_where_in_the_text_a_position_is_moves_forward_and_adds_to_one() -> None:
    text = list("ðʌ▁LæMP▁ɪZ▁ɑN.")
    phones = [("pau", 0.1)]
    for number, name in enumerate(["dh", "ax", "l", "ae", "m", "p", "ih", "z", "aa", "n"], start=1):
        phones.append((name, 0.1 + 0.08 * number))
    phones.append(("pau", 1.1))
    shares = alignment.shares(text, phones, positions=7, patch=4)
    assert shares.shape == (7, len(text)) and shares.sum(1) == pytest.approx(1.0)
    middles = [float((row * range(len(text))).sum()) for row in shares]
    assert all(before < after for before, after in pairwise(middles))
    in_second = dict(enumerate([0.125, 0.5, 0.0, 0.375]))  # 0.16 to 0.32 s: the end of ð, ʌ, the start of L
    assert shares[1] == pytest.approx([in_second.get(at, 0.0) for at in range(len(text))], abs=1e-5)
    assert shares[-1].argmax() == len(text) - 1


def test_a_dictionary_that_disagrees_with_flite_still_gives_a_place_to_every_phone() -> None:
    rng = random.Random(1)
    phones = [(rng.choice(["ax", "t", "iy", "zz"]), 0.1 * number) for number in range(1, 12)]
    shares = alignment.shares(list("KWAʌT▁TICɚ"), phones, positions=8, patch=4)
    assert shares.sum(1) == pytest.approx(1.0)


def test_volumes_of_many_voices_say_common_words_that_the_dictionary_has(prose: Path, tmp_path: Path) -> None:
    for level in texts.COMMON_LEVELS:
        (tmp_path / level).write_text("Lamp\nzyxomma\ntable\nwhisper's\na\nbutter\n", encoding="latin-1")
    assert texts.common_words(tmp_path) == ["butter", "lamp", "table"]
    rng = random.Random(3)
    said = [texts.chain(["butter", "lamp", "table"], rng) for _ in range(200)]
    words = [word for text in said for word in tokens.words_of([text])]
    assert set(words) <= {"butter", "lamp", "table", *texts.SMALL_WORDS} and {"butter", "table"} <= set(words)
    assert all(text[0].isupper() and text[-1] in ".?!" and ",." not in text for text in said)

"""With `serving.hear_words` a take is heard before it is given out: one that misses more words than usual is repeated, halved, warned of."""

import base64
import json
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.factories import audio, read_aloud, recognisers, runs
from tests.factories.read_aloud import HORSE, ISLAND, NOBODY, SNOW, Reader, half_replaced, said
from tests.registry.test_say import RECIPE, configuration, desk_of
from voicelathe import digest, layout, records
from voicelathe.cli.production import production
from voicelathe.config import params
from voicelathe.errors import RecogniserError
from voicelathe.records import MeasuredSample, SpeechMeasures
from voicelathe.registry import gates, promote, served, voice
from voicelathe.registry.authority import Authority
from voicelathe.registry.speaking import hearing, pace, say, sentences, takes
from voicelathe.registry.speaking.desk import VoiceLimits
from voicelathe.serving import server
from voicelathe.serving.house import House

CANDIDATE, JUDGED, SEED = "step_0000040@1", runs.LINES["carrier"], 42
BOTH = f"{HORSE} {ISLAND}"
RETRY = sentences.RETRY_SEED


def ears(usual: hearing.UsualMisses | None = None, language: str = "en") -> hearing.RequestEars:
    return hearing.RequestEars(recognisers.reference(), usual or hearing.UsualMisses(1.0), language)


def measure(usual: hearing.UsualMisses | None = None) -> takes.TakeChecks:
    return takes.TakeChecks(pace.Pace(), ears(usual))


def heard_then(root: Path, told: Mapping[str, str | None], run: str | None = None) -> None:
    """What the metric `recogniser` heard of the judged lines, by their ids."""
    path = root / layout.run(RECIPE, "metrics.json")
    found = records.read_one(path, SpeechMeasures)
    samples = [MeasuredSample(CANDIDATE, name, SEED, {}, {}, words) for name, words in told.items()]
    digest.write_json(
        path, records.to_json(replace(found, samples=samples, run_digest=run or found.run_digest))
    )
    runs.select(root, RECIPE, "ship", CANDIDATE)


def switch(root: Path, on: bool = True, **recogniser: Any) -> None:
    changed = {f"speech/recogniser/{name}": value for name, value in recogniser.items()}
    params.edit({"serving/hear_words": on, **changed}, root / "params.yaml")


def running(root: Path, reader: Reader, config: Mapping[str, Any] | None = None) -> voice.Voice:
    return voice.Voice(
        config or configuration(root), root, desk_of(reader), tempfile.TemporaryDirectory(), Authority(root)
    )


@pytest.fixture
def place(project: Path) -> Path:
    """A version in production whose lines were heard well."""
    heard_then(project, {"carrier": "every small detail felt clear"})
    promote.promote(RECIPE, project)
    return project


def wrong_at(*seeds: int) -> read_aloud.Sound:
    """Half of the horse's sentence is another one's, with these seeds, or with all of them."""
    return lambda _text, seed: half_replaced(HORSE, SNOW) if not seeds or seed in seeds else said(HORSE)


def test_a_take_that_misses_words_at_a_usual_pace_is_repeated_and_the_right_one_given() -> None:
    reader = Reader(wrong_at(5))
    sample, audio = takes.take(HORSE, 5, 3, reader.speak, measure())
    assert reader.asked == [(HORSE, 5), (HORSE, 5 + RETRY)]
    assert sample.problem is None and audio == said(HORSE)


def test_a_right_take_is_given_as_it_is() -> None:
    for text in (HORSE, SNOW, NOBODY):
        reader = Reader(lambda words, _seed: said(words))
        sample, audio = takes.take(text, 5, 3, reader.speak, measure())
        assert sample.problem is None and audio == said(text) and len(reader.asked) == 1


def test_words_that_never_come_out_right_are_spoken_in_smaller_pieces() -> None:
    def sound(text: str, _seed: int) -> bytes:
        return said(text) if text != BOTH else sentences.untagged([half_replaced(HORSE, SNOW), said(ISLAND)])

    reader = Reader(sound)
    sample, audio = takes.take(BOTH, 5, 2, reader.speak, measure())
    assert reader.asked == [(BOTH, 5), (BOTH, 5 + RETRY), (HORSE, 5), (ISLAND, 5)]
    assert sample.problem is None and sample.text == BOTH and audio == said(HORSE, ISLAND)


def test_what_stays_wrong_is_given_out_with_its_fault() -> None:
    reader = Reader(lambda text, _seed: said(SNOW, NOBODY) if text == BOTH else said(SNOW))
    sample, audio = takes.take(BOTH, 5, 2, reader.speak, measure())
    assert sample.problem == hearing.MISSED_WORDS and audio == said(SNOW, NOBODY)
    assert len(reader.asked) == 2 + 2 * 2


def test_every_fault_is_warned_of_in_words() -> None:
    assert set(production.FAULTS) == set(takes.FAULTS)
    assert all(f"({name})" in says for name, says in production.FAULTS.items())


def test_a_judged_line_with_its_seed_is_neither_objected_to_nor_repeated() -> None:
    usual = hearing.UsualMisses(1.0, judged=(hearing.mark(HORSE, 5),))
    reader = Reader(wrong_at())
    sample, _audio = takes.take(HORSE, 5, 2, reader.speak, measure(usual))
    assert sample.problem is None and reader.asked == [(HORSE, 5)]
    assert takes.take(HORSE, 6, 1, reader.speak, measure(usual))[0].problem == hearing.MISSED_WORDS
    assert takes.take(SNOW, 5, 1, reader.speak, measure(usual))[0].problem == hearing.MISSED_WORDS


def test_more_words_may_be_missed_where_that_was_usual() -> None:
    wrong = half_replaced(HORSE, SNOW)
    assert ears(hearing.UsualMisses(1.0)).fault(HORSE, 5, wrong) == hearing.MISSED_WORDS
    assert ears(hearing.UsualMisses(8.0)).fault(HORSE, 5, wrong) is None
    assert ears(hearing.UsualMisses()).fault(HORSE, 5, wrong) is None, "a version promoted earlier"


def test_short_texts_and_texts_without_words_are_not_judged() -> None:
    assert ears().fault("The lamp is on.", 5, said(SNOW)) is None
    assert ears().fault("... --- ... --- ... --- ... ---", 5, said(SNOW)) is None


def test_numbers_are_compared_as_they_are_spoken() -> None:
    assert ears().fault("The island is 7 miles from the simple church.", 5, said(ISLAND)) is None
    assert ears().fault("The island is 70 miles from the simple church.", 5, said(ISLAND)) is None, "one word"


def test_several_requests_are_heard_at_once_and_each_hears_its_own_words() -> None:
    """The model that finds speech crashes, or mixes them up, when two threads ask it: most of this is for that model."""
    noise = read_aloud.wav(audio.noise(12.0, level=0.05, rate_hz=read_aloud.RATE_HZ))
    sounds = [noise, said(HORSE), noise, said(ISLAND)] * 2
    alone = {one: ears().heard(one) for one in set(sounds)}
    assert alone[noise] == "" and "horse" in alone[said(HORSE)]
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(ears().heard, sounds))
    assert told == [alone[one] for one in sounds]


def test_what_is_usual_is_the_ninetieth_percentile_of_the_judged_lines(
    finished_project: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(finished_project, tmp_path / "project"))
    texts = {"carrier": JUDGED, **{f"line{number}": f"{HORSE} {number} {JUDGED}" for number in range(10)}}
    records.write(root / layout.LINES / "demo.jsonl", runs.pack({**texts, "short": runs.LINES["short"]}))
    path = root / layout.run(RECIPE, "samples.jsonl")
    spoken = records.read(path, records.SampleRecord)
    (own,) = [one for one in spoken if one.candidate == CANDIDATE and one.line_id == "carrier"]
    more = [replace(own, line_id=name, text=text) for name, text in texts.items() if name != "carrier"]
    records.write(path, [*spoken, *more])

    def usual(told: Mapping[str, str | None], run: str | None = None) -> hearing.UsualMisses:
        heard_then(root, told, run)
        case = gates.examine(RECIPE, root, gates.load_params(root), CANDIDATE)
        return hearing.of_config(json.loads(json.dumps(served.configuration(case))))

    right = dict(texts)
    found = usual({**right, "short": "nothing of it"})
    assert (found.most, found.languages, found.recogniser) == (1.0, ("en",), recognisers.reference().digest)
    assert found.judged == tuple(sorted(hearing.mark(text, SEED) for text in texts.values())), (
        "short ones are not"
    )
    assert usual({**right, "line0": ""}).most == 1.0, "one line of eleven decides nothing"
    assert usual({**right, "line0": "", "line1": "", "line2": ""}).most == 8.0
    assert usual({"carrier": "every small"}).most == 3.0
    assert usual(right, run="another") == usual({"carrier": None}) == hearing.UsualMisses()
    params.edit({"speech/recogniser": None}, root / "params.yaml")
    assert usual(right) == hearing.UsualMisses()


def test_off_nothing_is_heard_and_on_everything_is(place: Path) -> None:
    reader = Reader(wrong_at(5))
    switch(place, False, digest="0" * 64)  # nobody looks at it
    row = running(place, reader).say(HORSE, {"seed": 5, "attempts": 3})
    assert row["problem"] == "" and reader.asked == [(HORSE, 5)]
    switch(place, True, digest=recognisers.reference().digest)
    heard = running(place, reader).say(HORSE, {"seed": 5, "attempts": 3})
    assert heard["problem"] == "" and reader.asked[1:] == [(HORSE, 5), (HORSE, 5 + RETRY)]
    assert sentences.frames_of(base64.b64decode(heard["wav_base64"])) == sentences.frames_of(said(HORSE))
    always = Reader(wrong_at())
    assert running(place, always).say(HORSE, {"attempts": 1})["problem"] == hearing.MISSED_WORDS


def test_a_judged_line_is_served_as_it_was_judged_whatever_is_heard(place: Path) -> None:
    switch(place)
    reader = Reader(wrong_at())
    assert running(place, reader).say(JUDGED, {"seed": SEED, "attempts": 3})["problem"] == ""
    assert reader.asked == [(JUDGED, SEED)]


def test_a_language_that_the_recogniser_or_the_judged_lines_lack_is_not_judged(place: Path) -> None:
    switch(place)
    config = configuration(place)
    for language, heard in (("en", True), ("en-GB", True), ("de", False)):
        assert (hearing.of_project(place, "1", config, language) is not None) is heard
    french = {**config, "words": {**config["words"], "languages": ["fr"]}}
    assert hearing.of_project(place, "1", french, "en") is None
    earlier = {name: value for name, value in config.items() if name != "words"}
    assert hearing.of_project(place, "1", earlier, "en") is None, "promoted earlier"


def test_a_recogniser_that_is_missing_or_another_is_an_error_and_no_sound(place: Path) -> None:
    reader, config = Reader(wrong_at()), configuration(place)
    speaking = running(place, reader, config)
    copied = recognisers.copy(place / "ears" / "tiny")
    switch(place, model="ears/tiny")
    assert speaking.understood([HORSE], {}).checks.ears is not None, "a relative name, from another folder"
    other = recognisers.copy(place / "ears" / "other")
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    wrong = {
        r"cannot hear: .*other is not the recogniser that was pinned": {"model": "ears/other"},
        r"cannot hear: .*gone is missing": {"model": "ears/gone"},
        r"lines of version 1 were heard by recogniser ecec04d5": {
            "model": "ears/other",
            "digest": digest.of_value(digest.of_tree(other)),
        },
    }
    for message, changes in wrong.items():
        switch(place, True, **changes)
        with pytest.raises(
            RecogniserError,
            match=rf"serving\.hear_words is true.*{message}[\s\S]*set serving\.hear_words to false",
        ):
            speaking.say(HORSE, {})
    params.edit({"speech/recogniser": None}, place / "params.yaml")
    with pytest.raises(RecogniserError, match=r"speech\.recogniser is null.*recogniser add"):
        speaking.say(HORSE, {})
    with pytest.raises(RecogniserError, match=r"speech\.recogniser is null"):
        voice.Voice.open(config)
    with pytest.raises(RecogniserError, match=r"speech\.recogniser is null"):
        say.speak_production(HORSE, place / "out.wav", place, {})
    assert reader.asked == [] and copied.is_dir()
    switch(place, False)
    assert speaking.say(HORSE, {"attempts": 1})["problem"] == ""


def test_the_server_counts_pieces_that_miss_words(place: Path) -> None:
    switch(place)
    house, reader = House(place, VoiceLimits()), Reader(wrong_at())
    house._voice = running(place, reader)
    body = {"model": "voicelathe", "response_format": "wav", "attempts": 1}
    with TestClient(server.make(house, None, ["testserver"])) as client:
        sent = [
            client.post("/v1/audio/speech", json={**body, "input": text, "seed": SEED})
            for text in (JUDGED, HORSE)
        ]
        page = client.get("/metrics").text
    assert [one.status_code for one in sent] == [200, 200]
    assert 'voicelathe_faulty_pieces_total{fault="missed_words"} 1.0' in page
    assert sentences.duration_s(said(HORSE)) > 1 and [text for text, _seed in reader.asked][:2] == [
        JUDGED,
        HORSE,
    ]

"""Speaking with a registered version: requests are checked in front of MLflow, and only what was promoted speaks."""

import base64
import contextlib
import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from tests.factories.served import FEW, invocation, invoked, mlflows_own
from voicelathe import digest, records
from voicelathe.config import params
from voicelathe.errors import CheckpointError, PromotionError, RequestError
from voicelathe.process import jobs
from voicelathe.registry import gates, promote, served, voice
from voicelathe.registry.authority import Authority
from voicelathe.registry.history import journal
from voicelathe.registry.speaking import desk, say
from voicelathe.runs.identity import IDENTITY
from voicelathe.tracking import registered, store

RECIPE, NAME = "mini-lora", "voicelathe"


def configuration(root: Path, candidate: str | None = None) -> dict[str, Any]:
    return served.configuration(gates.examine(RECIPE, root, gates.load_params(root), candidate))


@pytest.fixture
def files(tmp_path: Path, finished_project: Path) -> Path:
    return Path(shutil.copytree(finished_project, tmp_path / "project"))


def test_an_unknown_option_is_an_error_and_nothing_is_started(project: Path) -> None:
    promote.promote(RECIPE, project)
    (project / "consent/awb.json").unlink()  # a voice that started would refuse for this
    with pytest.raises(
        RequestError,
        match=r"No such option: lora_scal\. .*attempts, guidance, language, lora_scale, max_length_ratio, max_seconds, seed, steps, version",
    ):
        say.speak_production("Hello.", project / "out.wav", project, {"lora_scal": 0.5})


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("  ", {}, "text is empty"),
        ("!!! … 🎉 \u200b\0", {}, "no letter and no digit"),
        (None, {}, "text is NoneType: it must be a string"),
        ("The lamp \ud800 is on.", {}, r"text holds half a character \(\\ud800\)"),
        ("The lamp is on.", {"language": "e\ud800"}, r"language = 'e\\ud800'"),
        ("x" * 4097, {}, "4,097 characters in one request; at most 4,096"),
        ("One more sentence is here. " * 150, {"max_seconds": 60.0}, r"1\d pieces .* could become \d+ s"),
        ("Hello.", {"max_seconds": float("nan")}, "max_seconds = nan"),
        ("Hello.", {"max_seconds": 0.0}, "max_seconds = 0.0"),
        ("Hello.", {"max_seconds": 1e9}, "at most 60"),
        ("Hello.", {"lora_scale": -0.1}, "lora_scale = -0.1"),
        ("Hello.", {"lora_scale": 2.5}, "lora_scale = 2.5"),
        ("Hello.", {"attempts": 0}, "attempts = 0: must be from 1 to 5"),
        ("Hello.", {"seed": -1}, "seed = -1: must be from 0 to 4294967295"),
        ("Hello.", {"seed": 2**32}, "seed = 4294967296: must be from 0"),
        ("Hello.", {"version": "7"}, r"version = '7' was never in production; there are: none"),
        ("Hello.", {"loudness": 1}, "No such option: loudness"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    files: Path, text: str, options: dict[str, Any], message: str
) -> None:
    spoken = voice.Voice(configuration(files), files, desk_of(_Silent()), _Scratch(files), Authority(files))
    with pytest.raises(RequestError, match=message):
        spoken.say(text, options)


def desk_of(speaker: Any) -> desk.Desk:
    return desk.Desk(lambda: speaker, desk.VoiceLimits())


class _Silent:
    """A speaker that must not be asked."""

    is_alive = True

    def say(self, request: jobs.SpeakRequest, limit_s: float | None) -> records.SampleRecord:
        raise AssertionError(f"asked for {request}")


class _Scratch:
    def __init__(self, root: Path) -> None:
        self.name = str(root)


class _Heard:
    """A speaker that remembers what it was asked, and says nothing."""

    is_alive = True

    def say(self, request: jobs.SpeakRequest, limit_s: float | None) -> records.SampleRecord:
        self.request = request
        raise RequestError("heard")


def test_another_version_speaks_at_the_strength_it_was_promoted_with(project: Path) -> None:
    config = {**configuration(project), "lora_scale": 0.35}
    first = promote.promote(RECIPE, project)
    own = replace(
        first, version="9", candidate="step_0000040@0.35"
    )  # as if it had been promoted at that strength
    with journal.locked(project) as book:
        for event in (journal.BEGUN, journal.DONE):
            book.append(event, "promote", own)
    promote.promote(RECIPE, project, "warmer", "step_0000020", take_over="1")
    run = records.read_one(project / "runs" / RECIPE / "run.json", records.RunRecord)
    identity = project / run.directory / IDENTITY
    digest.write_json(identity, records.to_json(run.identity))
    heard = _Heard()
    served = voice.Voice(config, project, desk_of(heard), _Scratch(project), Authority(project))

    def strength(**options: Any) -> float | None:
        with pytest.raises(RequestError, match="heard"):
            served.say("Hello.", options)
        return heard.request.lora_scale

    assert (strength(), strength(lora_scale=0.5)) == (0.35, 0.5)
    assert (strength(version="2"), strength(version="2", lora_scale=0.5)) == (1.0, 0.5)
    assert strength(version="2", lora_scale=0.35) == 1.0, "MLflow fills in the default of the loaded voice"
    literal = served.understood(["Hello."], {"version": "2", "lora_scale": 0.35})
    assert literal.chosen["lora_scale"] == 0.35, "over HTTP nobody fills in anything: what is given is meant"

    lora = run.identity.train.lora
    assert lora is not None
    doubled = replace(
        run.identity, train=replace(run.identity.train, lora=replace(lora, alpha=2 * lora.alpha))
    )
    digest.write_json(identity, records.to_json(doubled))
    with pytest.raises(RequestError, match="its adapter has another rank, alpha or scope"):
        served.say("Hello.", {"version": "2"})


def test_what_is_not_asked_for_is_as_the_version_was_registered_not_as_the_loaded_one(project: Path) -> None:
    promote.promote(RECIPE, project)
    first = configuration(project)
    params.edit(
        {f"recipes/{RECIPE}/listen/seeds": [7], f"recipes/{RECIPE}/listen/max_seconds": 5.0},
        project / "params.yaml",
    )
    promote.promote(RECIPE, project, "other settings", "step_0000020")
    run = records.read_one(project / "runs" / RECIPE / "run.json", records.RunRecord)
    digest.write_json(project / run.directory / IDENTITY, records.to_json(run.identity))
    loaded = voice.Voice(first, project, desk_of(_Heard()), _Scratch(project), Authority(project))

    def asked(**options: Any) -> tuple[int, float]:
        chosen = loaded.understood(["Hello."], options).chosen
        return chosen["seed"], chosen["max_seconds"]

    assert asked() == asked(version="1") == (first["seed"], first["max_seconds"])
    assert asked(version="2") == (7, 5.0)
    assert asked(version="2", seed=first["seed"]) == (first["seed"], 5.0), "what is given is meant"
    promote.rollback(project, "it sounded worse")
    stores.client(project).set_model_version_tag(NAME, "2", "voicelathe.run_digest", "0" * 64)
    fresh = voice.Voice(first, project, desk_of(_Heard()), _Scratch(project), Authority(project))
    with pytest.raises(
        PromotionError, match=r"Version 2 .* is not what was promoted: voicelathe\.run_digest"
    ):
        fresh.understood(["Hello."], {"version": "2"})


def test_only_promoted_versions_of_the_projects_model_speak(project: Path) -> None:
    with pytest.raises(PromotionError, match="Nothing is in production"):
        say.resolve(f"models:/{NAME}@production", project)
    promote.promote(RECIPE, project)
    model = stores.models(stores.client(project))["step_0000010"]
    registered.Registered(store.connect(runs.tracking(), project), NAME).register(model.model_id, {})
    assert say.resolve(f"models:/{NAME}@production", project) == "1"
    assert say.resolve(f"models:/{NAME}/1", project) == "1"
    with pytest.raises(
        PromotionError, match="models:/voicelathe/2 was never promoted; the journal knows versions 1"
    ):
        say.resolve(f"models:/{NAME}/2", project)
    for other in ("models:/other@production", "voicelathe", f"models:/{NAME}@candidate"):
        with pytest.raises(RequestError, match="give models:/voicelathe@production"):
            say.resolve(other, project)


def test_an_alias_moved_by_hand_does_not_speak(project: Path) -> None:
    promote.promote(RECIPE, project)
    promote.promote(RECIPE, project, "warmer", "step_0000020")
    stores.client(project).set_registered_model_alias(NAME, "production", "1")
    with pytest.raises(PromotionError, match="moved by hand"):
        say.speak_production("Hello.", project / "out.wav", project, {})
    with pytest.raises(PromotionError, match="moved by hand"):  # as `mlflow models serve` loads it
        registered.load(f"sqlite:///{project}/mlflow.db", f"models:/{NAME}@production")


def test_a_voice_follows_its_project_to_another_place_and_refuses_when_it_is_gone(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configuration(files)
    moved = files.rename(tmp_path / "moved")
    with pytest.raises(CheckpointError, match="VOICELATHE_ROOT"):
        voice.Voice.open(config)
    monkeypatch.setenv(voice.ROOT, str(moved))
    weights = moved / config["path"] / "lora_weights.safetensors"
    weights.write_bytes(b"other")
    with pytest.raises(CheckpointError, match=str(weights)):
        voice.Voice.open(config)


def test_two_configurations_are_never_one_identity(files: Path) -> None:
    one = configuration(files)
    assert served.identity(one) == served.identity(dict(one))
    assert served.identity(one) != served.identity({**one, "seed": 43})
    assert served.identity(one) != served.identity(configuration(files, "step_0000020"))


@pytest.mark.slow
def test_the_voice_in_production_speaks_a_sentence_into_a_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real worker with the real small base; the LoRA weights of the other tests are not of its architecture."""
    import soundfile

    monkeypatch.chdir(project)
    promote.promote(RECIPE, project, "to hear it", "base")
    said = say.speak_production(
        "The lamp is on.", project / "out.wav", project, {"seed": 3, "max_seconds": 2.0}
    )
    samples, rate_hz = soundfile.read(said.path)
    assert rate_hz == said.sample_rate_hz and 0 < len(samples) / rate_hz <= 2.2
    again = say.speak_production(
        "The lamp is on.", project / "two.wav", project, {"seed": 3, "max_seconds": 2.0}
    )
    assert again.path.read_bytes() == said.path.read_bytes(), "one seed is one take"


@pytest.mark.slow
def test_mlflows_own_server_speaks_with_the_promoted_version(project: Path) -> None:
    import json

    import soundfile

    promote.promote(RECIPE, project, "to hear it", "base")
    with mlflows_own(project) as port:
        (row,) = invoked(port, "The lamp is on.", seed=5, max_seconds=2.0)
        assert_refused_in_our_words(port)
        assert_everybody_hears_the_own_words(port)
    content = base64.b64decode(row["wav_base64"])
    samples, rate_hz = soundfile.read(io.BytesIO(content))
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        about = json.loads(file.comment)
    assert about["version"] == "1" and about["consent"][0]["purposes"] == ["clone", "commercial", "train"]
    assert "awb" not in json.dumps(about), "a file that is given away names no speaker"
    assert (
        rate_hz == row["sample_rate_hz"] and len(samples) > 0 and row["problem"] in ("", "runaway", "silent")
    )


def assert_refused_in_our_words(port: int) -> None:
    record = {"text": "The lamp is on."}
    for asked, expected in (
        ({"dataframe_records": [record], "params": {"lora_scal": 0.5}}, "lora_scal"),
        (
            {"dataframe_records": [{**record, "voice": "anna"}]},
            "No such option or column. Found extra inputs",
        ),
        ({"dataframe_records": [{"text": "  "}]}, "text is empty: there is nothing to say."),
        ({"dataframe_records": [{"text": "x" * 100_000}]}, "100,000 characters in one request"),
        ({"dataframe_records": [record] * 200}, "200 texts in one request; at most 16"),
    ):
        code, message = _refusal(port, asked)
        assert code == 400 and expected in message, (code, message[:500])
        assert "stack_trace" not in message and "Traceback" not in message, message[:500]


def assert_everybody_hears_the_own_words(port: int) -> None:
    """Twelve at once, then one after the other, and a worker that is killed in between."""
    from concurrent.futures import ThreadPoolExecutor

    def heard(words: str) -> str:
        (row,) = invoked(port, words, **FEW)
        assert row["text"] == words
        return str(row["wav_base64"])

    words = ["The lamp is on.", "Nobody speaks.", "Some small town."]
    alone = {one: heard(one) for one in words}
    assert len(set(alone.values())) == 3
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(heard, words * 4)) == [alone[one] for one in words * 4]
    assert [heard(one) for one in words] == list(alone.values())
    (worker,) = [one for one in psutil.process_iter() if _speaks_for(one, port)]
    worker.kill()
    assert [heard(one) for one in words] == list(alone.values()), "a dead worker is replaced"


def _speaks_for(process: psutil.Process, port: int) -> bool:
    with contextlib.suppress(psutil.Error):
        served = any(str(port) in " ".join(parent.cmdline()) for parent in process.parents())
        return served and "voicelathe.worker" in process.cmdline()
    return False


def _refusal(port: int, body: dict[str, Any]) -> tuple[int, str]:
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(invocation(port, body), timeout=240)
    return caught.value.code, caught.value.read().decode()

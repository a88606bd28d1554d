"""What may speak is asked again while a voice runs: consent, licence, language and alias, and no version speaks that was never promoted."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from tests.registry.test_say import NAME, RECIPE, _Scratch, _Silent, configuration, desk_of
from voicelathe import digest
from voicelathe.config import params
from voicelathe.errors import ConsentError, PromotionError, RequestError, TrackingError
from voicelathe.registry import promote, voice
from voicelathe.registry.authority import MAX_AGE_S, Authority
from voicelathe.registry.history import journal
from voicelathe.tracking import registered


class _Asked(_Silent):
    """A speaker that says in its refusal that it was asked."""

    def say(self, request: Any, limit_s: float | None) -> Any:
        raise RequestError(f"spoken in {request.language}")


def served(root: Path) -> voice.Voice:
    return voice.Voice(configuration(root), root, desk_of(_Asked()), _Scratch(root), Authority(root))


def ask(running: voice.Voice, **options: Any) -> None:
    """Ends in `spoken`, or in the reason why not."""
    running.say("Hello.", options)


def grow_old(running: voice.Voice) -> None:
    assert running.authority._asked_at is not None
    running.authority._asked_at -= MAX_AGE_S


def amend(root: Path, **changes: Any) -> None:
    record = digest.read_json(root / "consent/awb.json")
    digest.write_json(root / "consent/awb.json", {**record, **changes})


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda root: amend(root, revoked_at="2026-06-01"), ConsentError, "revoked_at is 2026-06-01"),
        (lambda root: (root / "consent/awb.json").unlink(), ConsentError, "is missing"),
        (lambda root: amend(root, models_allowed=["another"]), ConsentError, "models_allowed"),
        (
            lambda root: params.edit({f"bases/{runs.BASE}/licence": "CC-BY-NC-4.0"}, root / "params.yaml"),
            ConsentError,
            "CC-BY-NC-4.0",
        ),
        (
            lambda root: stores.client(root).set_registered_model_alias(NAME, "production", "2"),
            PromotionError,
            "moved by hand",
        ),
    ],
    ids=["revoked", "deleted", "model", "licence", "alias"],
)
def test_a_voice_that_runs_falls_silent_within_a_minute(
    project: Path, change: Callable[[Path], Any], error: type[Exception], message: str
) -> None:
    promote.promote(RECIPE, project)
    models = registered.Registered(promote.connect(runs.tracking(), project), NAME)
    models.register(stores.models(stores.client(project))["step_0000010"].model_id, {})
    running = served(project)
    with pytest.raises(RequestError, match="spoken in en"):
        ask(running)
    change(project)
    if (project / "consent/awb.json").is_file():  # or it falls silent at once
        with pytest.raises(RequestError, match="spoken in en"):
            ask(running)  # the answer is not a minute old
    grow_old(running)
    with pytest.raises(error, match=message):
        ask(running)


def test_only_languages_that_the_speaker_allowed_are_spoken(promoted: Path) -> None:
    running = served(promoted)
    with pytest.raises(ConsentError, match=r"language = 'de': the consent of this voice's speaker covers en"):
        ask(running, language="de")
    for nonsense in ("", "../../etc", "e", "en\n"):
        with pytest.raises(RequestError, match="give a tag such as en"):
            ask(running, language=nonsense)
    with pytest.raises(RequestError, match="spoken in en-GB"):
        ask(running, language="en-GB")


def test_a_version_that_was_registered_and_never_promoted_does_not_speak(project: Path) -> None:
    promote.promote(RECIPE, project)
    case = promote.gates.examine(RECIPE, project, promote.gates.load_params(project), "20")
    version = promote._register(registered.Registered(promote.connect(runs.tracking(), project), NAME), case)
    with pytest.raises(PromotionError, match="registered and never promoted: no gate was asked"):
        registered.load(f"sqlite:///{project}/mlflow.db", f"models:/{NAME}/{version}")


def test_where_mlflow_does_not_answer_consent_still_decides_and_the_last_answer_stands(
    promoted: Path,
) -> None:
    running = served(promoted)
    with pytest.raises(RequestError, match="spoken"):
        ask(running)
    (promoted / "mlflow.db").write_bytes(base64.b64decode("bm8gZGF0YWJhc2U="))
    grow_old(running)
    with pytest.raises(RequestError, match="spoken"):
        ask(running)
    assert "mlflow.db" in running.authority.problem
    amend(promoted, revoked_at="2026-06-01")
    grow_old(running)
    with pytest.raises(ConsentError, match="revoked_at"):
        ask(running)


def test_two_versions_of_the_same_weights_are_judged_each_by_its_own_speakers(promoted: Path) -> None:
    """The untouched base has no weights of its own: the versions of all recipes on it share what it hashes to."""
    own = promote.history(promoted)[-1].promotion
    other = replace(own, version="9", speakers={"eve": ["en"]})  # who has no record of consent
    with journal.locked(promoted) as book:
        for promotion in (other, own):  # and back
            for event in (journal.BEGUN, journal.DONE):
                book.append(event, "promote", promotion)
    asked = Authority(promoted)
    asked.require(own)
    with pytest.raises(ConsentError, match=r"Version 9 must not speak: .*eve"):
        asked.require(other)


def test_where_mlflow_has_lost_the_alias_nothing_speaks(promoted: Path) -> None:
    running = served(promoted)
    stores.client(promoted).delete_registered_model_alias(NAME, "production")
    with pytest.raises(PromotionError, match="has no alias production"):
        ask(running)
    with pytest.raises(PromotionError, match="has no alias production"):
        ask(running, version="1")


def test_what_was_refused_is_not_believed_because_mlflow_is_silent_now(promoted: Path) -> None:
    running = served(promoted)
    with pytest.raises(RequestError, match="spoken"):
        ask(running)
    stores.client(promoted).delete_registered_model_alias(NAME, "production")
    grow_old(running)
    with pytest.raises(PromotionError, match="has no alias production"):
        ask(running)
    (promoted / "mlflow.db").write_bytes(base64.b64decode("bm8gZGF0YWJhc2U="))
    grow_old(running)
    with pytest.raises(TrackingError):
        ask(running)


def test_a_file_says_what_the_speaker_allows_when_it_is_made(promoted: Path) -> None:
    running = served(promoted)
    before = running.understood(["Hello."], {}).about["consent"]
    amend(promoted, languages=["en", "de"])
    after = running.understood(["Hello."], {}).about["consent"]
    assert before[0]["languages"] == ["en"] and after[0]["languages"] == ["en", "de"]
    assert before[0]["sha256"] != after[0]["sha256"]


def test_a_clock_that_was_set_back_makes_no_record_valid_again(
    promoted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datetime

    class Yesteryear(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> "Yesteryear":
            return cls(2026, 1, 2, tzinfo=tz)

    amend(promoted, valid_until="2026-02-01")
    monkeypatch.setattr(journal.datetime, "datetime", Yesteryear)
    problems = promote.gates.consent_problems(promoted, {"awb": ["en"]})
    assert len(problems) == 1 and "valid_until was 2026-02-01" in problems[0]

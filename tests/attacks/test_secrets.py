"""Passwords, tokens and keys in whatever a user can type, keep or import: none is printed, recorded or handed on.

What reaches MLflow, with twenty of them planted at once, is tested in tests/registry/test_on_a_server.py.
"""

import pickle
from pathlib import Path

import pytest

from tests.factories import audio as sounds
from tests.factories import planted, rows
from voicelathe import errors, records, redaction
from voicelathe.cli import screen
from voicelathe.config import params
from voicelathe.config.version import VERSION
from voicelathe.data.audit import clean, report
from voicelathe.data.manifest import importing, ingest, kaldi, recognising
from voicelathe.data.measures import measure
from voicelathe.tracking import store

KINDS = {  # text -> what is left of it
    "https://anna:hunter2@host:5000/team": "https://host:5000/team",
    "https://token@host/x": "https://host/x",
    "https://anna:p/w@host/x": "https://host/x",
    "simplecache::s3://id:key@bucket/x": "simplecache::s3://bucket/x",
    "https://host/x?token=abc&y=1": "https://host/x?token=***&y=1",
    "https://host/x?y=1&sig=a%2Fb&z=2": "https://host/x?y=1&sig=***&z=2",
    "s3://b/x?X-Amz-Credential=AK/2026&X-Amz-Date=1": "s3://b/x?X-Amz-Credential=***&X-Amz-Date=1",
    "https://host/x?key=abc": "https://host/x?key=***",
    "Authorization: Basic YW5uYTpwdw==": "Authorization: ***",
    "header 'Bearer abcdef0123\\n'": "header '***\\n'",
    "X-Api-Key: abc": "X-Api-Key: ***",
    '{"secret": "abc", "id": 1}': '{"secret": "***", "id": 1}',
    "recipes.a.train.token = 'abc': unknown key": "recipes.a.train.token = '***': unknown key",
    "AWS_SECRET_ACCESS_KEY=abc make": "AWS_SECRET_ACCESS_KEY=*** make",
    "password = abc": "password = ***",
    "because the password: hunter2 was known": "because the password: *** was known",
    "passphrase:abc, api_key: def": "passphrase:***, api_key: ***",
    "DefaultEndpointsProtocol=https;AccountKey=abc==;": "DefaultEndpointsProtocol=https;AccountKey=***;",
    "hf_abcdefghijklmnopqrst here": "*** here",
    "ghp_abcdefghijklmnopqrst": "***",
    "AKIAIOSFODNN7EXAMPLE": "***",
    "sk-abcdefghijklmnopqrstuvwx": "***",
    "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.abc": "***",
    "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----.": "***.",
}
INNOCENT = (
    *("models:/voicelathe@production", "http://127.0.0.1:5000/#/models/v@production", "step_0000040@0.35"),
    *(
        "sqlite:////home/x@y/mlflow.db",
        "tokenizer.json: sha256 is abc, expected def",
        "The token: it was missing.",
    ),
    *("git+https://host/repo@v1.2", "clips/a-b.wav", "risk-assessment-of-everything-there-is", "key = value"),
)


@pytest.mark.parametrize("text", KINDS)
def test_a_secret_of_a_known_kind_is_taken_out_and_the_rest_stays(text: str) -> None:
    assert redaction.scrub(text) == KINDS[text] == redaction.scrub(KINDS[text])


@pytest.mark.parametrize(
    "part", ["a_", "a.", "a-", "://a:b", "eyJaaaaaaaa-", "token ", "api_key_", "password:", "password: "]
)
def test_the_search_for_secrets_takes_no_longer_than_the_text_is_long(part: str) -> None:
    """With patterns of quadratic cost this takes minutes, in which no other thread of a server does anything."""
    assert len(redaction.scrub(part * (300_000 // len(part)))) <= 300_000


def test_an_error_quotes_no_more_than_anybody_reads_and_half_of_no_secret() -> None:
    secret = "hf_abcdefghijklmnopqrst"
    text = "x " * (errors.MAX_MESSAGE_CHARS // 2 - 5) + secret * 10
    message = str(errors.RequestError(text))
    assert len(message) < errors.MAX_MESSAGE_CHARS + 50 and "hf_" not in message and "characters)" in message


@pytest.mark.parametrize("text", INNOCENT)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redaction.scrub(text) == text


def test_no_error_and_no_line_of_a_command_shows_what_the_environment_keeps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in planted.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    everything = " ".join(planted.ENVIRONMENT.values())
    told = str(errors.TrackingError(f"refused: {everything}"))
    screen.say(everything)
    screen.table("x", ("a",), [(everything,)])
    told += capsys.readouterr().out + store.reason(ValueError(f"Invalid header value {everything!r}"))
    assert not [secret for secret in planted.SECRETS if secret in told]
    assert str(pickle.loads(pickle.dumps(errors.RunLocked("x")))) == "x"


def test_a_worker_inherits_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = redaction.harmless(
        {**planted.ENVIRONMENT, "PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0", "MONKEY": "1"}
    )
    assert kept == {"PATH": "/bin", "CUDA_VISIBLE_DEVICES": "0", "MONKEY": "1"}


def test_a_key_that_does_not_belong_into_params_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(errors.ParamsError) as caught:
        params.check(
            {
                "version": VERSION,
                "tracking": {"token": "abc-0123", "experiment": "x", "upload": "https://a:pw-0123@h/"},
            },
            "params.yaml",
        )
    assert "tracking.token" in str(caught.value)
    assert "abc-0123" not in str(caught.value) and "pw-0123" not in str(caught.value)


def test_an_imported_manifest_leaves_its_passwords_behind(tmp_path: Path) -> None:
    manifest = rows.json_lines(tmp_path / "m.jsonl", [rows.raw(1), *planted.ROWS[:3]])
    importing.copy(recognising.find(manifest, None), tmp_path, tmp_path / "copy.jsonl")
    (tmp_path / "kaldi").mkdir()
    command = planted.ROWS[2]["audio"]  # type: ignore[index]
    (tmp_path / "kaldi/wav.scp").write_text(f"a {command}\nb https://joe:web-2a3b0099@h/a.wav\n")
    told = (tmp_path / "copy.jsonl").read_text() + kaldi.join(tmp_path / "kaldi").decode()
    assert told.count("data.example.org") == 3 and not [
        secret for secret in planted.SECRETS if secret in told
    ]


def test_rows_that_are_addresses_reach_neither_the_records_nor_the_report_with_their_passwords(
    tmp_path: Path,
) -> None:
    page, written = pages(tmp_path)
    assert page.count("absolute_path") >= 2 and "data.example.org" in page
    assert not [secret for secret in planted.SECRETS if secret in page + written]


def pages(root: Path) -> tuple[str, str]:
    """The data report and the records of a manifest with planted rows."""
    for number in (1, 5):
        sounds.write(root / f"audio/rec_{number:02d}.wav", sounds.speech(0.3, seed=number))
    manifest = rows.json_lines(root / "planted.jsonl", [rows.raw(1), *planted.ROWS])
    read = ingest.read(rows.ingest(manifest, root / "audio"), rows.SERIAL)
    manifest.unlink()
    measured = measure.measure(read.rows, root / "audio", rows.MEASURE, rows.SERIAL)
    found = clean.audit(read.rows, read.rejected, measured, rows.AUDIT, rows.PHRASES)
    for name, kept in (
        ("manifest", read.rows),
        ("rejected", read.rejected),
        ("quarantine", found.quarantine),
    ):
        records.write(root / f"{name}.jsonl", kept)
    written = "".join((root / f"{name}.jsonl").read_text() for name in ("manifest", "rejected", "quarantine"))
    return report.render(found), written

"""`voicelathe conform`: a server that says what was judged passes, one that says other words, in another voice or half of it does not.

The other server is a stand-in for other people's programs; real clips of the demo's speaker are what was judged, and real ears hear both.
"""

import contextlib
import io
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from tests.factories import runs
from tests.factories import speaking as speakers
from tests.factories.served import KEY, running
from voicelathe import digest, layout, records
from voicelathe.cli import app
from voicelathe.config import params
from voicelathe.data.audio import waveform
from voicelathe.data.lexicon import reading
from voicelathe.errors import SelectionError, ServerError
from voicelathe.evaluate.scoring import judging
from voicelathe.process import jobs, runner, sample_files
from voicelathe.records import SampleRecord
from voicelathe.registry import gates
from voicelathe.registry.speaking import asking, conforming
from voicelathe.speech import recogniser_files

RECIPE, CANDIDATE = "mini-lora", "step_0000040@1"
METRICS = ["recogniser", "speaker"]
REPOSITORY = runs.REPOSITORY


class Stranger:
    """A server in OpenAI's form. `say` gives the body and the status for a text."""

    def __init__(self) -> None:
        self.say: Callable[[str], tuple[int, bytes]] = lambda text: (404, b"")
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        stranger = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(
                    200, json.dumps({"object": "list", "data": [{"id": "tts", "owned_by": "them"}]}).encode()
                )

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stranger.asked.append(body)
                stranger.keys.append(self.headers.get("Authorization"))
                self._answer(*stranger.say(body["input"]))

            def _answer(self, status: int, content: bytes) -> None:
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Retry-After", "0")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    made = Stranger()
    thread = threading.Thread(target=made.http.serve_forever)
    thread.start()
    yield made
    made.http.shutdown()
    thread.join()
    made.http.server_close()


def wav(samples: Any, rate_hz: int = 16_000) -> bytes:
    held = io.BytesIO()
    soundfile.write(held, samples, rate_hz, format="WAV", subtype="PCM_16")
    return held.getvalue()


def demo_clips(number: int) -> list[records.CleanClip]:
    """Clips of the demo's speaker, as training would read them."""
    found = []
    for line in (REPOSITORY / "data/demo/manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        if (
            row.get("speaker_id") == "lark"
            and len(row.get("text") or "") > 35
            and (row["end_s"] or 0) - (row["start_s"] or 0) > 2
        ):
            found.append(row)
    found = sorted(found, key=lambda row: row["id"])[:number]
    return [
        replace(
            runs.clip("validation", at), audio=row["audio"], start_s=row["start_s"], end_s=row["end_s"], text=row["text"], speaker_id="lark",
            recording_id=row["recording_id"], audio_sha256=digest.of_file(REPOSITORY / "data/demo/audio" / row["audio"]),
        )
        for at, row in enumerate(found)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose candidate was heard saying four sentences of the demo's speaker."""
    root = tmp_path_factory.mktemp("judged") / "project"
    made = runs.finished(root)
    clips, sounds = demo_clips(10), REPOSITORY / "data/demo/audio"
    params.edit({"ingest/audio_root": str(sounds)}, root / "params.yaml")
    spoken = clips[:4]
    records.write(root / layout.split("validation"), clips[4:])
    records.write(
        root / layout.LINES / "demo.jsonl",
        runs.pack({f"line-{at}": one.text for at, one in enumerate(spoken)}),
    )
    for at, clip in enumerate(spoken):
        waveform.write_wav(
            root / made.journal / f"line-{at}.wav", waveform.read_mono(sounds, clip, 16_000), 16_000
        )
    samples = []
    for at, clip in enumerate(spoken):
        path = (made.journal / f"line-{at}.wav").relative_to(root)
        seconds = soundfile.info(root / path).duration
        sha256, levels = digest.of_file(root / path), (-3.0, -20.0)
        samples.append(
            SampleRecord(
                CANDIDATE,
                40,
                1.0,
                f"line-{at}",
                clip.text,
                42,
                {},
                str(path),
                sha256,
                seconds,
                *levels,
                True,
                None,
            )
        )
    hear(root, made.run, samples)
    return root


def hear(root: Path, run: records.RunRecord, samples: list[SampleRecord]) -> None:
    """What the stage `listen` leaves of these samples."""
    with contextlib.chdir(root):
        chosen = params.load()
        ears = recogniser_files.reference(chosen.speech, chosen.machine)
        real = judging.real_clips(chosen.ingest.audio_root, run, set())
        languages = {one.line_id: "en" for one in samples}
        told = judging.judge(run, samples, languages, real, METRICS, 600.0, {}, recogniser=ears)
        assert [one.status for one in told.metrics] == ["measured", "measured"], told.metrics
        records.write(layout.run(run.recipe, "samples.jsonl"), samples)
        digest.write_json(layout.run(run.recipe, "metrics.json"), records.to_json(told))


@pytest.fixture
def said(judged: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """text -> what was judged."""
    monkeypatch.chdir(judged)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    samples = records.read(layout.run(RECIPE, "samples.jsonl"), SampleRecord)
    return {one.text: soundfile.read(str(one.path))[0] for one in samples}


def command(stranger: Stranger, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        app, ["conform", stranger.url, "--recipe", RECIPE, "--candidate", CANDIDATE, *more]
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def lost(output: str) -> set[str]:
    return {line.split()[0] for line in output.splitlines() if line.endswith("LOST")}


@pytest.mark.slow
def test_another_program_is_given_the_text_as_the_voice_reads_it(
    stranger: Stranger, judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(judged, tmp_path / "project"))
    monkeypatch.chdir(root)
    path = layout.run(RECIPE, "run.json")
    run = records.read_one(path, records.RunRecord)
    words = records.Lexicon((records.Respelling("en", "the", "thuh"),), False)
    digest.write_json(path, records.to_json(replace(run, identity=replace(run.identity, lexicon=words))))
    stranger.say = lambda text: (400, b"no")
    asked_for = ["conform", stranger.url, "--recipe", RECIPE, "--candidate", CANDIDATE]
    assert "spoke none of 4 lines" in str(CliRunner().invoke(app, asked_for).exception)
    written = [one.text for one in records.read(layout.run(RECIPE, "samples.jsonl"), SampleRecord)]
    asked = [body["input"] for body in stranger.asked]
    assert asked == [reading.as_read(words, text, "en") for text in written] != written


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_server_that_says_what_was_judged_passes_and_others_do_not(
    stranger: Stranger, said: dict[str, Any]
) -> None:
    texts = list(said)
    stranger.say = lambda text: (200, wav(said[text]))
    code, output = command(stranger, "--field", "language=English", "--voice", "lark")
    assert code == 0 and "4 of 4 samples are the judged ones to the byte" in output, output
    assert stranger.asked[0] == {
        "model": "tts", "voice": "lark", "language": "English", "input": texts[0], "response_format": "wav"
    }, "no field that only our own server knows"  # fmt: skip

    stranger.say = lambda text: (200, wav(said[texts[texts.index(text) - 1]]))
    code, output = command(stranger)
    assert code == 3 and "words" in lost(output) and "likeness" not in lost(output), output

    stranger.say = lambda text: (200, wav(said[text][: len(said[text]) // 2]))
    code, output = command(stranger)
    assert code == 3 and {"words", "length"} <= lost(output), output

    stranger.say = lambda text: (200, wav(waveform.resample(said[text].astype(np.float32), 16_000, 11_000)))
    code, output = command(stranger)
    assert code == 3 and {"likeness", "length"} <= lost(output), output

    stranger.say = lambda text: (200, wav(said[text])) if text != texts[2] else (400, b"no such voice")
    code, output = command(stranger)
    assert (
        code == 3
        and not lost(output)
        and "Not spoken: line-2" in output
        and "answers 400: no such voice" in output
    ), output


def test_a_server_that_cannot_be_asked_is_an_error_in_one_sentence(
    stranger: Stranger, said: dict[str, Any]
) -> None:
    def refused(match: str, url: str = stranger.url) -> None:
        with pytest.raises(ServerError, match=match):
            conforming.conform(asking.Server(url), RECIPE, CANDIDATE, {"voice": "x"}, conforming.Margins())

    stranger.say = lambda text: (500, b"out of memory")
    refused("spoke none of 4 lines. .*answers 500: out of memory")
    stranger.say = lambda text: (200, b"ID3 this is an MP3")
    refused("did not answer with a 16-bit WAV")
    stranger.say = lambda text: (429, b"busy")
    refused("answers 429: busy")
    refused("does not answer", "http://127.0.0.1:9/v1")
    refused("give an address such as", "127.0.0.1:8300")
    with pytest.raises(ServerError, match="no speech of candidate 'step_7'; there are: step_0000040@1"):
        conforming.conform(asking.Server(stranger.url), RECIPE, "step_7", {}, conforming.Margins())


@pytest.mark.slow
def test_answers_without_sound_are_failures_and_never_kept(stranger: Stranger, said: dict[str, Any]) -> None:
    texts = list(said)
    stranger.say = lambda text: (200, wav(np.zeros(0)))
    with pytest.raises(ServerError, match=r"spoke none of 4 lines\. line-0: .* 0\.00 s"):
        conforming.conform(asking.Server(stranger.url), RECIPE, CANDIDATE, {}, conforming.Margins())
    stranger.say = lambda text: (200, wav(np.zeros(0) if text == texts[1] else said[text]))
    found = conforming.conform(asking.Server(stranger.url), RECIPE, CANDIDATE, {}, conforming.Margins())
    assert len(found.failures) == 1 and "line-1" in found.failures[0] and not found.is_kept
    assert all(one.is_kept for one in found.compared), "what was said was said well"


def test_what_could_not_be_heard_in_time_is_an_error_and_no_proof(
    stranger: Stranger, said: dict[str, Any], judged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(shutil.copytree(judged, tmp_path / "project"))
    monkeypatch.chdir(root)
    params.edit({f"recipes/{RECIPE}/listen/metric_timeout_s": 0.01}, root / "params.yaml")
    stranger.say = lambda text: (200, wav(said[text]))
    with pytest.raises(SelectionError, match=r"could not be heard: .*recogniser"):
        conforming.conform(asking.Server(stranger.url), RECIPE, CANDIDATE, {}, conforming.Margins())


@pytest.mark.parametrize(
    "answer, message",
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nRI", "IncompleteRead"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nRIFF", "broke off after 4 of 100 bytes"),
        (b"RIFF\r\n\r\n", "RIFF"),
        (b"HTTP/1.1 200 " + b"x" * 70_000 + b"\r\n\r\n", "got more than 65536 bytes"),
        (b"", "closed connection"),
        (b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nRI", "answers 400"),
    ],
)
def test_a_server_that_breaks_off_is_an_error_in_one_sentence(answer: bytes, message: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def serve() -> None:
            with listening.accept()[0] as connection:
                with connection.makefile(
                    "rb"
                ) as asked:  # all of it: what is left unread resets the connection
                    heads = list(iter(asked.readline, b"\r\n"))
                    asked.read(
                        sum(int(one.split()[1]) for one in heads if one.lower().startswith(b"content-length"))
                    )
                connection.sendall(answer)

        pool.submit(serve)
        server = asking.Server(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
        with pytest.raises(ServerError, match=message):
            server.speak({"input": "x"})


@pytest.mark.parametrize(
    "url", ["http://[::1/v1", "http://127.0.0.1:x/v1", "http://a b/v1", "http://" + "x" * 70 + "/v1"]
)
def test_what_is_no_address_is_an_error_in_one_sentence(url: str) -> None:
    with pytest.raises(ServerError, match=r"give an address such as|does not answer"):
        asking.Server(url).models()


def test_a_key_is_sent_to_the_server_that_was_named_and_nowhere_else(
    stranger: Stranger, said: dict[str, Any]
) -> None:
    stranger.say = lambda text: (307, b"")
    server = asking.Server(stranger.url, "a-secret-key")
    with pytest.raises(ServerError, match="answers 307"):
        server.speak({"input": "x"})
    assert stranger.keys == ["Bearer a-secret-key"] and "a-secret-key" not in repr(server)


def about(wav: bytes) -> dict[str, Any]:
    with soundfile.SoundFile(io.BytesIO(wav)) as file:
        found: dict[str, Any] = json.loads(file.comment)
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_our_own_server_says_the_judged_lines_to_the_byte(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged samples are spoken by the worker as the stage `listen` has them spoken, with other settings than upstream's own."""
    settings = {"steps": 4.0, "guidance": 1.5, "max_length_ratio": 6.0}
    monkeypatch.setattr(runs, "DECODING", settings)
    root = speakers.project(tmp_path / "project", empty_database.parent)
    params.edit(
        {
            "ingest/audio_root": str(REPOSITORY / "data/demo/audio"),
            f"recipes/{RECIPE}/listen/max_seconds": 0.8,
        },
        root / "params.yaml",
    )
    records.write(root / layout.split("validation"), demo_clips(3))
    monkeypatch.chdir(root)
    run = records.read_one(layout.run(RECIPE, "run.json"), records.RunRecord)
    case = gates.load_params(root)
    target = jobs.Target(
        "voxcpm2", str(root / "data/bases" / runs.BASE), run.identity.base_digest, case.machine
    )
    base = jobs.WeightsRef(records.Candidate(0, None), "base", target.base, target.base_digest)
    lines = [records.Line(name, text, "en", 42) for name, text in runs.LINES.items()]
    job = jobs.SpeakJob(target, None, [base], lines, 0.8, settings, None, "spoken", interactive=False)
    runner.run(job, "judged")
    kept = [digest.read_json(sample_files.place(job, base, line))["sample"] for line in lines]
    samples = [records.from_json(SampleRecord, one, "worker") for one in kept]
    hear(root, run, samples)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with running(root) as served:
        done = CliRunner().invoke(app, ["conform", f"{served.url}/v1"])
        asked = {
            "model": "voicelathe",
            "input": lines[0].text,
            "max_seconds": 0.8,
            "attempts": 1,
            "response_format": "wav",
        }
        own, other = (
            served.post(json={**asked, **more}).content for more in ({}, {"decoding": {"steps": 10}})
        )
        refused = served.post(json={**asked, "decoding": {"temperature": 1.0}})
    assert about(own)["decoding"] == settings and about(own)["as_judged"] is True
    assert about(other)["decoding"] == {**settings, "steps": 10.0} and about(other)["as_judged"] is False
    assert own[-1000:] != other[-1000:]
    assert refused.status_code == 400 and "temperature: no such setting; this voice has steps" in refused.text
    assert done.exit_code == 0 and "2 of 2 samples are the judged ones to the byte" in done.output, (
        done.output
    )
    assert "voicelathe against mini-lora base" in done.output

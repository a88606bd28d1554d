"""`voicelathe serve` as a program, spoken to by OpenAI's own client and by strangers: a real worker, a real MLflow, a real port."""

import contextlib
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import soundfile

from tests.factories import mlflow_stores as stores
from tests.factories.served import FEW, KEY, Served, running
from voicelathe.registry import promote

PARAGRAPH = (
    "The lamp is on the long table. Nobody speaks of rain in this small town. A quiet road leads home."
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tracked_project: Path) -> Iterator[Served]:
    """The untouched base is promoted: the adapters of these projects are not of its architecture."""
    root = stores.copy_tracked(tracked_project, tmp_path_factory.mktemp("served") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        promote.promote("mini-lora", root, "to hear it", "base")
    with running(root, "--waiting", "6") as found:
        yield found


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_openais_client_lists_speaks_and_streams(served: Served) -> None:
    assert [model.id for model in served.client.models.list()] == ["voicelathe", "voicelathe:1"]
    arrived: list[float] = []
    began, parts = time.monotonic(), []
    with served.client.audio.speech.with_streaming_response.create(
        model="voicelathe:1", voice="awb", input=PARAGRAPH, response_format="pcm", extra_body=FEW
    ) as answer:
        assert answer.headers["x-voicelathe-version"] == "1"
        for part in answer.iter_bytes(chunk_size=None):
            arrived.append(time.monotonic() - began)
            parts.append(part)
    assert len(parts) > 1, "the first sentence is there before the last is made"
    print("first sound after", round(arrived[0], 2), "s, last after", round(arrived[-1], 2), "s")
    whole = served.wav(PARAGRAPH)
    samples, rate_hz = soundfile.read(io.BytesIO(whole), dtype="int16")
    assert b"".join(parts) == samples.tobytes() and rate_hz == 16000


def test_one_sentence_is_the_file_that_say_writes_and_names_its_version(served: Served) -> None:
    content = served.wav("The lamp is on the table.")
    with soundfile.SoundFile(io.BytesIO(content)) as file:
        about = json.loads(file.comment)
    assert about["version"] == "1" and "awb" not in json.dumps(about["consent"])
    assert int.from_bytes(content[4:8], "little") == len(content) - 8, "its length is known, so it is said"
    assert served.wav("The lamp is on the table.") == content


@pytest.mark.parametrize("form", ["mp3", "opus", "flac"])
def test_every_format_is_what_it_says(served: Served, form: str) -> None:
    body = {"model": "voicelathe", "input": PARAGRAPH, "response_format": form, **FEW}
    answer = served.post(json=body)
    samples, rate_hz = soundfile.read(io.BytesIO(answer.content))
    pcm = served.post(json={**body, "response_format": "pcm"}).content
    assert answer.status_code == 200 and abs(len(samples) / rate_hz - len(pcm) / 2 / 16000) < 0.2


@pytest.mark.parametrize(
    "body, status, message",
    [
        ({"input": " "}, 400, "text is empty"),
        ({"input": "x" * 5000}, 413, "5,000 characters in one request; at most 4,096"),
        ({"input": "x" * 100_000}, 413, "more than 65,536 bytes"),
        ({"model": "tts-1"}, 400, "model = 'tts-1': this server speaks 'voicelathe'"),
        ({"model": "voicelathe:7"}, 400, "version = '7' was never in production"),
        ({"voice": "alloy"}, 400, "voice = 'alloy': this version has default, awb"),
        ({"speed": 1.5}, 400, "speed = 1.5: no model here can change its pace"),
        ({"instructions": "cheerfully"}, 400, "instructions: Extra inputs are not permitted"),
        (
            {"decoding": {"temperature": 1.0}},
            400,
            "decoding: temperature: no such setting; this voice has steps",
        ),
        ({"decoding": {"seed": 7}}, 400, "decoding: seed: no such setting"),
        ({"decoding": {"steps": 0}}, 400, "decoding: steps = 0: must be from 1 to 100"),
        ({"decoding": {"steps": "many"}}, 400, "decoding.steps: Input should be a valid number"),
        ({"response_format": "aac"}, 400, "response_format: Input should be 'mp3'"),
        ({"language": "de"}, 403, "the consent of this voice's speaker covers en"),
        ({"max_seconds": 1e9}, 400, "at most 60"),
        ({"input": None}, 400, "input: Input should be a valid string"),
        ({"input": "The lamp \ud800 is on."}, 400, "text holds half a character (\\ud800)"),
        ({"voice": "\udcff"}, 400, "voice = '\\udcff'"),
        ({"model": "\udcff"}, 400, "model = '\\udcff'"),
        ({"lamp\udcff": 1}, 400, "body: Input should be a valid string"),
    ],
)
def test_a_refusal_is_one_sentence_with_a_proper_status(
    served: Served, body: dict[str, Any], status: int, message: str
) -> None:
    sent = json.dumps({"model": "voicelathe", "input": "Hello.", **body})  # httpx sends no half characters
    answer = served.post(content=sent, headers={"Content-Type": "application/json"})
    error = answer.json()["error"]
    assert answer.status_code == status and message in error["message"], answer.text
    assert set(error) == {"message", "type", "param", "code"} and "Traceback" not in answer.text


@pytest.mark.parametrize(
    "path, content, status",
    [
        ("/v1/audio/speech", b'{"input": "\xff"}', 400),
        ("/v1/audio/speech", b"{", 400),
        ("/v1/audio/speech", b"[" * 60_000, 400),
        ("/v1/models", b"{}", 405),
        ("/v1/nothing", b"{}", 404),
    ],
)
def test_what_is_no_request_at_all_is_refused_in_the_same_form(
    served: Served, path: str, content: bytes, status: int
) -> None:
    answer = served.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == status and set(answer.json()) == {"error"}, answer.text
    assert served.is_well()


def test_strangers_other_hosts_and_foreign_pages_are_not_let_in(served: Served) -> None:
    body = {"model": "voicelathe", "input": "Hello."}
    assert httpx.post(f"{served.url}/v1/audio/speech", json=body).status_code == 401
    assert served.post(json=body, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert served.post(json=body, headers={"Host": "evil.example"}).status_code == 400
    assert served.post(json=body, headers={"Origin": "http://evil.example"}).status_code == 403
    assert httpx.get(f"{served.url}/metrics").status_code == 401
    assert httpx.get(f"{served.url}/health").status_code == 200
    assert served.post("/docs", json=body).status_code == 404


def test_everybody_hears_the_own_words_also_when_the_worker_is_killed(served: Served) -> None:
    texts = [f"This is sentence number {n}." for n in range(4)]
    alone = {text: served.wav(text) for text in texts}
    assert len(set(alone.values())) == 4

    def ask(number: int) -> bool:
        return served.wav(texts[number % 4]) == alone[texts[number % 4]]

    with ThreadPoolExecutor(5) as pool:
        answers = [pool.submit(ask, number) for number in range(20)]
        answers[2].result()
        served.worker().kill()
        assert all(answer.result() for answer in answers)
    assert served.is_well()


def test_more_than_fit_are_told_to_come_again(served: Served) -> None:
    body = {
        "model": "voicelathe",
        "input": PARAGRAPH,
        "response_format": "pcm",
        "attempts": 1,
        "max_seconds": 3.0,
    }
    with ThreadPoolExecutor(14) as pool:
        answers = list(pool.map(lambda _: served.post(json=body), range(14)))
    refused = [one for one in answers if one.status_code == 429]
    assert refused and {one.status_code for one in answers} == {200, 429}
    assert all(int(one.headers["retry-after"]) >= 1 for one in refused)
    assert "wait" in refused[0].json()["error"]["message"]


def test_a_client_that_goes_away_frees_its_place(served: Served) -> None:
    long = " ".join(f"Sentence number {n} of a very long text that nobody hears." for n in range(60))
    body = {"model": "voicelathe", "input": long, "response_format": "pcm", "max_seconds": 10.0}
    for _ in range(8):  # more than there are places
        with (
            contextlib.suppress(httpx.TimeoutException),
            httpx.stream(
                "POST", f"{served.url}/v1/audio/speech", json=body, timeout=1.0,
                headers={"Authorization": f"Bearer {KEY}"},
            ) as answer,
        ):  # fmt: skip
            for _part in answer.iter_bytes():
                break
    end = time.monotonic() + 120
    while httpx.get(f"{served.url}/health", timeout=30).json()["requests"]:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert served.wav("The lamp is on the table.")


def test_what_is_counted_names_no_text_and_no_key(served: Served) -> None:
    page = httpx.get(f"{served.url}/metrics", headers={"Authorization": f"Bearer {KEY}"}, timeout=30).text
    assert (
        'voicelathe_requests_total{status="200"}' in page and "voicelathe_first_audio_seconds_bucket" in page
    )
    assert KEY not in page and "lamp" not in page
    assert KEY not in served.log and "lamp" not in served.log

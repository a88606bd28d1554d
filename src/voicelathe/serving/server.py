"""The addresses of `voicelathe serve`: OpenAI's /v1/audio/speech and /v1/models, /health, /metrics.

Every refusal is one sentence in OpenAI's form with a proper status; a stream that breaks is broken off, never ended as if it were whole.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Literal, TypeVar

from anyio import to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from voicelathe import digest, errors, families
from voicelathe.families import decoding
from voicelathe.registry.speaking import requests, sentences
from voicelathe.registry.speaking.desk import Turn
from voicelathe.registry.voice import Asked, Voice
from voicelathe.serving import formats
from voicelathe.serving.counters import Numbers
from voicelathe.serving.door import Door, refusal
from voicelathe.serving.house import House
from voicelathe.serving.keys import Keys

STATUS = (  # the first class that fits decides
    (errors.TooLong, 413),
    (errors.RequestError, 400),
    (errors.ConsentError, 403),
    (errors.Busy, 429),
    (errors.Abandoned, 504),
    (errors.VoiceLatheError, 503),
)
T = TypeVar("T")
LOOK_S = 0.2  # how often it is asked whether the client is still there


class Speech(BaseModel):
    """OpenAI's request, and below `speed` what this server takes besides (`extra_body` in the official client)."""

    model_config = ConfigDict(extra="forbid")

    model: str
    input: str
    voice: str | dict[str, str] = "default"
    response_format: Literal["mp3", "opus", "flac", "wav", "pcm"] = "mp3"
    speed: float = 1.0
    stream_format: Literal["audio"] = "audio"
    seed: int | None = None
    language: str | None = None
    lora_scale: float | None = None
    max_seconds: float | None = None
    attempts: int | None = None
    decoding: dict[str, float] = Field(
        default_factory=dict
    )  # settings of the family, instead of the judged ones


@dataclass
class Answer:
    """One request while it is answered; `close` frees its place, whatever happened."""

    body: Speech
    voice: Voice
    asked: Asked
    turn: Turn
    pieces: list[str]
    held: ExitStack = field(repr=False)
    faults: list[str] = field(default_factory=list)  # of what was sent

    def sounds(self) -> Iterator[formats.Sound]:
        for sample, wav in self.voice.takes(self.turn, self.asked, self.pieces):
            if sample.problem is not None:
                self.faults.append(sample.problem)
            yield formats.Sound(*sentences.frames_of(wav))

    @property
    def sealed(self) -> Callable[[bytes], bytes] | None:
        """What signs a whole WAV; None where this server does not."""
        if self.voice.signer is None:
            return None
        return lambda content: self.voice.sealed(content, self.asked.about)

    def close(self) -> None:
        self.turn.give_up()
        self.held.close()


def make(house: House, keys: Keys | None, hosts: list[str]) -> FastAPI:
    """The application. Without `keys` everybody who reaches it may ask."""

    @asynccontextmanager
    async def living(_app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = 2 * house.limits.waiting + 16
        yield
        await to_thread.run_sync(house.close)

    app = FastAPI(title="voicelathe", lifespan=living, docs_url=None, redoc_url=None, openapi_url=None)
    numbers = Numbers(house.health)
    app.add_middleware(Door, keys=keys, hosts=hosts)
    _add_errors(app, numbers)
    _add_pages(app, house, numbers)

    @app.post("/v1/audio/speech")
    async def speak(body: Speech, request: Request) -> StreamingResponse:
        began = monotonic()
        gone = threading.Event()
        answer = await _unless_gone(
            request, lambda: house.leave(gone), lambda: _begun(house, body, gone), False
        )
        try:
            if gone.is_set():
                raise errors.Abandoned("The request was given up by whoever asked.")
            about = digest.canonical_json(answer.asked.about)
            sound = formats.encoded(
                answer.sounds(), len(answer.pieces), body.response_format, about, answer.sealed
            )
            first = await _unless_gone(request, answer.turn.give_up, lambda: next(sound, b""), True)
        except BaseException:
            answer.close()
            raise
        numbers.first.observe(monotonic() - began)
        numbers.requests.labels("200").inc()
        numbers.characters.inc(len(body.input))
        return StreamingResponse(
            _rest(answer, first, sound, numbers),
            media_type=formats.MEDIA[body.response_format],
            headers={"X-Voicelathe-Version": str(answer.asked.about["version"])},
        )

    return app


def _begun(house: House, body: Speech, gone: threading.Event) -> Answer:
    """Everything that can be refused before anything is spoken, and the wait for a voice of another base."""
    if body.speed != 1.0:
        raise errors.RequestError(f"speed = {body.speed:g}: no model here can change its pace. Leave it out.")
    promotion = house.wanted(body.model)
    _require_voice(body.voice, list(promotion.speakers))
    given = {
        name: value
        for name in ("seed", "language", "lora_scale", "max_seconds", "attempts")
        if (value := getattr(body, name)) is not None
    }
    with ExitStack() as held:
        voice, chosen = held.enter_context(house.lent(promotion, gone))
        decoding.check(families.spec(voice.config["family"]).decoding, body.decoding)
        asked = voice.understood([body.input], {**chosen, **given, **body.decoding})
        if body.response_format == "wav":
            voice.require_signature()
        turn = held.enter_context(voice.desk.admitted())
        return Answer(
            body,
            voice,
            asked,
            turn,
            sentences.first_soon(body.input, asked.checks.pace.piece_chars),
            held.pop_all(),
        )


def _require_voice(wanted: str | dict[str, str], speakers: list[str]) -> None:
    name = wanted.get("id", "") if isinstance(wanted, dict) else wanted
    if name != "default" and [name] != speakers:
        known = ", ".join(["default", *(speakers if len(speakers) == 1 else [])])
        raise errors.RequestError(f"voice = {name[:80]!r}: this version has {known}.")


async def _unless_gone(
    request: Request, give_up: Callable[[], object], work: Callable[[], T], may_be_left: bool
) -> T:
    """Wait for a piece of work in a thread, and give it up when the client goes away meanwhile. `may_be_left`: when the server is stopped."""
    waiting = asyncio.ensure_future(to_thread.run_sync(work, abandon_on_cancel=may_be_left))
    while not waiting.done():
        await asyncio.wait([waiting], timeout=LOOK_S)
        if not waiting.done() and await request.is_disconnected():
            give_up()
    return await waiting


async def _rest(
    answer: Answer, first: bytes, sound: Iterator[bytes], numbers: Numbers
) -> AsyncIterator[bytes]:
    is_whole = False
    try:
        yield first
        while (part := await to_thread.run_sync(next, sound, None, abandon_on_cancel=True)) is not None:
            yield part
        is_whole = True
    finally:
        answer.close()
        for fault in answer.faults:
            numbers.faults.labels(fault).inc()
        if not is_whole:
            numbers.abandoned.inc()


def _add_errors(app: FastAPI, numbers: Numbers) -> None:
    @app.exception_handler(errors.VoiceLatheError)
    async def of_ours(_request: Request, problem: errors.VoiceLatheError) -> JSONResponse:
        status = next(status for kind, status in STATUS if isinstance(problem, kind))
        numbers.requests.labels(str(status)).inc()
        wait = {"Retry-After": f"{problem.retry_after_s:.0f}"} if isinstance(problem, errors.Busy) else {}
        if status == 503:
            wait = {"Retry-After": "10"}
        return refusal(status, str(problem), type(problem).__name__, wait)

    @app.exception_handler(RequestValidationError)
    async def of_shape(_request: Request, problem: RequestValidationError) -> JSONResponse:
        unknown = {str(one["loc"][-1]) for one in problem.errors() if one["type"] == "extra_forbidden"}
        if clips := requests.CLONING & unknown:
            return await of_ours(_request, requests.refused_clone(min(clips)))
        numbers.requests.labels("400").inc()
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return refusal(400, f"{where}: {first['msg']}.", "RequestError", {})

    @app.exception_handler(HTTPException)
    async def of_no_request(_request: Request, problem: HTTPException) -> JSONResponse:
        numbers.requests.labels(str(problem.status_code)).inc()
        return refusal(problem.status_code, f"{problem.detail}.", "RequestError", problem.headers or {})

    @app.exception_handler(Exception)
    async def of_the_program(_request: Request, _problem: Exception) -> JSONResponse:
        numbers.requests.labels("500").inc()
        return refusal(500, "This is a bug of voicelathe; the server's log says more.", "InternalError", {})


def _add_pages(app: FastAPI, house: House, numbers: Numbers) -> None:
    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        names = await to_thread.run_sync(house.models)
        return {
            "object": "list",
            "data": [{"id": name, "object": "model", "owned_by": "voicelathe"} for name in names],
        }

    @app.get("/health")
    async def health() -> JSONResponse:
        found = await to_thread.run_sync(house.health)
        said = {
            "status": "ok" if found.is_well else "ill",
            "requests": found.requests,
            "worker_starts": found.restarts,
        }
        return JSONResponse(
            {
                **said,
                "problem": found.problem,
                "production": house.authority.last_seen,
                "refused": house.authority.refusal,
                "mlflow": house.authority.problem or "ok",
            },
            200 if found.is_well else 503,
        )

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(await to_thread.run_sync(numbers.page), media_type="text/plain; version=0.0.4")

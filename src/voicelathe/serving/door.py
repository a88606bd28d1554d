"""Who is let in before anything is read: the right host, no foreign page, a key, and no more bytes than a text can have."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse

from voicelathe.serving.keys import Keys

MAX_BYTES = 64 * 1024  # of a request; four bytes for each of 4,096 characters, escaped
OPEN = ("/health",)  # asked by whatever restarts the server
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def refusal(status: int, message: str, kind: str, headers: Mapping[str, str]) -> JSONResponse:
    """An error in the form that OpenAI's clients understand."""
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return JSONResponse(body, status, dict(headers))


class Door:
    """ASGI middleware in front of everything."""

    def __init__(self, app: App, keys: Keys | None, hosts: list[str]) -> None:
        self.app, self.keys, self.hosts = app, keys, {*hosts}

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        refused = self._refused(scope["path"], headers)
        if refused is None:
            body = await _body(receive)
            if body is not None:
                await self.app(scope, _replayed(body, receive), send)
                return
            refused = _too_large()
        await refused(scope, receive, send)

    def _refused(self, path: str, headers: Mapping[str, str]) -> JSONResponse | None:
        if _name(headers.get("host", "")) not in self.hosts:
            return refusal(
                400,
                "The Host of this request is not one this server answers for (--allow-host).",
                "HostError",
                {},
            )
        if (origin := headers.get("origin")) and (urlsplit(origin).hostname or "") not in self.hosts:
            return refusal(403, "Pages of other origins may not ask this server.", "OriginError", {})
        if self.keys is not None and path not in OPEN:
            kind, _, given = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or self.keys.name_of(given.strip()) is None:
                asked = {"WWW-Authenticate": "Bearer"}
                return refusal(401, "A key is needed: Authorization: Bearer KEY.", "KeyError", asked)
        if (length := headers.get("content-length", "0")).isdigit() and int(length) > MAX_BYTES:
            return _too_large()
        return None


def _name(host: str) -> str:
    """A Host header without its port."""
    return urlsplit(f"//{host}").hostname or ""


def _too_large() -> JSONResponse:
    message = f"The request has more than {MAX_BYTES:,} bytes. Send the text in parts; no sound is taken."
    return refusal(413, message, "TooLong", {"Connection": "close"})


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None when it is larger than any text may be."""
    held = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(held)
        held += message.get("body", b"")
        if len(held) > MAX_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(held)


def _replayed(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again

"""How is any server asked that speaks in OpenAI's form? One WAV for one text; no redirect is followed, so a key goes where it was meant to go."""

import http.client
import io
import json
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from voicelathe.errors import ServerError
from voicelathe.registry.speaking import sentences

MAX_BYTES = 256 * 1024 * 1024
TIMEOUT_S = 300.0
TRIES, LONGEST_WAIT_S = 5, 30.0  # where a server says that it is busy


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        return None


@dataclass(frozen=True)
class Server:
    """A server by the address below which /audio/speech lies, usually ending in /v1."""

    url: str
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            str(parts.hostname).encode("idna")
        except ValueError:  # also of a host that no name server could be asked for
            is_address = False
        if not is_address or any(character <= " " for character in self.url):
            raise ServerError(f"{self.url}: give an address such as http://127.0.0.1:8300/v1")

    def models(self) -> list[dict[str, Any]]:
        """What it offers. Raises ServerError."""
        try:
            found = json.loads(self._ask("/models", None))["data"]
            return [{**one, "id": str(one["id"])} for one in found]
        except (ValueError, KeyError, TypeError):
            raise ServerError(f"{self._address('/models')} is no list of models in OpenAI's form.") from None

    def speak(self, request: Mapping[str, Any]) -> tuple[bytes, int]:
        """16-bit frames of one channel, and their rate. Raises ServerError for a refusal, with the server's own words."""
        content = self._ask("/audio/speech", {**request, "response_format": "wav"})
        try:
            with wave.open(io.BytesIO(content)) as file:
                if (file.getnchannels(), file.getsampwidth()) != (1, 2):
                    raise wave.Error(f"{file.getnchannels()} channels of {8 * file.getsampwidth()} bits")
            return sentences.frames_of(content)
        except (wave.Error, EOFError) as problem:
            raise ServerError(
                f"{self._address('/audio/speech')} did not answer with a 16-bit WAV of one channel ({problem or 'cut short'})."
            ) from None

    def _ask(self, path: str, body: Mapping[str, Any] | None) -> bytes:
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.key}"} if self.key else {}
        )
        opener = urllib.request.build_opener(_Stay)
        for attempt in range(TRIES):
            request = urllib.request.Request(self._address(path), data, headers)
            try:
                with opener.open(request, timeout=TIMEOUT_S) as answer:
                    return self._whole(path, bytes(answer.read(MAX_BYTES)), answer.headers["Content-Length"])
            except urllib.error.HTTPError as problem:
                if problem.code not in (429, 503) or attempt == TRIES - 1:
                    said = _words(problem)
                    raise ServerError(f"{self._address(path)} answers {problem.code}: {said}") from None
                time.sleep(_wait_s(problem.headers.get("Retry-After")))
            except (OSError, http.client.HTTPException) as problem:
                raise ServerError(
                    f"{self._address(path)} does not answer ({problem}). Is the server up, and is this its address?"
                ) from None
        raise AssertionError("the last try returns or raises")

    def _whole(self, path: str, content: bytes, length: str | None) -> bytes:
        """An answer that is as long as was said. `read` does not say when the connection ended before."""
        if length and length.isdigit() and len(content) < min(int(length), MAX_BYTES):
            raise ServerError(
                f"{self._address(path)} broke off after {len(content):,} of {int(length):,} bytes."
            )
        return content

    def _address(self, path: str) -> str:
        return self.url.rstrip("/") + path


def _words(problem: urllib.error.HTTPError) -> str:
    """What a server says with its refusal, as far as it comes."""
    try:
        return problem.read(500).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return "(its words broke off)"


def _wait_s(said: str | None) -> float:
    return min(float(said), LONGEST_WAIT_S) if said and said.isdigit() else 1.0

"""What stands between a client and a real MLflow server: a path, a password, answers to uploads that come late, requests that are refused."""

import base64
import contextlib
import http.client
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

HOP = ("host", "transfer-encoding", "connection", "authorization", "content-length")


@dataclass
class Proxy:
    """A reverse proxy before `server`; `late`: uploads whose path ends so are acknowledged after `late_s`; `refused`: what a request may not hold."""

    server: str
    prefix: str = ""
    user: str = ""
    late: str = "-"
    late_s: float = 0.0
    refused: bytes = b""
    uploads: list[str] = field(default_factory=list)  # paths, in the order of their arrival

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """Gives its port."""
        handler = type("Handler", (_Handler,), {"proxy": self})
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server.server_address[1]
            server.shutdown()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy

    def go(self) -> None:
        body = self._body()
        wanted = f"Basic {base64.b64encode(self.proxy.user.encode()).decode()}"
        if self.proxy.user and self.headers.get("Authorization") != wanted:
            return self._answer(401, b"", [("WWW-Authenticate", "Basic realm=mlflow")])
        if not self.path.startswith(f"{self.proxy.prefix}/"):
            return self._answer(404, b"<h1>nothing here</h1>", [])
        if self.proxy.refused and self.proxy.refused in body:
            return self._answer(403, b"not allowed", [])
        behind = http.client.HTTPConnection(urlsplit(self.proxy.server).netloc, timeout=300)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        behind.request(self.command, self.path.removeprefix(self.proxy.prefix), body, kept)
        answer = behind.getresponse()
        content = answer.read()
        if self.command in ("PUT", "POST") and "mlflow-artifacts" in self.path:
            self.proxy.uploads.append(self.path)
            if self.path.endswith(self.proxy.late):
                time.sleep(self.proxy.late_s)
        return self._answer(answer.status, content, answer.getheaders())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = go

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().strip() or b"0", 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, status: int, content: bytes, headers: list[tuple[str, str]]) -> None:
        with contextlib.suppress(OSError):  # the client may have gone
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, *_words: object) -> None:
        pass

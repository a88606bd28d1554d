"""`voicelathe serve`: the voice in production over HTTP, in the form that OpenAI's clients speak."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen

LOOPBACK = ("127.0.0.1", "localhost", "::1")
Port = Annotated[int, typer.Option(metavar="N", help="Port to listen on.", min=1, max=65535)]
Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Address to listen on.")]
KeysFile = Annotated[
    Path | None, typer.Option("--keys", metavar="FILE", help="Keys of clients, a line each: NAME KEY.")
]
Allowed = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-host", metavar="NAME", help="A name by which clients reach this server; repeat it."
    ),
]
Waiting = Annotated[
    int,
    typer.Option(metavar="N", help="Requests that are answered or wait at a time; others get 429.", min=1),
]
Recheck = Annotated[
    float,
    typer.Option(
        metavar="SECONDS",
        help="How old the answer of alias, consent and licence may be; at most 60.",
        min=0,
        max=60,
    ),
]
Sign = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        envvar="VOICELATHE_SIGN",
        help="Sign every WAV (C2PA) with certificates.pem and key.pem of this folder.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("serve")(serve)


def serve(
    port: Port = 8300,
    host: Host = "127.0.0.1",
    keys: KeysFile = None,
    allow_host: Allowed = None,
    waiting: Waiting = 32,
    recheck: Recheck = 60.0,
    sign: Sign = None,
) -> None:
    """Speak with the version in production over HTTP, until Ctrl-C: /v1/audio/speech, /v1/models, /health, /metrics."""
    from voicelathe.errors import ParamsError
    from voicelathe.registry.speaking.desk import VoiceLimits
    from voicelathe.serving import run

    if keys is None and host not in LOOPBACK:
        raise ParamsError(
            f"--host {host}: without --keys FILE everybody who reaches this address could speak in the voice. Give keys, or listen on 127.0.0.1."
        )
    screen.say(f"http://{host}:{port}/v1/audio/speech (Ctrl-C ends it)")
    hosts, limits = [*LOOPBACK, host, *(allow_host or [])], VoiceLimits(waiting=waiting)
    run.serve(Path(), host, port, keys, hosts, limits, recheck, sign)

"""Start the server: verify and load what is in production first, so that what cannot speak never listens."""

from pathlib import Path

from voicelathe.errors import MetricUnavailable, VoiceLatheError
from voicelathe.registry.speaking import signing
from voicelathe.registry.speaking.desk import VoiceLimits
from voicelathe.serving import keys
from voicelathe.serving.house import House


def serve(
    root: Path,
    host: str,
    port: int,
    key_file: Path | None,
    hosts: list[str],
    limits: VoiceLimits,
    max_age_s: float,
    sign: Path | None = None,
) -> None:
    """Until it is asked to stop. Raises what keeps the voice from speaking before the port is opened."""
    try:
        import uvicorn

        from voicelathe.serving import server
    except ImportError as problem:
        raise MetricUnavailable(
            f"{problem.name} is not installed. Install the server: pip install 'voicelathe[serve]'"
        ) from None
    known = keys.read(key_file) if key_file is not None else None
    if sign is not None:
        signing.read(sign)
    house = House(root, limits, max_age_s, sign)
    with house.lent(house.wanted(house.name)):
        pass
    try:
        uvicorn.run(
            server.make(house, known, hosts), host=host, port=port, log_level="warning", access_log=False,
            timeout_graceful_shutdown=10, server_header=False,
        )  # fmt: skip
    except SystemExit as end:  # uvicorn's way to say that it could not listen
        if end.code:
            raise VoiceLatheError(
                f"Port {port} of {host} cannot be listened on: is it in use? Give another --port."
            ) from None
    finally:
        house.close()

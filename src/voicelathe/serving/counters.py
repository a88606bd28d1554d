"""What a server counts, in the format that Prometheus reads. No text, no key and no address of a client is in it."""

from typing import Any


class Numbers:
    """The counters of one server."""

    def __init__(self, health: Any) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        seconds = (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
        named: dict[str, Any] = {"registry": self.registry, "namespace": "voicelathe"}
        self.requests = Counter("requests", "Requests for speech, by status.", ["status"], **named)
        self.characters = Counter("characters", "Characters of texts that were spoken.", **named)
        self.audio_seconds = Counter("audio_seconds", "Seconds of speech that were sent.", **named)
        self.abandoned = Counter("abandoned", "Answers that broke off after they had begun.", **named)
        self.faults = Counter(
            "faulty_pieces",
            "Pieces sent although something is wrong with them, by fault.",
            ["fault"],
            **named,
        )
        self.first = Histogram("first_audio_seconds", "Until the first sound.", buckets=seconds, **named)
        Gauge("waiting_requests", "Requests being answered or waiting.", **named).set_function(
            lambda: health().requests
        )
        Gauge("worker_starts", "How often the worker was started.", **named).set_function(
            lambda: health().restarts
        )

    def page(self) -> bytes:
        from prometheus_client import generate_latest

        return bytes(generate_latest(self.registry))

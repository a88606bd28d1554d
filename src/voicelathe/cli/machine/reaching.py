"""Does a tracking server answer, and does it let us in? Asked as MLflow's client would ask, without its two seconds of import.

A user and a password may stand in the address, in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or in ~/.mlflow/credentials; a
proxy may serve MLflow below a path. `/health` would not do: MLflow answers it to everybody.
"""

import configparser
import os
from pathlib import Path
from typing import Any

from voicelathe.redaction import redacted

QUESTION = "api/2.0/mlflow/experiments/search?max_results=1"
PATIENCE_S = 5.0
CREDENTIALS = Path(".mlflow/credentials")  # in the home directory
START = "Start the server or correct MLFLOW_TRACKING_URI; training goes on without it: voicelathe track RECIPE later."


def problem(uri: str) -> tuple[str, str] | None:
    """What is wrong, and what to do; None where the server answers, or only its own client can ask it."""
    import requests

    if not uri.startswith(("http://", "https://")):
        return None
    try:
        answer = requests.get(
            f"{uri.rstrip('/')}/{QUESTION}", timeout=PATIENCE_S, **_credentials(), **_certificates()
        )
    except requests.exceptions.InvalidURL as wrong:
        return f"no address: {_short(wrong)}", START
    except requests.exceptions.SSLError as wrong:
        return f"its certificate is not trusted: {_short(wrong)}", "See MLFLOW_TRACKING_SERVER_CERT_PATH."
    except requests.exceptions.Timeout:
        return f"no answer within {PATIENCE_S:.0f} s", START
    except requests.exceptions.RequestException as wrong:
        return _short(wrong), START
    except OSError as wrong:  # a certificate that cannot be read
        return _short(wrong), "See MLFLOW_TRACKING_SERVER_CERT_PATH and MLFLOW_TRACKING_CLIENT_CERT_PATH."
    return _refusal(answer.status_code)


def _refusal(status: int) -> tuple[str, str] | None:
    if status in (401, 403):
        fix = "Correct the user and the password, in the address or in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        return f"it answers, but refuses the user or the password ({status})", fix
    if status == 404:
        return (
            "a server answers, but MLflow is not at this path (404)",
            "Correct the path in MLFLOW_TRACKING_URI.",
        )
    if status >= 500:
        return f"it answers with error {status}", "See the server's own log. " + START
    return None


def _short(wrong: Exception) -> str:
    cause: Any = wrong
    while (
        inner := getattr(cause, "reason", None) or next(iter(getattr(cause, "args", ())), None)
    ) and isinstance(inner, Exception):
        cause = inner
    return redacted(str(cause).rpartition(": ")[2])[:200]


def _credentials() -> dict[str, Any]:
    """As MLflow takes them, user and password before a token; those in the address are the client library's own business."""
    stored = configparser.ConfigParser(interpolation=None)
    stored.read(Path.home() / CREDENTIALS)
    names = ("mlflow_tracking_username", "mlflow_tracking_password")
    user, password = (
        os.environ.get(name.upper()) or str(stored.get("mlflow", name, fallback="")) for name in names
    )
    if user and password:
        return {"auth": (user, password)}
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    return {"headers": {"Authorization": f"Bearer {token}"}} if token else {}


def _certificates() -> dict[str, Any]:
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1"):
        return {"verify": False}
    found: dict[str, Any] = {}
    if path := os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        found["verify"] = path
    if path := os.environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        found["cert"] = path
    return found

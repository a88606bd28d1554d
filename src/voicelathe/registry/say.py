"""`voicelathe say`: speak with a registered version, only if the journal knows how it came into production.

MLflow drops option names it does not know with a warning and speaks with the default; here they are an error.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe import digest
from voicelathe.errors import PromotionError, RequestError
from voicelathe.registry import gates, promote, promoted, voice
from voicelathe.tracking import registered, store
from voicelathe.tracking.registered import PRODUCTION

URI = re.compile(r"^models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))$")


@dataclass(frozen=True)
class Said:
    """What was written."""

    path: Path
    version: str
    sample_rate_hz: int
    duration_s: float
    stopped: bool
    problem: str | None


def speak_production(
    text: str, out: Path, root: Path, options: Mapping[str, Any], uri: str | None = None
) -> Said:
    """Let the version in production (or `uri`: models:/NAME@production, models:/NAME/VERSION) say a text into a WAV file.

    Raises RequestError for unknown options, PromotionError for an alias that was moved without the journal.
    """
    chosen = gates.load_params(root)
    name = registered.name_of(chosen.tracking)
    uri = uri or f"models:/{name}@{PRODUCTION}"
    version = resolve(uri, root)
    address = store.address(root)
    with store.usable(address):
        voice.check_options(options, registered.options(address, f"models:/{name}/{version}"))
        model = registered.load(address, f"models:/{name}/{version}")
    speaking: voice.Voice = model.unwrap_python_model().voice
    try:
        row = speaking.say(text, options)
    finally:
        speaking.close()
    digest.write_bytes(out, base64.b64decode(row["wav_base64"]))
    return Said(
        out, version, row["sample_rate_hz"], row["duration_s"], row["stopped"], row["problem"] or None
    )


def resolve(uri: str, root: Path) -> str:
    """The version a URI means. Raises PromotionError when the journal never let it into production."""
    match = URI.match(uri)
    standing = promoted.status(root)
    if match is None or match["name"] != standing.name or match["alias"] not in (None, PRODUCTION):
        raise RequestError(
            f"{uri}: give models:/{standing.name}@{PRODUCTION} or models:/{standing.name}/VERSION, "
            "where VERSION was in production (voicelathe history)."
        )
    if match["version"] is not None:
        known = {
            entry.promotion.version
            for entry in promote.history(root)
            if entry.promotion.name == standing.name
        }
        if match["version"] not in known:
            raise PromotionError(
                f"{uri} was never promoted; the journal knows versions {', '.join(sorted(known)) or 'none'}."
            )
        return match["version"]
    if standing.state in ("moved", "lost") or standing.alias is None:
        raise PromotionError(
            standing.problem or "Nothing is in production yet. Promote: voicelathe promote RECIPE"
        )
    return standing.alias

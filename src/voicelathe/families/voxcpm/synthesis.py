"""How a VoxCPM speaks: upstream's generate(), with its length and its random state under control."""

import wave
from pathlib import Path
from typing import Any

from voicelathe.errors import RequestError
from voicelathe.families.base import Spoken
from voicelathe.families.decoding import Decoding, Setting, keywords
from voicelathe.families.shared import seeding

DECODING = {  # as upstream's generate() has them; its command line has the limits
    "steps": Setting(10, 1, 100, "inference_timesteps", "steps of the flow that makes each position", True),
    "guidance": Setting(2.0, 0.1, 10, "cfg_value", "classifier-free guidance of that flow"),
    "max_length_ratio": Setting(
        6.0, 1, 100, "retry_badcase_ratio_threshold", "positions of sound for each token of text, at most"
    ),
}
MARKS = 3  # positions around a reference and in front of the sound
SHORTEST = 3  # positions of sound
QUOTED = 60  # characters of a text in a message


def speak(
    loaded: Any, text: str, seed: int, max_seconds: float, decoding: Decoding, reference: Path | None
) -> Spoken:
    """Upstream 2.0.3 draws from torch's global generator; later releases take a seed, and draw one at random if they get none.

    Raises RequestError for a text that does not fit into the positions of the base: upstream would die of it in the middle.
    """
    text, facts = text.strip(), loaded.facts
    tokens, free = len(loaded.core.text_tokenizer(text)), loaded.core.config.max_length - MARKS
    heard = _positions(reference, facts.positions_per_s) if reference else 0
    if tokens + heard + SHORTEST > free:
        raise RequestError(
            f"A text of {len(text)} characters is too long for {loaded.base}: it takes {tokens} positions, the reference {heard}, and "
            f'max_length in config.json allows {free + MARKS} with the sound. It begins "{text[:QUOTED]}". Shorten or divide it.'
        )
    asked = max(SHORTEST, round(max_seconds * facts.positions_per_s))
    limit = min(int(decoding["max_length_ratio"] * tokens + 10), asked, free - tokens - heard)
    chosen = seeding.given(seed, loaded.core._generate)
    if reference:
        chosen["reference_wav_path"] = str(reference)
    with seeding.of(seed):
        audio = loaded.core.generate(
            target_text=text, max_len=limit, **keywords(DECODING, decoding), **chosen
        )
    samples = audio.reshape(-1).float().cpu().numpy()
    positions = round(len(samples) / facts.speak_rate_hz * facts.positions_per_s)
    return Spoken(samples, facts.speak_rate_hz, positions < limit)


def _positions(reference: Path, positions_per_s: float) -> int:
    with wave.open(str(reference)) as file:
        return -int(-file.getnframes() * positions_per_s // file.getframerate())

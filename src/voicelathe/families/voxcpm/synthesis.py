"""How a VoxCPM speaks: upstream's generate(), with its length and its random state under control."""

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe.errors import RequestError
from voicelathe.families.base import Prompt, Spoken
from voicelathe.families.decoding import Decoding, Setting, keywords
from voicelathe.families.shared import seeding, torchaudio_shim
from voicelathe.families.voxcpm import prompting
from voicelathe.families.voxcpm.loading import VoxCPMCore

DECODING = {  # as upstream's generate() has them; its command line has the limits
    "steps": Setting(
        10,
        1,
        100,
        "inference_timesteps",
        "steps of the flow that makes each position",
        True,
        (6, 10, 16),
        True,
    ),
    "guidance": Setting(
        2.0, 0.1, 10, "cfg_value", "classifier-free guidance of that flow", tried=(1.5, 2.0, 2.5)
    ),
    "max_length_ratio": Setting(
        6.0, 1, 100, "retry_badcase_ratio_threshold", "positions of sound for each token of text, at most"
    ),
}
MARKS = 3  # positions around a reference and in front of the sound
SHORTEST = 3  # positions of sound
QUOTED = 60  # characters of a text in a message


@dataclass
class VoxCPMVoice(VoxCPMCore):
    """A VoxCPM with its codec and its caches of generation."""

    def synthesize(
        self, text: str, language: str, seed: int, max_seconds: float, decoding: Decoding
    ) -> Spoken:
        return self._speak(text, seed, max_seconds, decoding, None)

    def synthesize_prompted(
        self, text: str, language: str, seed: int, max_seconds: float, decoding: Decoding, prompt: Prompt
    ) -> Spoken:
        return self._speak(text, seed, max_seconds, decoding, prompt)

    def _speak(
        self, text: str, seed: int, max_seconds: float, decoding: Decoding, prompt: Prompt | None
    ) -> Spoken:
        """Upstream 2.0.3 draws from torch's global generator; later releases take a seed, and draw one at random if they get none.

        Raises RequestError for a text that does not fit into the positions of the base: upstream would die of it in the middle.
        """
        text, facts = text.strip(), self.facts
        tokens, free = len(self.core.text_tokenizer(text)), self.core.config.max_length - MARKS
        heard = self._heard(text, tokens, prompt) if prompt else 0
        if tokens + heard + SHORTEST > free:
            raise RequestError(
                f"A text of {len(text)} characters is too long for {self.base}: it takes {tokens} positions, the reference {heard}, and "
                f'max_length in config.json allows {free + MARKS} with the sound. It begins "{text[:QUOTED]}". Shorten or divide it.'
            )
        asked = max(SHORTEST, round(max_seconds * facts.positions_per_s))
        limit = min(int(decoding["max_length_ratio"] * tokens + 10), asked, free - tokens - heard)
        with seeding.of(seed):
            audio = _generated(
                self.core, prompt, seed, target_text=text, max_len=limit, **keywords(DECODING, decoding)
            )
        samples = audio.reshape(-1).float().cpu().numpy()
        positions = round(len(samples) / facts.speak_rate_hz * facts.positions_per_s)
        return Spoken(samples, facts.speak_rate_hz, positions < limit)

    def _heard(self, text: str, tokens: int, prompt: Prompt) -> int:
        """Positions of a prompt: its sound, once or twice, and its words."""
        sound = _positions(prompt.sound, self.facts.positions_per_s)
        if prompt.way == "reference":
            return sound
        words = len(self.core.text_tokenizer(prompting.continued(prompt.text, text))) - tokens
        return words + sound * (2 if prompt.way == "both" else 1)


def _generated(core: Any, prompt: Prompt | None, seed: int, **asked: Any) -> Any:
    """A prompt goes through upstream's cache of prompts, as in its own `VoxCPM.generate`: VoxCPM 1.5's model gives its end back otherwise."""
    if prompt is None or prompt.way == "reference":
        heard = {"reference_wav_path": str(prompt.sound)} if prompt else {}
        return core.generate(**asked, **heard, **seeding.given(seed, core._generate))
    heard = {"prompt_text": prompting.lead(prompt.text), "prompt_wav_path": str(prompt.sound)}
    if prompt.way == "both":
        heard["reference_wav_path"] = str(prompt.sound)
    torchaudio_shim.read_wavs()  # VoxCPM 1.5 reads its prompt so
    known = core.build_prompt_cache(**heard)
    given = seeding.given(seed, core._generate_with_prompt_cache)
    return core.generate_with_prompt_cache(prompt_cache=known, **asked, **given)[0]


def _positions(reference: Path, positions_per_s: float) -> int:
    with wave.open(str(reference)) as file:
        return -int(-file.getnframes() * positions_per_s // file.getframerate())

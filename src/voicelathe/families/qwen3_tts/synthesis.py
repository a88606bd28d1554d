"""How a Qwen3-TTS speaks: upstream's generation, with its length and its random state under control."""

from dataclasses import dataclass
from typing import Any

from voicelathe.families.base import Spoken
from voicelathe.families.decoding import Decoding, keywords
from voicelathe.families.qwen3_tts import loading, names
from voicelathe.families.shared import seeding


@dataclass
class Qwen3TTSVoice(loading.Qwen3TTSCore):
    """With the codec that makes sound of codes."""

    codec: Any

    def synthesize(
        self, text: str, language: str, seed: int, max_seconds: float, decoding: Decoding
    ) -> Spoken:
        """Upstream's generation with the text in front, as in training, in the voice of the speaker with most training clips.

        About one generation in 200 of the real model does not end by itself; `stopped` says which. Its length is always capped.
        """
        import numpy as np

        name = names.language(self.core.config.talker_config, language)
        voice = next(iter(self.voices.values()), None)
        limit = max(2, round(max_seconds * self.facts.positions_per_s))
        prompt = None
        if voice is not None:
            prompt = {
                "ref_code": [None],
                "ref_spk_embedding": [voice],
                "x_vector_only_mode": [True],
                "icl_mode": [False],
            }
        ids = self.tts._tokenize_texts([names.TEMPLATE.format(text.strip())])
        choices = {
            **self.tts._merge_generate_kwargs(),
            **keywords(names.DECODING, decoding),
            "do_sample": True,  # else temperatures would mean nothing
            "subtalker_dosample": True,
            "max_new_tokens": limit + 1,
        }  # the last is never made sound
        with seeding.of(seed):
            codes, _ = self.core.generate(
                input_ids=ids,
                voice_clone_prompt=prompt,
                languages=[name or "auto"],
                non_streaming_mode=True,
                **choices,
                **seeding.given(seed, self.core.generate),
            )
            spoken = np.zeros(0, np.float32)
            if len(codes[0]):
                (spoken,), _ = self.codec.decode([{"audio_codes": codes[0]}])
        return Spoken(spoken.astype(np.float32), self.facts.speak_rate_hz, len(codes[0]) < limit)

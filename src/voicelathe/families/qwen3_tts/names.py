"""Languages and speakers by the names that Qwen3-TTS knows them by. Without torch.

Upstream looks languages up by English name and speakers in lower case, and both in config.json; whatever is not there raises
NotImplementedError in the middle of a generation. Here it is refused before.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from voicelathe.errors import RequestError
from voicelathe.families.decoding import Setting

LANGUAGES = {
    "zh": "chinese", "en": "english", "ja": "japanese", "ko": "korean", "de": "german", "fr": "french", "ru": "russian",
    "pt": "portuguese", "es": "spanish", "it": "italian",
}  # fmt: skip
USAGE = {  # of an export; see families.base.FamilySpec
    "adapter": """import torch
from peft import PeftModel
from qwen_tts import Qwen3TTSModel, VoiceClonePromptItem
from safetensors.torch import load_file

model = Qwen3TTSModel.from_pretrained("BASE", dtype=torch.float32, attn_implementation="sdpa")
PeftModel.from_pretrained(model.model, "HERE")  # puts the adapter into the model in place
voice = next(iter(load_file("HERE/speaker_embedding.safetensors").values()))
prompt = VoiceClonePromptItem(ref_code=None, ref_spk_embedding=voice, x_vector_only_mode=True, icl_mode=False)
(audio,), rate = model.generate_voice_clone("The lamp is on.", voice_clone_prompt=[prompt], non_streaming_mode=True, do_sample=True, subtalker_dosample=True, DECODING)""",
    "full": """import torch
from qwen_tts import Qwen3TTSModel

model = Qwen3TTSModel.from_pretrained("HERE", dtype=torch.float32, attn_implementation="sdpa")
speaker = model.get_supported_speakers()[0]
(audio,), rate = model.generate_custom_voice("The lamp is on.", speaker, do_sample=True, subtalker_dosample=True, DECODING)""",
}
DECODING = {  # what upstream takes where neither the caller nor the base's generation_config.json says otherwise
    "temperature": Setting(
        0.9, 0.05, 2, "temperature", "of the first codebook; higher is more varied", tried=(0.7, 0.9, 1.0)
    ),
    "top_k": Setting(50, 1, 3072, "top_k", "codes that are drawn from", True),
    "top_p": Setting(1.0, 0.01, 1, "top_p", "share of the probability that is drawn from", tried=(0.9, 1.0)),
    "repetition_penalty": Setting(1.05, 1, 10, "repetition_penalty", "on codes that were drawn before"),
    "predictor_temperature": Setting(
        0.9, 0.05, 2, "subtalker_temperature", "of the other codebooks, which the code predictor draws"
    ),
    "predictor_top_k": Setting(50, 1, 3072, "subtalker_top_k", "codes that the predictor draws from", True),
    "predictor_top_p": Setting(
        1.0, 0.01, 1, "subtalker_top_p", "share of the probability that the predictor draws from"
    ),
}
TEMPLATE = "<|im_start|>assistant\n{}<|im_end|>\n<|im_start|>assistant\n"  # of a text, in upstream's wrapper
ANY_LANGUAGE = ("", "auto", "und")
FIRST_SLOT = 3000  # of the codec embedding: where upstream's fine-tuning puts new speakers


def language(talker: Any, given: str) -> str | None:
    """Upstream's name of a language; None lets the model guess. Raises RequestError for one it does not speak."""
    if said := refused(talker, given):
        raise RequestError(f"{said}.")
    return None if given.lower() in ANY_LANGUAGE else _name(given)


def refused(talker: Any, given: str) -> str | None:
    """Why a language cannot be spoken by a model with this talker config."""
    known = talker.codec_language_id
    if given.lower() in ANY_LANGUAGE or _name(given) in known:
        return None
    return f"language = {given!r}: this base speaks {', '.join(sorted(known))}; auto lets it guess"


def _name(given: str) -> str:
    """`en-GB` is `en` is `english`."""
    return LANGUAGES.get(given.lower().replace("_", "-").split("-")[0], given.lower())


def name_problems(speakers: set[str], talker: Any) -> Iterator[str]:
    """Upstream looks speakers up in lower case, in one table with the voices that the base brings."""
    lower = Counter(name.lower() for name in speakers)
    for name in sorted(speakers):
        if lower[name.lower()] > 1:
            yield f"speaker_id {name!r}: another speaker has the same name in lower case"
        if name.lower() in talker.spk_id:
            yield f"speaker_id {name!r}: the base already has a voice of this name; rename the speaker"
    if len(lower) > (room := talker.vocab_size - FIRST_SLOT):
        yield f"{len(lower)} speakers: there is room for {room}"


def slots(speakers: Iterable[str], talker: Any) -> dict[str, int]:
    """A free row of the codec embedding for each speaker, in order."""
    taken = set(talker.spk_id.values())
    free = (slot for slot in range(FIRST_SLOT, talker.vocab_size) if slot not in taken)
    return dict(zip(speakers, free, strict=False))


def in_order(slots: Mapping[str, int]) -> list[str]:
    """The speakers that fine-tuning added, as `slots` numbered them."""
    return sorted((name for name, slot in slots.items() if slot >= FIRST_SLOT), key=lambda name: slots[name])


SERVERS = {  # of a whole directory; see families.base.FamilySpec. Source: vLLM-Omni's page on its Speech API
    "full": """## vLLM-Omni

```sh
vllm serve HERE --omni --port 8091
```

The voice is called as in `config.json`; say it and the language: `--voice NAME --field language=English`.
"""
}

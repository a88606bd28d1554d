"""May a request be spoken at all? Asked before any of it is: a limit that is noticed afterwards has already cost the others their turn."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from voicelathe import digest
from voicelathe.errors import ConsentError, RequestError, TooLong
from voicelathe.registry.speaking import sentences
from voicelathe.registry.speaking.desk import VoiceLimits

LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")  # BCP 47, or a family's word for any
SEEDS = 2**32  # as many as NumPy's generator takes
MAX_LORA_SCALE = 2.0
MAX_ATTEMPTS = 5
MAX_SECONDS = 60.0  # of one piece of a text; see speech.pieces


# What other servers call a clip whose voice is to be taken over, or its words.
CLONING = frozenset(
    {
        *("reference", "references", "reference_audio", "reference_id", "reference_text", "reference_wav"),
        *("ref_audio", "ref_text", "ref_wav", "audio_prompt", "prompt_audio", "prompt_text", "prompt_wav"),
        *("prompt_speech", "speaker_audio", "speaker_embedding", "speaker_wav", "voice_clone"),
    }
)


def check(texts: Sequence[object], max_seconds: float, limits: VoiceLimits) -> None:
    """Raises RequestError for what is no text or holds nothing to say, TooLong for more than one request may ask."""
    if not texts:
        raise RequestError("There is no text: there is nothing to say.")
    if len(texts) > limits.rows:
        raise TooLong(f"{len(texts)} texts in one request; at most {limits.rows}. Send the rest in another.")
    characters = 0
    for text in texts:
        characters += len(_checked(text))
    if characters > limits.characters:
        raise TooLong(
            f"{characters:,} characters in one request; at most {limits.characters:,}. Send the text in parts."
        )
    # in pieces of the usual length: a voice that learned from short texts cuts finer and takes on no less text
    num_pieces = sum(len(sentences.pieces(str(text))) for text in texts)
    if num_pieces * max_seconds > limits.seconds:
        raise TooLong(
            f"{num_pieces} pieces of up to max_seconds = {max_seconds:g} could become {num_pieces * max_seconds:g} s of speech; at most "
            f"{limits.seconds:g} s in one request. Send the text in parts, or lower max_seconds."
        )


def check_seconds(max_seconds: float) -> None:
    """Raises RequestError; not a number is none of these, either."""
    if not 0 < max_seconds <= MAX_SECONDS:
        raise RequestError(f"max_seconds = {max_seconds}: must be over 0 and at most {MAX_SECONDS:g}.")


def check_seed(seed: int) -> None:
    """Raises RequestError for what some generator would fold into another seed, or refuse."""
    if not 0 <= seed < SEEDS:
        raise RequestError(f"seed = {seed}: must be from 0 to {SEEDS - 1}.")


def check_language(language: str) -> None:
    """Raises RequestError for what is no language tag."""
    if not LANGUAGE.fullmatch(language):
        raise RequestError(f"language = {language[:40]!r}: give a tag such as en, de or pt-BR.")


def _checked(text: object) -> str:
    if not isinstance(text, str):
        raise RequestError(f"text is {type(text).__name__}: it must be a string.")
    if not text.strip():
        raise RequestError("text is empty: there is nothing to say.")
    if half := digest.half_character(text):
        raise RequestError(f"text holds half a character ({half}), which cannot be written. Send whole ones.")
    if not any(character.isalnum() for character in text):
        raise RequestError(f"text = {text[:60]!r} holds no letter and no digit: there is nothing to say.")
    return text


def checked(chosen: dict[str, Any]) -> dict[str, Any]:
    """The options, after each was looked at. Raises RequestError naming the first that does not fit."""
    check_seconds(chosen["max_seconds"])
    check_language(chosen["language"])
    check_seed(chosen["seed"])
    if not 1 <= chosen["attempts"] <= MAX_ATTEMPTS:
        raise RequestError(f"attempts = {chosen['attempts']}: must be from 1 to {MAX_ATTEMPTS}.")
    scale = chosen.get("lora_scale")
    if scale is not None and not 0 <= scale <= MAX_LORA_SCALE:
        raise RequestError(f"lora_scale = {scale}: must be from 0 (the base) to {MAX_LORA_SCALE:g}.")
    return chosen


def refused_clone(name: str) -> ConsentError:
    """Why nobody is cloned on request."""
    return ConsentError(
        f"{name}: no voice is taken over from a clip that comes with a request. Consent is recorded for each speaker of this project, and nobody "
        "can know who speaks in such a clip. Leave it out: a version speaks with the voice, and the clip, that it was promoted with."
    )


def check_options(options: Iterable[str], known: Iterable[str]) -> None:
    """Raises RequestError for unknown names, ConsentError for a clip. MLflow itself drops them with a warning and speaks with the default."""
    if unknown := sorted(set(options) - set(known)):
        if clips := CLONING & {*unknown}:
            raise refused_clone(min(clips))
        raise RequestError(
            f"No such option: {', '.join(unknown)}. This voice takes: {', '.join(sorted(known))}."
        )

"""Where is the base that something was trained on? Bases are renamed, moved and removed in params.yaml; their digest is what counts."""

from pathlib import Path

from voicelathe import layout, records
from voicelathe.config import schema
from voicelathe.errors import BaseModelError, RecordError, VoiceLatheError
from voicelathe.families import bases


def find(chosen: schema.Params, name: str, digest: str, root: Path) -> schema.Base:
    """The entry of params.yaml under this name, wherever it lies now. Raises BaseModelError with the lines that bring it back."""
    if name in chosen.bases:
        return chosen.bases[name]
    same = sorted(other for other, base in chosen.bases.items() if base.digest == digest)
    known = f"; bases.{same[0]} is the same files under another name, and may stay beside it" if same else ""
    raise BaseModelError(
        f"bases.{name} is not in params.yaml, and what is asked for was trained on it{known}. Put it back below `bases:`, then run the same "
        f"command again:\n{entry(chosen, name, digest, root, same)}"
    )


def entry(chosen: schema.Params, name: str, digest: str, root: Path, same: list[str]) -> str:
    """The lines of params.yaml, from another entry of the same files or from what `encode` recorded."""
    if same:
        base = chosen.bases[same[0]]
        family, path, licence, trained = base.family, base.path, base.licence, base.trained
    else:
        family, path, licence, trained = _recorded(name, root)
    lines = (
        f"  {name}:",
        f"    family: {family}",
        f"    path: {path}",
        f"    digest: {digest}",
        f"    licence: {licence}",
        f"    trained: {str(trained).lower()}",
    )
    return "\n".join(lines)


def _recorded(name: str, root: Path) -> tuple[str, str, str, bool]:
    place = layout.base_record(name).with_suffix("")
    try:
        facts = records.read_one(root / layout.latents(name) / "base.json", records.BaseFacts)
    except RecordError:
        try:
            return bases.recognise(root / place), place.as_posix(), "LICENCE", True
        except VoiceLatheError:
            return "FAMILY", place.as_posix(), "LICENCE", True
    return facts.family, place.as_posix(), facts.licence, facts.trained

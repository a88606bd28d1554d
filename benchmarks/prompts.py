"""Which recordings of real people, with their texts, does Debian have? Prompts of telephone systems, a game's dialogues, a drawing program's words.

Each is downloaded with apt-get, converted, measured and deleted: nobody of these speakers agreed to be cloned, so nothing of them is
committed or trained on. What is no speech among them is known by the way in which it is named.
"""

import gzip
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

RATE_HZ = 16_000
ASTERISK = "asterisk-core-sounds"
WHOLLY_BRACKETED = re.compile(r"\s*(?:\[[^\]]*\]|<[^>]*>|\([^)]*\))\s*")
BRACKET = re.compile(r"[\[<(]")
DIALOGUE = re.compile(r'dialogId\("([^"]+)"[^)]*\)\s*dialogStr\(\s*"((?:[^"\\]|\\.)*)"\s*\)')
LOCALE = re.compile(r"^([a-z]{2,3})\.utf8=(.*)$", re.MULTILINE)
FISH = ("m", "v")  # the two who speak nearly all of the game's lines


@dataclass(frozen=True)
class Row:
    """One recording: which file, what is said, and by whom."""

    name: str
    language: str
    speaker: str
    text: str
    audio: Path
    is_sound: bool = False  # a noise of the drawing program, with the text of what makes it

    @property
    def kind(self) -> str:
        """dirt: beeps, tones, silences, noises; remark: words beside a remark in brackets, which nobody says; good: all others."""
        if self.is_sound or WHOLLY_BRACKETED.fullmatch(self.text) or self.name.startswith("silence/"):
            return "dirt"
        return "remark" if BRACKET.search(self.text) else "good"


def fetch(source: str, below: Path, languages: tuple[str, ...]) -> list[Row]:
    """Download, unpack and convert; the packages are deleted at once."""
    below.mkdir(parents=True, exist_ok=True)
    packages, read = SOURCES[source]
    for name in packages(languages):
        subprocess.run(["apt-get", "download", "-q", name], cwd=below, check=True, capture_output=True)
        for package in below.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package.name, "unpacked"], cwd=below, check=True)
            package.unlink()
    rows = [row for language in languages for row in read(below / "unpacked", language)]
    found = [replace(row, audio=_converted(row, below / "audio")) for row in rows]
    shutil.rmtree(below / "unpacked")
    return found


def _asterisk(unpacked: Path, language: str) -> Iterator[Row]:
    (folder,) = (unpacked / "usr/share/asterisk/sounds").glob(f"{language}_*")
    listed = unpacked / f"usr/share/doc/{ASTERISK}-{language}/core-sounds-{language}.txt.gz"
    with gzip.open(listed, "rt", encoding="utf-8", errors="replace") as file:
        lines = [line.strip() for line in file]
    for line in lines:
        name, colon, text = line.partition(":")
        audio = folder / f"{name.strip()}.g722"
        if colon and not line.startswith(";") and text.strip() and audio.is_file():
            yield Row(name.strip(), language, folder.name, text.strip(), audio)


def _dialogues(unpacked: Path, language: str) -> Iterator[Row]:
    game = unpacked / "usr/share/games/fillets-ng"
    for script in sorted(game.glob(f"script/*/*dialogs_{language}.lua")):
        level = script.parent.name
        for name, text in DIALOGUE.findall(script.read_text(encoding="utf-8")):
            audio = game / "sound" / level / language / f"{name}.ogg"
            if audio.is_file() and text.strip():
                who = next(
                    (part for part in name.split("-") if part in FISH), f"{level} {name.split('-')[0]}"
                )
                yield Row(f"{level}/{name}", language, f"{language}-{who}", text.replace('\\"', '"'), audio)


def _stamps(unpacked: Path, language: str) -> Iterator[Row]:
    """Words and sentences, read at home by many people; who reads is not written down."""
    stamps = unpacked / "usr/share/tuxpaint/stamps"
    for listed in sorted(stamps.rglob("*.txt")):
        text = dict(LOCALE.findall(listed.read_text(encoding="utf-8"))).get(language, "").strip()
        stem = listed.with_suffix("")
        name = str(stem.relative_to(stamps))
        for audio, is_sound in ((Path(f"{stem}_desc_{language}.ogg"), False), (Path(f"{stem}.ogg"), True)):
            if text and audio.is_file():
                yield Row(
                    name + ("/sound" if is_sound else ""),
                    language,
                    f"{language}-reader",
                    text,
                    audio,
                    is_sound,
                )


def _converted(row: Row, to: Path) -> Path:
    """G.722 as WAV, because libsndfile does not read it; all else as it is."""
    is_g722 = row.audio.suffix == ".g722"
    path = to / row.language / f"{row.name}{'.wav' if is_g722 else row.audio.suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if is_g722:
        _decode(row.audio, path)
    else:
        shutil.copyfile(row.audio, path)
    return path.relative_to(to)


def _decode(audio: Path, path: Path) -> None:
    import av
    import soundfile

    with av.open(str(audio), format="g722") as file:
        parts = [frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)]
    soundfile.write(path, np.concatenate(parts), RATE_HZ, subtype="PCM_16")


Read = Callable[[Path, str], Iterator[Row]]
SOURCES: dict[str, tuple[Callable[[tuple[str, ...]], list[str]], Read]] = {
    "asterisk": (
        lambda languages: [f"{ASTERISK}-{one}{part}" for one in languages for part in ("", "-g722")],
        _asterisk,
    ),
    "fillets": (
        lambda languages: ["fillets-ng-data", *(f"fillets-ng-data-{one}" for one in languages)],
        _dialogues,
    ),
    "stamps": (lambda _: ["tuxpaint-stamps-default"], _stamps),
}
LANGUAGES = {
    "asterisk": ("en", "es", "fr", "it", "ru"),
    "fillets": ("cs", "nl"),
    "stamps": ("be", "bg", "ca", "da", "el", "es", "fr", "lt", "nl", "ro", "ru"),
}

"""Where is the file that a manifest names, when it is not where it says? Ways in which paths of other machines and tools differ.

Each is tried only where the path as written leads nowhere, and taken only where it leads to a file; how often is said.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal
from urllib.parse import unquote

from voicelathe.data.audio.files import CONTAINERS
from voicelathe.data.text import markup
from voicelathe.errors import ManifestError

DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
ADDRESS, FILE = "://", "file://"
FORMS: tuple[Literal["NFC", "NFD"], ...] = ("NFC", "NFD")  # of file names: macOS takes letters apart


class Paths:
    """Finds files below one folder; `told` counts what was changed, in words."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._dropped: dict[
            str, int
        ] = {}  # folders left out of paths of another machine, by their first folder
        self._written: dict[str, str] = {}  # what each file that was found so is called in the manifest
        self.told: Counter[str] = Counter()

    def found(self, written: str) -> str:
        """The path that leads to the file, or the path as written where nothing does.

        Raises ManifestError for a Windows path no end of which is a file, and where two paths would be one file.
        """
        if ADDRESS in written and not written.startswith(FILE):
            return written
        if self._leads(written):
            return self._without_links(written)
        for what, path in self._others(written):
            if self._leads(path):
                if (other := self._written.setdefault(path, written)) != written:
                    raise ManifestError(
                        f"{other} and {written} are two files in the manifest, and only {path} is below {self._root}. Say which "
                        "folder the paths start from: --audio-root DIR"
                    )
                self.told[what] += 1
                return self._without_links(path)
        if DRIVE.match(restored := written.translate(markup.ESCAPES)):
            raise self._nowhere(restored)
        return written

    def _leads(self, path: str) -> bool:
        try:
            return bool(path) and self._root.joinpath(path).is_file()
        except (OSError, ValueError):  # a name that is too long, or holds a zero
            return False

    def _others(self, written: str) -> list[tuple[str, str]]:
        plain = written.strip().strip("\"'").strip()
        found = [("blanks or quotes around them", plain)] if plain != written else []
        if plain.startswith(FILE) or "%" in plain:
            plain = unquote(plain.removeprefix(FILE))
            found.append(("escapes of an address", self._below(plain)))
        what = "backslashes"
        if (restored := plain.translate(markup.ESCAPES)) != plain:
            plain, what = restored, "backslashes that were read as escapes (tabs, line feeds)"
        if "\\" in plain:
            found.append((what, plain.replace("\\", "/")))
        if "\\" in plain or DRIVE.match(plain):
            of_path = what if what != "backslashes" else "folders of another machine"
            found.append((of_path, self._ending(PureWindowsPath(plain).parts)))
        elif "/" in plain:
            found.append(("folders of another machine", self._ending(PurePosixPath(plain).parts)))
        for path in dict.fromkeys((plain, *(path for _, path in found))):
            found += [("an extension that is not the file's", other) for other in self._extended(path)]
        return found if written.isascii() else [*self._formed(written, found), *found]

    def _formed(self, written: str, found: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
        """The same names in the other Unicode form, which look the same."""
        for what, path in (("another Unicode form", written), *found):
            for form in FORMS:
                if (other := unicodedata.normalize(form, path)) != path:
                    yield what, other

    def _below(self, path: str) -> str:
        """An absolute path below the root from there; any other as it is."""
        root = Path(os.path.abspath(self._root)).as_posix()  # noqa: PTH100  (keeps symbolic links)
        return path.removeprefix(f"{root}/")

    def _ending(self, parts: tuple[str, ...]) -> str:
        """The longest end of a path that is a file here. What was left out of one path is tried first for the next.

        Of a path that starts nowhere a folder must be left: a.wav of somebody/a.wav may be anybody's.
        """
        known = self._dropped.get(parts[0] if parts else "")
        is_rooted = bool(parts) and (parts[0] == "/" or ":" in parts[0])
        longest = range(1, len(parts) if is_rooted else len(parts) - 1)
        tried = longest if known is None else [known, *longest]
        for dropped in tried:
            path = "/".join(parts[dropped:])
            if self._leads(path) or any(map(self._leads, self._extended(path))):
                self._dropped[parts[0]] = dropped
                return path
        return ""

    def _extended(self, path: str) -> list[str]:
        if not path:
            return []
        stem, suffix = os.path.splitext(path)  # noqa: PTH122  (text, not files)
        endings = [*CONTAINERS, *(one.upper() for one in CONTAINERS)]
        added = [f"{path}{one}" for one in endings]
        return [*added, *(f"{stem}{one}" for one in endings if one != suffix)] if suffix else added

    def _without_links(self, path: str) -> str:
        """Links below the root are not followed later, so the path is the real one where there are some."""
        here = os.path.realpath(self._root)
        plain = os.path.normpath(os.path.join(here, path))  # noqa: PTH118  (text, not files)
        real = os.path.realpath(plain)
        if real == plain or os.path.isabs(path) or Path(real).suffix.lower() not in CONTAINERS:  # noqa: PTH117
            return path
        self.told["links to other folders"] += 1
        return real

    def _nowhere(self, path: str) -> ManifestError:
        folder = PureWindowsPath(path).parent
        return ManifestError(
            f"{path} is a path of another machine, and no end of it is a file below {self._root}. Say where the folder {folder} lies here: "
            "--audio-root DIR"
        )

"""Who may ask: a file with one key a line, `NAME KEY`, that nobody else on the machine can read."""

import hmac
import re
from dataclasses import dataclass
from pathlib import Path

from voicelathe import digest
from voicelathe.errors import ParamsError

SHORTEST = 20  # characters of a key
LINE = re.compile(r"(\S+)\s+(\S+)")


@dataclass(frozen=True)
class Keys:
    """sha256 of a key -> whose it is."""

    names: dict[str, str]

    def name_of(self, given: str) -> str | None:
        """Whose key it is; None for nobody's. Every key is compared, so that time tells nothing."""
        asked = digest.of_bytes(given.encode(errors="surrogatepass"))
        found = [name for known, name in self.names.items() if hmac.compare_digest(known, asked)]
        return found[0] if found else None


def read(path: Path) -> Keys:
    """Raises ParamsError for a file that others may read, that holds no key, or a key that can be guessed."""
    if not path.is_file():
        raise ParamsError(f"--keys {path}: there is no such file. One line for each client: NAME KEY")
    if path.stat().st_mode & 0o077:
        raise ParamsError(
            f"--keys {path}: others on this machine may read it. Make it private: chmod 600 {path}"
        )
    names: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        if match is None or len(match[2]) < SHORTEST:
            raise ParamsError(
                f"--keys {path}:{number}: expected NAME KEY, the key with at least {SHORTEST} characters, for example of: openssl rand -hex 24"
            )
        names[digest.of_bytes(match[2].encode())] = match[1]
    if not names:
        raise ParamsError(f"--keys {path}: holds no key. One line for each client: NAME KEY")
    return Keys(names)

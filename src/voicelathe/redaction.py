"""Text without the passwords, tokens and keys in it: for everything that is printed, recorded or sent to MLflow.

Two kinds are taken out: what looks like a secret (user info of an address, `token=...`, an Authorization header, the
well-known prefixes of keys), and whatever this process holds as a secret in its environment. Not found: a secret of no known
shape that stands in a text without its name, for example a password within a sentence.
"""

import os
import re
from collections.abc import Iterator, Mapping

HIDDEN = "***"
NAMES = (  # parts of an environment variable's name, between underscores
    *("TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "CREDENTIALS", "KEY", "APIKEY"),
    *("PAT", "AUTH", "AUTHORIZATION", "DSN"),
)
CARRIERS = ("CONNECTION_STRING", "_PROXY")  # ends of names whose whole value may hold a password
# Every pattern below is read in linear time: text of strangers is searched too, and Python holds all threads meanwhile.
MIN_CHARS = 6  # a shorter value is as likely a word
ADDRESS = re.compile(
    r"(?<=://)(?:[^/\s'\"]*@|[^/\s:@'\"]{1,512}:(?!\d+/)[^\s'\"@]{0,512}@)"  # the second: a password with a slash in it
)
NAMED = re.compile(
    r"(?i)(?<![a-z0-9])(?<![a-z0-9][_.-])((?:[a-z0-9]+[_.-])*(?:token|secret|password|passwd|passphrase|credentials?|signature|sig|pwd|authorization|"
    r"(?<=[?&])key|(?:api|access|secret|private|account|shared|storage|auth)[_-]?(?:access)?[_-]?key(?:[_-]id)?)"
    r"(?:\s*=\s*|['\"]\s*:\s*|(?<=authorization):\s*|(?<=-key):\s*|(?<=-token):\s*|(?<=password):\s*|(?<=passwd):\s*|"
    r"(?<=passphrase):\s*|(?<=pwd):\s*|(?<=secret):\s*|(?<=api.key):\s*))"
    r"(['\"]?)((?:bearer|basic|token)\s+)?[^\s'\"&,;<>{}]+"
)
SHAPES = re.compile(
    r"\bBearer\s+[\w.~+/=-]{8,}|\bhf_[A-Za-z0-9]{16,}|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bsk-[\w-]{20,}|\bxox[abeprs]-[\w-]{10,}|\bAIza[\w-]{30,}|\bdapi[0-9a-f]{32}"
    r"|\beyJ[\w-]{8,4096}\.eyJ[\w-]{8,4096}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
)


def scrub(text: str) -> str:
    """Without what looks like a secret; the same on every machine."""
    text = ADDRESS.sub("", text)
    text = SHAPES.sub(HIDDEN, text)
    return NAMED.sub(rf"\1\2{HIDDEN}", text)


def labelled(name: str, value: str) -> str:
    """`scrub` of a value that stands under a name; under the name of a secret nothing of it is kept."""
    return HIDDEN if NAMED.match(f"{name}=x") else scrub(value)


def redacted(text: str) -> str:
    """`scrub`, and without the secrets in this process's environment."""
    for secret in sorted(_held(os.environ), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return scrub(text)


def public(address: str) -> str:
    """An address without user, password and query."""
    return redacted(address.partition("?")[0])


def harmless(environment: Mapping[str, str]) -> dict[str, str]:
    """What a process may inherit that has no business with anybody outside: no secrets, no proxies, nothing of MLflow's."""
    return {
        name: value
        for name, value in environment.items()
        if not (_is_secret(name) or name.upper().startswith(("MLFLOW_", "AWS_")) or ADDRESS.search(value))
    }


def _is_secret(name: str) -> bool:
    return not {*NAMES}.isdisjoint(name.upper().split("_")) or name.upper().endswith(CARRIERS)


def _held(environment: Mapping[str, str]) -> Iterator[str]:
    """Values that must not be shown: of variables with a telling name, and the user info of any address."""
    for name, value in environment.items():
        found = [value.strip()] if _is_secret(name) and "://" not in value else []
        for info in ADDRESS.findall(value):
            found += [info[:-1], info[:-1].partition(":")[2]]
        yield from (one for one in found if len(one) >= MIN_CHARS)

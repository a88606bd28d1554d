"""Follow what a message says, as somebody would who believes it: every command in it, until the first one works.

A message that refuses must either name a command or be one of `FINAL`, which say a fact that nothing can be done about.
"""

import re
from collections.abc import Mapping

from tests.sequences.model import Violation
from tests.sequences.shell import Shell, Told

COMMAND = re.compile(
    r"(?<![\w/`-])((?:voicelathe (?:promote|rollback|restore|retrain|track|verify|archive|prune (?:plan|apply)|merge-history)|dvc (?:repro|checkout|pull)"
    r"|git (?:checkout|switch|pull)|rm -rf)\b[^\n;()]*?)(?=, then|, with| brings| makes|;|\)|[.:](?:\s|$)|\n|$| or )"
)
FINAL = (
    "There is no earlier version in production to go back to",
    "was never in production; there are:",
    "is in production already; nothing was changed",
    "differently (another CPU, card or library?)",
    "does not hold, or holds damaged",  # the archive: what was never sent cannot be brought
    "Nothing was ever promoted here",
    "Nothing is in production",
)
LIMIT = 4


def commands(text: str, words: Mapping[str, str]) -> list[str]:
    """The commands in a message, with names in the place of RECIPE, URL and the like."""
    found = []
    for match in COMMAND.finditer(text):
        command = match[1].strip()
        for name, value in words.items():
            command = re.sub(rf"\b{name}\b", value, command)
        if command not in found:
            found.append(command)
    return found


def settle(shell: Shell, command: str, words: Mapping[str, str], depth: int = 0) -> Told:
    """Type a command, and where it refuses what it says, until it works or says why it never will.

    Raises Violation for a dead end: no command in the message, or the same message after its advice was followed.
    """
    told = shell.type(command)
    for _ in range(LIMIT):
        if told.code == 0 or any(one in told.text for one in FINAL):
            return told
        advised = commands(told.text, words)
        if not advised:
            raise Violation(f"a dead end: {command} says no way on:\n{told.text[-2000:]}")
        if depth >= LIMIT:
            raise Violation(f"advice after advice, and none helps: {command}\n{told.text[-2000:]}")
        for one in advised:
            settle(shell, one, words, depth + 1)
            if (told := shell.type(command)).code == 0:
                break
    if told.code and not any(one in told.text for one in FINAL):
        raise Violation(f"what it says was done, and it still refuses: {command}\n{told.text[-2000:]}")
    return told

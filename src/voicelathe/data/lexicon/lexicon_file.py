"""lexicon.yaml: respellings of words by language, as people write them, checked whole before one of them is used.

Every problem of the file is told at once, with its line. What counts is what the file says, not how: comments, order and layout change
neither the lexicon nor its digest. Parent side; docs/lexicon.md has the format.
"""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe import digest, records
from voicelathe.config import schema
from voicelathe.data.lexicon import reading
from voicelathe.data.text import languages
from voicelathe.errors import LexiconError, listing
from voicelathe.records.lines import Lexicon, Respelling

RESPELL, NUMBERS = "respell", "write_out_numbers"
TEXT, TRUTH = "tag:yaml.org,2002:str", "tag:yaml.org,2002:bool"
MAX_CHARS = 200  # of a word and of what is said for it
PIN = "voicelathe lexicon pin"


@dataclass(frozen=True)
class _Placed:
    """An entry and its line."""

    entry: Respelling
    line: int


def of_project(params: schema.Params, root: Path = Path()) -> Lexicon | None:
    """The project's lexicon; None where it has none. Raises LexiconError for one that is not what params.yaml pins."""
    chosen = params.lexicon
    if chosen.file is None:
        return None
    found = read(root / chosen.file)
    if (seen := identity(found)) != chosen.digest:
        pinned = "null" if chosen.digest is None else chosen.digest
        raise LexiconError(
            f"{chosen.file} has digest {seen}, but lexicon.digest in params.yaml is {pinned}. Restore the file (git checkout {chosen.file}), "
            f"or take over what it says now: {PIN}. What was trained and spoken with other entries is then made anew."
        )
    return found


def identity(lexicon: Lexicon) -> str:
    """sha256 of what a lexicon says."""
    return digest.of_value(records.to_json(lexicon))


def read(path: Path) -> Lexicon:
    """Read a lexicon. Raises LexiconError with every problem and its line."""
    if not path.is_file():
        raise LexiconError(
            f"{path}: no such lexicon. Write one (docs/lexicon.md), or set lexicon.file in params.yaml to null."
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise LexiconError(f"{path} is not UTF-8 (byte {problem.start}). Save it as UTF-8.") from None
    return parse(text, str(path))


def written(lexicon: Lexicon) -> str:
    """A lexicon as a file, which says the same; JSON is YAML, so no word is taken for a number or a truth."""
    by_language: dict[str, dict[str, str]] = {}
    for one in lexicon.respellings:
        by_language.setdefault(one.language, {})[one.written] = one.said
    text = "".join(
        f"  {language}:\n"
        + "".join(f"    {_quoted(word)}: {_quoted(said)}\n" for word, said in entries.items())
        for language, entries in by_language.items()
    )
    numbers = f"{NUMBERS}: {str(lexicon.write_out_numbers).lower()}\n"
    return numbers + (f"{RESPELL}:\n{text}" if text else "")


def add(path: Path, entries: Sequence[Respelling]) -> None:
    """Write entries into a lexicon, a new one where there is none; comments and order of what stands there are kept.

    Raises LexiconError for a result that `read` would refuse; then nothing is written.
    """
    from voicelathe.config import params

    tree: Any = (
        params.parse(path.read_text(encoding="utf-8-sig"), str(path))
        if path.is_file()
        else params.parse("{}", "")
    )
    if not path.is_file():
        tree.fa.set_block_style()
    for one in entries:
        own = _section(_section(tree, RESPELL), one.language)
        alike = next(
            (word for word in own if reading.folded(str(word)) == reading.folded(one.written)), one.written
        )
        own[alike] = one.said
    text = params.dump(tree)
    parse(text, str(path))
    digest.write_text(path, text)


def _section(tree: Any, name: str) -> Any:
    """What stands below a key; a new one where it is missing, or there and empty."""
    if tree.get(name) is None:
        tree[name] = {}
    return tree[name]


def parse(text: str, where: str) -> Lexicon:
    """The lexicon that a text describes; `where` opens the error message."""
    problems: list[str] = []
    placed: list[_Placed] = []
    write_out = False
    seen: set[str] = set()
    for key, value in _pairs(_tree(text, where), "the file", problems):
        if key.value in seen:
            problems.append(f"{_line(key)}: {key.value!r} is there twice")
        seen.add(key.value)
        if key.value == NUMBERS:
            if value.tag != TRUTH:
                problems.append(f"{_line(value)}: {NUMBERS} = {_shown(value)}: true or false is expected")
            write_out = value.tag == TRUTH and value.value.lower() == "true"
        elif key.value == RESPELL:
            placed += _languages(value, problems)
        else:
            problems.append(f"{_line(key)}: {key.value!r}: unknown; there are {RESPELL} and {NUMBERS}")
    made = Lexicon(
        tuple(sorted((one.entry for one in placed), key=lambda one: (one.language, one.written))), write_out
    )
    problems += _repeated(placed)
    if not problems:
        problems += _circles(made, placed)
    if problems:
        problems.sort(key=lambda one: int(one.split(":")[0].split()[-1]))
        raise LexiconError(
            f"{where} is not a lexicon:\n{listing(problems)}\nCorrect the file; docs/lexicon.md has its format."
        )
    if not made.respellings and not made.write_out_numbers:
        raise LexiconError(
            f"{where} says nothing: it has no entry below {RESPELL} and does not write out numbers. Set lexicon.file to null."
        )
    return made


def lines(path: Path) -> dict[tuple[str, str], int]:
    """The line of every entry of a lexicon that can be read, by language and word."""
    found: list[_Placed] = []
    for key, value in _pairs(_tree(path.read_bytes().decode("utf-8-sig"), str(path)), "the file", []):
        found += _languages(value, []) if key.value == RESPELL else []
    return {(one.entry.language, one.entry.written): one.line for one in found}


def _tree(text: str, where: str) -> Any:
    """The nodes of a document, in which nothing is resolved or lost. Raises LexiconError for what is no YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="rt").compose(text)
    except (YAMLError, RecursionError) as problem:
        raise LexiconError(f"{where} is not readable YAML: {problem}") from None
    if found is None:
        raise LexiconError(
            f"{where} is empty. Write an entry (docs/lexicon.md), or set lexicon.file in params.yaml to null."
        )
    return found


def _pairs(node: Any, what: str, problems: list[str]) -> Iterator[tuple[Any, Any]]:
    """Keys and values of a mapping; what is none, and keys that YAML takes for something else than text, become problems."""
    if not isinstance(node.value, list) or (node.value and not isinstance(node.value[0], tuple)):
        problems.append(f"{_line(node)}: {what} = {_shown(node)}: `name: value` lines are expected")
        return
    for key, value in node.value:
        if key.tag == TEXT and isinstance(key.value, str):
            yield key, value
        else:
            problems.append(
                f"{_line(key)}: {_shown(key)}: YAML does not take it for a text. Put it in quotes: '{key.value}'"
            )


def _languages(node: Any, problems: list[str]) -> Iterator[_Placed]:
    seen: dict[str, int] = {}
    for key, value in _pairs(node, RESPELL, problems):
        tag = languages.canonical(key.value)
        if not languages.is_known(key.value):
            problems.append(
                f"{_line(key)}: {key.value!r}: no language of that name is known; write a tag such as en, de or pt-BR"
            )
        elif tag != key.value:
            problems.append(f"{_line(key)}: {key.value!r}: write {tag}")
        elif tag in seen:
            problems.append(
                f"{_line(key)}: {tag} stands in line {seen[tag]} already; one place for a language"
            )
        else:
            seen[tag] = _number(key)
            for word, said in _pairs(value, f"{RESPELL}.{tag}", problems):
                if (problem := _wrong(word, said)) is not None:
                    problems.append(f"{_line(word)}: {problem}")
                else:
                    yield _Placed(Respelling(tag, _tidy(word.value), _tidy(said.value)), _number(word))


def _wrong(word: Any, said: Any) -> str | None:
    """What is wrong with one entry by itself."""
    if said.tag != TEXT or not isinstance(said.value, str):
        seen = "nothing" if said.tag.endswith(":null") else _shown(said)
        return (
            f"{word.value!r}: {seen}: a text is expected; YAML takes it for something else. Put it in quotes"
        )
    for what, text in (("the word", word.value), ("what is said", said.value)):
        if not text.strip():
            return f"{word.value!r}: {what} is empty"
        if not any(one.isalnum() for one in text):
            return f"{word.value!r}: {what}, {text!r}, holds no letter and no digit"
        if len(text) > MAX_CHARS:
            return f"{text[:40]!r}...: {what} has {len(text)} characters; at most {MAX_CHARS}"
        if any(unicodedata.category(one) in ("Cc", "Cs", "Co") for one in text):
            return f"{word.value!r}: {what} holds a control character ({text!r}); a line feed is one, too"
    if unicodedata.category(word.value.strip()[0]).startswith("M"):
        return f"{word.value!r}: a word cannot begin with a mark that belongs to the letter before"
    return None


def _repeated(placed: Iterable[_Placed]) -> Iterator[str]:
    seen: dict[tuple[str, str], _Placed] = {}
    for one in placed:
        first = seen.setdefault((one.entry.language, reading.folded(one.entry.written)), one)
        if first is not one:
            alike = (
                ""
                if first.entry.written == one.entry.written
                else " (they differ in case or form of letters alone)"
            )
            yield f"line {one.line}: {one.entry.written!r} stands in line {first.line} already{alike}"


def _circles(lexicon: Lexicon, placed: Iterable[_Placed]) -> Iterator[str]:
    """Entries that say a word which is an entry: nothing is read twice, so it would be said as it stands, which nobody expects."""
    at = {one.entry: one.line for one in placed}
    for entry, line in at.items():
        path = [entry]
        while (
            following := next(iter(reading.changed(lexicon, path[-1].said, entry.language)), None)
        ) is not None:
            if following in path:
                break
            path.append(following)
        said = f"line {line}: {entry.written!r} is said {entry.said!r}"
        if following == entry:
            way = " -> ".join(repr(one.written) for one in [*path, entry])
            yield f"{said}, which leads back to it: {way}. Write what is heard, in other letters"
        elif len(path) > 1:
            yield f"{said}, and {path[1].written!r} is an entry, too (line {at[path[1]]}). Entries are not looked up twice: write out what is heard"


def _tidy(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _number(node: Any) -> int:
    return int(node.start_mark.line) + 1


def _line(node: Any) -> str:
    return f"line {_number(node)}"


def _shown(node: Any) -> str:
    return repr(node.value)[:60] if isinstance(node.value, str) else "a list or a section"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

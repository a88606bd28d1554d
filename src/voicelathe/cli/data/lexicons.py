"""`voicelathe lexicon`: respellings by which every model reads text; docs/lexicon.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import Candidate, Recipe
from voicelathe.errors import LexiconError

if TYPE_CHECKING:
    from voicelathe.config import schema

FILE = "lexicon.yaml"
File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="The lexicon; default: the one that params.yaml names."),
]
Times = Annotated[
    int, typer.Option(metavar="N", min=1, help="Leave out words that were asked for less often.")
]
Entries = Annotated[
    list[str], typer.Argument(metavar="WORD=RESPELLING...", help="What to try; quote spaces.")
]
Seeds = Annotated[int, typer.Option(metavar="N", min=2, help="Takes of each sentence, the same for both.")]
Language = Annotated[str, typer.Option(metavar="CODE", help="Language of the text.")]
group = typer.Typer(
    no_args_is_help=True, help="Respellings by which every model reads text: docs/lexicon.md."
)


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.add_typer(group, name="lexicon")


@group.command("check")
def check(file: File = None) -> None:
    """Read a lexicon, and show how many rows and lines each entry changes."""
    from voicelathe import layout
    from voicelathe.config import params
    from voicelathe.data.lexicon import lexicon_file
    from voicelathe.lines import respelt

    settings = params.load()
    path = _path(settings, file)
    found, places = lexicon_file.read(path), lexicon_file.lines(path)
    usage = respelt.of_project(found, settings)
    rows = [
        (str(places[one.language, one.written]), one.language, one.written, one.said, str(usage.rows[one]), str(usage.lines[one]))
        for one in sorted(found.respellings, key=lambda one: places[one.language, one.written])
    ]  # fmt: skip
    screen.table(str(path), ("line", "language", "word", "is read", "rows", "lines"), rows)
    if not usage.has_rows:
        screen.say("Rows were not looked at: dvc repro ingest has not run yet.")
    for language in usage.unused:
        screen.say(
            f"Warning: no row and no line is in {language}, so its entries are for requests alone. Is it the right code?"
        )
    numbers = "are written out" if found.write_out_numbers else "stay as they are written"
    screen.say(f"{len(found.respellings)} entries; numbers {numbers}. Digest {lexicon_file.identity(found)}")
    pinned = (settings.lexicon.file, settings.lexicon.digest)
    if pinned != (layout.in_project(path), lexicon_file.identity(found)):
        screen.say(f"params.yaml does not pin this. To use it: voicelathe lexicon pin {path}")


@group.command("pin")
def pin(file: File = None) -> None:
    """Let the project read its texts with this lexicon as it is now: its name and digest in params.yaml."""
    from voicelathe import layout
    from voicelathe.config import params
    from voicelathe.data.lexicon import lexicon_file

    settings = params.load()
    path = _path(settings, file)
    name, digest = layout.in_project(path), lexicon_file.identity(lexicon_file.read(path))
    if Path(name).is_absolute():
        raise LexiconError(
            f"{path} lies outside the project, where git does not keep it. Copy it here: cp {path} {FILE}"
        )
    if (settings.lexicon.file, settings.lexicon.digest) == (name, digest):
        screen.say(f"{name} is pinned already: {digest}")
        return
    params.edit({"lexicon/file": name, "lexicon/digest": digest})
    screen.say(
        f"params.yaml: lexicon.file = {name}, lexicon.digest = {digest}. Commit both files. Every recipe is trained anew with it (dvc repro); "
        "of the lines only those that an entry changes are spoken again. What is in production keeps the lexicon that it was judged with."
    )


@group.command("read")
def read(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What is written.")],
    language: Language = "en",
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Another lexicon than the project's.")
    ] = None,
) -> None:
    """Show a text as the model gets it."""
    from voicelathe.config import params
    from voicelathe.data.lexicon import lexicon_file, reading
    from voicelathe.registry.speaking import requests

    requests.check_language(language)
    path = file or _path(params.load(), None)
    screen.say(reading.as_read(lexicon_file.read(path), text, language))


@group.command("propose")
def propose(recipe: Recipe, times: Times = 3) -> None:
    """Words that no checkpoint of a recipe ever said right, as the recogniser heard them, with a spelling to try."""
    from voicelathe import lines
    from voicelathe.config import params
    from voicelathe.evaluate.scoring import mispronounced

    found = mispronounced.of_recipe(recipe, lines.of(params.load(), recipe), times)
    if not found:
        screen.say(
            f"Every word that {recipe} was asked for {times} times or more was heard right at least once."
        )
        return
    rows = [
        (one.language, one.word, str(one.times), ", ".join(one.instead), one.proposal or "") for one in found
    ]
    screen.table(
        f"{recipe}: never heard right", ("language", "word", "asked", "heard instead", "to try"), rows
    )
    screen.say(
        "The recogniser may be the one who does not know a name: listen first. A word that is said wrong gets an entry in "
        f"{FILE} (docs/lexicon.md)."
    )


@group.command("try")
def try_(
    recipe: Recipe,
    entries: Entries,
    language: Annotated[
        str | None, typer.Option(metavar="CODE", help="Of the words; default: that of most lines.")
    ] = None,
    candidate: Candidate = None,
    seeds: Seeds = 5,
    keep: Annotated[
        bool, typer.Option("--keep", help="Write the entries that help into the lexicon.")
    ] = False,
) -> None:
    """Let a checkpoint say the sentences that have a word without an entry and with it: is the word heard right more often?"""
    from voicelathe import lines
    from voicelathe.config import params
    from voicelathe.data.lexicon import lexicon_file
    from voicelathe.records import Respelling
    from voicelathe.stages.lexicon import trial

    settings = params.load()
    tag = language or lines.commonest_language(lines.of(settings, recipe))
    wanted = [Respelling(tag, *_entry(one)) for one in entries]
    found = trial.hold(settings, recipe, wanted, candidate, seeds)
    rows = [
        (one.entry.written, one.entry.said, str(one.takes), str(one.right_without), str(one.right_with), f"{one.p:.3f}", "helps" if one.helps else "not shown")
        for one in found.tried
    ]  # fmt: skip
    columns = ("word", "is read", "takes", "right without", "right with", "p", "")
    screen.table(f"{recipe} {found.candidate}", columns, rows)
    screen.say(f"Listen: {found.place}, a folder without the entries and one with them.")
    helpful = [one.entry for one in found.tried if one.helps]
    if not keep or not helpful:
        screen.say(
            "Nothing was written." if keep else "To write what helps into the lexicon: the same with --keep"
        )
        return
    path = Path(settings.lexicon.file or FILE)
    lexicon_file.add(path, helpful)
    screen.say(
        f"{path}: {', '.join(one.written for one in helpful)}. To use it: voicelathe lexicon pin {path}"
    )


def _entry(given: str) -> tuple[str, str]:
    """Word and respelling. Raises LexiconError for what is none."""
    word, _, said = (part.strip() for part in given.partition("="))
    if not word or not said:
        raise LexiconError(f"{given!r}: give WORD=RESPELLING, for example 'Nguyen=win'.")
    return word, said


def _path(settings: schema.Params, file: Path | None) -> Path:
    """The file that was named, or the project's. Raises LexiconError where there is neither."""
    if file is not None:
        return file
    if settings.lexicon.file is None:
        raise LexiconError(
            f"lexicon.file in params.yaml is null: this project has no lexicon. Write one (docs/lexicon.md) and name it here, for example {FILE}"
        )
    return Path(settings.lexicon.file)

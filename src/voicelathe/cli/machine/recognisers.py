"""`voicelathe recogniser`: which Whisper hears words, pinned by the sha256 of its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen
from voicelathe.errors import RecogniserError

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="Directory of a Whisper in CTranslate2's format, or package:NAME."),
]
Licence = Annotated[
    str | None,
    typer.Option(metavar="SPDX", help="SPDX id; default: what its README.md or its package declares."),
]
Languages = Annotated[
    list[str] | None,
    typer.Option(
        "--language", metavar="CODE", help="Trust it with this language only; give it several times."
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Accept that another recogniser is pinned already.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    group = typer.Typer(help="The recogniser that hears words in clips and samples.", no_args_is_help=True)
    group.command("add")(add)
    group.command("check")(check)
    app.add_typer(group, name="recogniser")


def add(model: Model, licence: Licence = None, language: Languages = None, replace: Replace = False) -> None:
    """Look at a recogniser, pin the sha256 of its files and enter it in params.yaml."""
    from voicelathe import digest, layout, records
    from voicelathe.config import params
    from voicelathe.speech import recogniser_files

    folder = recogniser_files.directory(model)
    if not model.startswith(recogniser_files.PACKAGE):
        model = layout.in_project(folder)
    facts = recogniser_files.describe(model, licence or _declared(model, folder), language or None)
    known = params.load().speech.recogniser
    if known is not None and known.digest != facts.digest and not replace:
        raise RecogniserError(
            f"speech.recogniser in {params.FILE} is another one: {known.model}, digest {known.digest[:16]}, this is {facts.digest[:16]}. "
            "Give --replace to accept it: what was heard is then heard again."
        )
    entry = {
        "model": facts.model,
        "digest": facts.digest,
        "licence": facts.licence,
        "languages": language or None,
    }
    params.edit(
        {f"speech/recogniser/{key}": value for key, value in entry.items()}
        if known
        else {"speech/recogniser": entry}
    )
    digest.write_json(layout.RECOGNISER, records.to_json(facts))
    _show(facts)
    screen.say(f"Written: speech.recogniser in {params.FILE}, and {layout.RECOGNISER}. Commit both.")


def check() -> None:
    """Hash the recogniser again and say whether it still is what was added."""
    from voicelathe.config import params
    from voicelathe.speech import recogniser_files

    chosen = params.load().speech.recogniser
    if chosen is None:
        screen.say("speech.recogniser is null: PocketSphinx stands in, for English only and much less exact.")
        return
    facts = recogniser_files.pinned(chosen)
    screen.say(f"{facts.model}: {len(facts.files)} files as pinned ({facts.digest[:16]})")


def _show(facts: object) -> None:
    from voicelathe.records import RecogniserFacts

    assert isinstance(facts, RecogniserFacts)
    languages = (
        ", ".join(facts.languages) if len(facts.languages) <= 12 else f"{len(facts.languages)} of them"
    )
    rows = [
        ("model", facts.model),
        ("languages", languages),
        ("files", str(len(facts.files))),
        ("licence", facts.licence),
        ("digest", facts.digest),
    ]
    screen.table("recogniser", ("what", "value"), rows)


def _declared(model: str, folder: Path) -> str:
    """Raises RecogniserError when nothing declares a licence."""
    from voicelathe.speech import recogniser_files

    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    found = re.search(r"^license:\s*([^\s#]+)\s*$", front.group(1), re.MULTILINE) if front else None
    if found:
        return {"apache-2.0": "Apache-2.0", "mit": "MIT"}.get(found.group(1), found.group(1))
    if model.startswith(recogniser_files.PACKAGE) and (
        declared := _of_package(model.removeprefix("package:"))
    ):
        return declared
    raise RecogniserError(
        f"{folder}: nothing says which licence these weights have. Look it up at the source and give it: --licence MIT"
    )


def _of_package(name: str) -> str | None:
    """What the metadata of the distribution that installed a package declares."""
    from importlib.metadata import metadata, packages_distributions

    for distribution in packages_distributions().get(name, []):
        told = metadata(distribution)
        fields = [field for field in ("License-Expression", "License") if field in told]
        if declared := next((told[field] for field in fields if told[field]), None):
            return str(declared)
    return None

"""`voicelathe base`: a downloaded model directory becomes a base that recipes can name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe.cli import screen
from voicelathe.errors import BaseModelError

if TYPE_CHECKING:
    from voicelathe.records import BaseFacts

Directory = Annotated[
    Path, typer.Argument(metavar="DIR", help="Model directory: config.json, model.safetensors, ...")
]
Name = Annotated[
    str | None, typer.Option(metavar="NAME", help="Name under `bases:`; default: the directory's name.")
]
Licence = Annotated[
    str | None,
    typer.Option(metavar="SPDX", help="SPDX id; default: `license:` in the directory's README.md."),
]
Untrained = Annotated[
    bool, typer.Option("--untrained", help="Random weights: every player and table will say so.")
]
Names = Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Default: all of params.yaml.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Accept that an existing base of this name has changed.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    group = typer.Typer(help="Base models that can be fine-tuned.", no_args_is_help=True)
    group.command("add")(add)
    group.command("check")(check)
    app.add_typer(group, name="base")


def add(
    directory: Directory,
    name: Name = None,
    licence: Licence = None,
    untrained: Untrained = False,
    replace: Replace = False,
) -> None:
    """Recognise a base model, pin the sha256 of its files and enter it in params.yaml."""
    from voicelathe import digest, layout, records
    from voicelathe.config import params
    from voicelathe.families import bases

    family = bases.recognise(directory)
    name = name or _name_of(directory)
    _require_name(name)
    known = params.load().bases.get(name) if replace else None  # what was said of it before still holds
    licence = licence or (known.licence if known else _declared_licence(directory))
    trained = not untrained and (known is None or known.trained)
    for written in bases.complete(family, directory):
        screen.say(f"Written once, from what upstream ships as a pickle: {directory / written}")
    facts = bases.describe(family, directory, licence, trained)
    _require_unchanged(name, facts, replace)
    entry = {
        "family": family,
        "path": layout.in_project(directory),
        "digest": facts.digest,
        "licence": facts.licence,
        "trained": facts.trained,
    }
    params.edit({f"bases/{name}/{key}": value for key, value in entry.items()})  # one by one: comments stay
    record = layout.base_record(name)
    digest.write_json(record, records.to_json(facts))
    show(name, facts, directory)
    screen.say(f"Written: bases.{name} in {params.FILE}, and {record} (sha256 of every file). Commit both.")
    screen.say(
        f"Next: a recipe with `base: {name}`; recipes/ has annotated ones to paste into {params.FILE}."
    )


def check(names: Names = None) -> None:
    """Hash bases again and say whether they still are what was added."""
    from voicelathe.config import params
    from voicelathe.families import bases

    known = params.load().bases
    if unknown := sorted(set(names or ()) - set(known)):
        raise BaseModelError(
            f"bases.{unknown[0]}: no such base in {params.FILE}. There are: {', '.join(sorted(known))}."
        )
    for name in names or known:
        base = known[name]
        facts = bases.pinned(name, base)
        screen.say(f"{name}: {len(facts.files)} files as pinned ({facts.digest[:16]})")


def show(name: str, facts: BaseFacts, directory: Path) -> None:
    """Print what a base is."""
    files = sum((directory / file).stat().st_size for file in facts.files)
    rows = [
        ("family, architecture", f"{facts.family}, {facts.architecture}"),
        (
            "parameters",
            f"{facts.num_parameters:,}" + ("" if facts.trained else ", untrained: random weights"),
        ),
        ("size", f"{screen.size(files)} in {len(facts.files)} files"),
        ("audio in, out", f"{facts.encode_rate_hz:,} Hz, {facts.speak_rate_hz:,} Hz"),
        (
            "positions",
            f"{facts.positions_per_s:g} a second; clips of {facts.min_clip_s:g} to {facts.max_clip_s:,.0f} s",
        ),
        ("licence", facts.licence),
        ("digest", facts.digest),
    ]
    screen.table(f"base {name}", ("what", "value"), rows)


def _name_of(directory: Path) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", directory.resolve().name.lower()).strip("-_")


def _require_name(name: str) -> None:
    from voicelathe.config import schema

    if not re.fullmatch(schema.NAME, name):
        raise BaseModelError(
            f"--name {name!r}: a name may hold lower-case letters, digits, '_' and '-' only, and starts with "
            "a letter or digit. Give another: --name my-base"
        )


def _declared_licence(directory: Path) -> str:
    """The `license:` of a Hugging Face model card. Raises BaseModelError when nothing declares one."""
    card = directory / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    found = re.search(r"^license:\s*([^\s#]+)\s*$", front.group(1), re.MULTILINE) if front else None
    if found is None:
        raise BaseModelError(
            f"{directory}: no README.md says which licence these weights have. Look it up at the source and give it: "
            "--licence Apache-2.0"
        )
    licence = {"apache-2.0": "Apache-2.0", "mit": "MIT"}.get(found.group(1), found.group(1))
    screen.say(f"Licence {licence}, as {card} says; --licence overrides it.")
    return licence


def _require_unchanged(name: str, facts: BaseFacts, replace: bool) -> None:
    from voicelathe.config import params

    known = params.load().bases.get(name)
    if known is None or known.digest == facts.digest:
        return
    if not replace:
        raise BaseModelError(
            f"bases.{name} in {params.FILE} is another model: digest {known.digest[:16]}, this directory {facts.digest[:16]}. "
            "Choose another --name, or give --replace: everything made from it is then made again."
        )
    screen.say(f"Replacing bases.{name}: digest {known.digest[:16]} -> {facts.digest[:16]}")

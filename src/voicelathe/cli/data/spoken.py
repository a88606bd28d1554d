"""Commands on lines: propose a pack, keep one for years."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voicelathe.cli import screen
from voicelathe.errors import LinesError, ParamsError

packs = typer.Typer(no_args_is_help=True, help="The lines that candidates speak: docs/lines.md.")


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.add_typer(packs, name="lines")


@packs.command("propose")
def propose(
    out: Annotated[Path, typer.Option("--out", metavar="lines/NAME.jsonl", help="The pack to write.")],
    num: Annotated[int, typer.Option("--num", min=6, help="Lines; half of them held out.")] = 24,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="ID", help="A shipped line that must be in it; repeat it."),
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Write over a pack that exists.")] = False,
) -> None:
    """A pack from the validation split and the shipped sentences: every kind of line, every language, every main speaker."""
    from voicelathe import layout, lines, records
    from voicelathe.config import params
    from voicelathe.data import columns
    from voicelathe.lines import proposing
    from voicelathe.stages.references import clips

    settings = params.load()
    if out.parent != layout.LINES or out.suffix != ".jsonl":
        raise ParamsError(
            f"--out {out}: a pack is a file {layout.LINES}/NAME.jsonl, because the stages depend on that folder."
        )
    if out.exists() and not replace:
        raise LinesError(f"{out} exists. Choose another name, or write over it on purpose: --replace")
    heard = [clips.reference(settings, name) for name in settings.recipes]
    corpus = proposing.PackSources(
        validation=records.read(layout.split("validation"), records.CleanClip),
        train=columns.read(layout.split("train"), records.CleanClip).select(["clip_id", "text"]),
        barred=frozenset(one.clips[0].recording_id for one in heard if one),
        max_seconds=min(one.listen.max_seconds for one in settings.recipes.values()),
    )
    made = proposing.propose(corpus, num, settings.seed, include or [])
    lines.write(out, made.lines)
    for note in made.notes:
        screen.say(note)
    held = sum(line.is_held_out for line in made.lines)
    screen.say(
        f"{out} holds {len(made.lines)} lines, {held} of them held out. Read it, add it to git, and name it in params.yaml "
        f"(recipes.RECIPE.listen.lines: {out})."
    )


@packs.command("freeze")
def freeze(name: Annotated[str, typer.Argument(metavar="NAME", help="The pack lines/NAME.jsonl.")]) -> None:
    """Keep a pack for years: a copy, and its digest in every recipe that names it; a changed pack is refused from then on."""
    from voicelathe import layout, lines
    from voicelathe.config import params
    from voicelathe.lines import freezing

    path = layout.LINES / f"{name.removesuffix('.jsonl')}.jsonl"
    pack = lines.read(path)
    using = [one for one, recipe in params.load().recipes.items() if recipe.listen.lines == path.as_posix()]
    digest = freezing.freeze(pack, path)
    if using:
        params.edit({f"recipes/{one}/listen/lines_digest": digest for one in using})
    where = (
        f"pinned in {', '.join(f'recipes.{one}' for one in using)}"
        if using
        else "named by no recipe yet; its lines_digest"
    )
    screen.say(
        f"{freezing.copy_of(path)} keeps {len(pack)} lines. The pack is {where}: {digest}. Add all of it to git."
    )

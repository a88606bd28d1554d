"""Commands on what is in production: put it there, prove where it came from, go back, speak with it, look at it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import Candidate, Recipe, known_or_uri, sentence
from voicelathe.cli.production.serving import Sign

if TYPE_CHECKING:
    from voicelathe.records import Promotion

BROKEN = 3  # exit code when something is not what it claims to be

What = Annotated[
    str | None,
    typer.Argument(
        metavar="RECIPE|URI",
        help="A recipe, or models:/NAME@production; default: production.",
        callback=known_or_uri,
    ),
]
Said = Annotated[
    list[str],
    typer.Argument(
        metavar="[BASE] TEXT", help="What to say; with a base directory in front, that base says it."
    ),
]
Because = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT",
        help="Override the gates that can be overridden; kept in the journal.",
        callback=sentence,
    ),
]
Reason = Annotated[
    str, typer.Option("--because", metavar="TEXT", help="Why; kept in the journal.", callback=sentence)
]
TakeOver = Annotated[
    str | None,
    typer.Option(
        metavar="VERSION",
        help="Replace this version, which the alias names without the journal (`voicelathe status`).",
    ),
]
BackTo = Annotated[
    str | None, typer.Option("--to", metavar="VERSION", help="This version, instead of the one before.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Ask every gate, change nothing.")]
Expect = Annotated[
    str | None,
    typer.Option(metavar="VERSION", help="Refuse unless this version is in production now; `none` for none."),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="WAV file to write.")]
Uri = Annotated[
    str | None,
    typer.Option(metavar="URI", help="models:/NAME@production (the default) or models:/NAME/VERSION."),
]
LoraScale = Annotated[
    float | None,
    typer.Option(metavar="X", help="LoRA scale; default: the one that was promoted."),
]
Seed = Annotated[
    int | None, typer.Option(metavar="N", help="Another seed is another take of the same sentence.")
]
MaxSeconds = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Where generation is cut at the latest.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A decoding setting of the family instead of the judged one, as steps=20; repeat it.",
    ),
]
ZeroShot = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE",
        help="Speak with this recipe's base, which hears its held-out clip of the speaker first.",
    ),
]
Port = Annotated[int, typer.Option(metavar="N", help="Port on 127.0.0.1.", min=1, max=65535)]
Language = Annotated[str | None, typer.Option(metavar="CODE", help="Language of the text.")]

Exported = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE|URI",
        help="A recipe, models:/NAME@production or models:/NAME/VERSION.",
        callback=known_or_uri,
    ),
]
To = Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]
Merged = Annotated[bool, typer.Option("--merged", help="Work the adapter into the weights of its base.")]
BaseModel = Annotated[
    str | None,
    typer.Option(metavar="ID", help="How the card names the base, for example openbmb/VoxCPM2."),
]


FAULTS = {
    "too_fast": "the speech is much too short for its text (too_fast), words may be missing; listen to it, or say it in shorter sentences",
    "missed_words": "the recogniser misses words of the text (missed_words); listen to it, or say it in other words or shorter sentences",
    "too_slow": "the speech is much too long for its text (too_slow); listen to it, or say it in shorter sentences",
}


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    app.command("status")(status)
    app.command("verify")(verify)
    app.command("say")(say)
    app.command("export")(export)
    app.command("ui")(ui)


def promote(
    recipe: Recipe,
    because: Because = None,
    candidate: Candidate = None,
    expect: Expect = None,
    dry_run: DryRun = False,
    take_over: TakeOver = None,
) -> None:
    """Put a recipe's selected checkpoint into production: every gate, then the MLflow alias and the journal."""
    from voicelathe.registry import promote

    wanted = promote.UNCHANGED if expect is None else _version(expect)
    done = promote.promote(recipe, Path(), because, candidate, wanted, dry_run, take_over)
    if dry_run:
        waived = f" (overridden: {', '.join(done.waived)})" if done.waived else ""
        screen.say(f"Nothing stands against {recipe} {done.candidate}{waived}; nothing was changed.")
        return
    _show(done)
    screen.say(SERVERS)
    screen.say(
        f'Commit registry/. Hear it: voicelathe say "Hello." --out hello.wav --uri models:/{done.name}@production'
    )


def rollback(because: Reason, expect: Expect = None, to: BackTo = None, take_over: TakeOver = None) -> None:
    """Put the version before back into production; its weights and consent are checked again."""
    from voicelathe.registry import promote

    wanted = promote.UNCHANGED if expect is None else _version(expect)
    _show(promote.rollback(Path(), because, wanted, to, take_over))
    screen.say(SERVERS)


def status() -> None:
    """What is in production, and whether MLflow and the journal agree; exit code 3 if they do not."""
    from voicelathe.registry import promoted

    found = promoted.status(Path())
    screen.say(f"{found.name}: {found.state}" + (f", version {found.alias}" if found.alias else ""))
    if found.promotion is not None:
        _show(found.promotion)
    if found.problem is not None:
        screen.say(found.problem)
        raise typer.Exit(BROKEN)


def verify(what: What = None) -> None:
    """Hash everything again, from the version in production back to the raw manifest; exit code 3 names the broken link."""
    from voicelathe import checkpoints
    from voicelathe.registry import promoted, verify
    from voicelathe.tracking import registered

    if what is None:
        found = promoted.status(Path())
        if found.state == "none":
            screen.say("Nothing is in production. To check what a recipe came from: voicelathe verify RECIPE")
            return
        what = f"models:/{found.name}@{registered.PRODUCTION}"
    walk = verify.verify(what, Path())
    if walk.broken is not None:
        screen.say(f"BROKEN after {walk.num_links - 1} links that hold: {walk.broken}")
        if walk.broken.path.startswith(("checkpoints/", "runs/", "data/")):
            screen.say(checkpoints.way_back(walk.broken.path))
        raise typer.Exit(BROKEN)
    screen.say(f"{what}: all {walk.num_links} links hold, back to the raw manifest and its audio.")


def say(
    what: Said,
    out: Out = Path("said.wav"),
    uri: Uri = None,
    lora_scale: LoraScale = None,
    seed: Seed = None,
    max_seconds: MaxSeconds = None,
    language: Language = None,
    set_: Set = None,
    sign: Sign = None,
    zero_shot: ZeroShot = None,
) -> None:
    """Let the voice in production, a base as it is, or one that hears the speaker first, say a text into a WAV file."""
    from voicelathe.registry.speaking import say

    *base, text = what
    if len(base) > 1 or (base and uri is not None):
        raise typer.BadParameter("give one text, with at most one base directory in front and then no --uri")
    if zero_shot is not None and (base or uri is not None):
        raise typer.BadParameter(
            "--zero-shot RECIPE speaks with the base of that recipe: give no base and no --uri"
        )

    given = {"lora_scale": lora_scale, "seed": seed, "max_seconds": max_seconds, "language": language}
    options: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if zero_shot is not None:
        said = say.speak_zero_shot(text, zero_shot, out, Path(), options, sign, _settings(set_ or []))
    elif base:
        said = say.speak_base(text, Path(base[0]), out, Path(), options, sign, _settings(set_ or []))
    else:
        said = say.speak_production(text, out, Path(), options, uri, sign, _settings(set_ or []))
    cut = "" if said.stopped else ", cut at the limit: it did not stop by itself"
    screen.say(f"{said.path}: {said.who}, {said.duration_s:.2f} s at {said.sample_rate_hz:,} Hz{cut}")
    if said.problem:
        screen.say(f"Warning: {FAULTS.get(said.problem, f'the speech is {said.problem}')}.")


def _settings(given: list[str]) -> dict[str, float]:
    """What `--set` names."""
    found: dict[str, float] = {}
    for one in given:
        name, _, value = one.partition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise typer.BadParameter(
                f"--set {one}: give it as NAME=NUMBER, for example --set steps=20"
            ) from None
    return found


def export(
    what: Exported,
    to: To,
    candidate: Candidate = None,
    because: Because = None,
    merged: Merged = False,
    base_model: BaseModel = None,
) -> None:
    """Write a candidate or a version as files that upstream's own package opens, with a model card; for a model hub."""
    from voicelathe.registry import export

    done = export.export(what, to, Path(), candidate, because, merged, base_model)
    screen.say(
        f"{to}: {done.candidate} as {done.form}, {done.num_files} files ({screen.size(done.num_bytes)}). Read {to}/README.md before you "
        "give it away: it says what the speakers allowed."
    )


def ui(port: Port = 5000) -> None:
    """Serve MLflow's pages over the project's store on this machine until Ctrl-C, and print where to look."""
    from voicelathe.config import params
    from voicelathe.tracking import ui

    raise typer.Exit(ui.serve(params.load().tracking, Path(), port))


def _version(expect: str) -> str | None:
    return None if expect.lower() == "none" else expect


SERVERS = (
    "Running servers: `voicelathe serve` follows within a minute; `mlflow models serve` and `load_model` go on with the version they loaded "
    "until they are started again."
)


def _show(promotion: Promotion) -> None:
    heard = promotion.reference
    rows = [
        ("model, version", f"{promotion.name}, {promotion.version} (before: {promotion.previous or 'none'})"),
        ("candidate", f"{promotion.recipe} {promotion.candidate}"),
        ("weights", f"{promotion.path} ({promotion.checkpoint_sha256[:16]})"),
        ("base, licence", f"{promotion.base}, {promotion.licence}"),
        *([("hears first", f"clip {heard.clip_id} ({heard.way}, {heard.sha256[:16]})")] if heard else []),
        ("speakers", ", ".join(promotion.speakers)),
        ("by", f"{promotion.by}, {promotion.at}"),
        ("because", promotion.because or "selection"),
        ("gates overridden", ", ".join(promotion.waived) or "none"),
    ]
    screen.table("in production", ("what", "value"), rows)

"""`voicelathe cut`: long recordings and their subtitles become clips, which a person looks at, and a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voicelathe.cli import screen
from voicelathe.cli.names import manifest_folder
from voicelathe.errors import SubtitleError

if TYPE_CHECKING:
    from voicelathe.data.cutting.clips import ClipLimits
    from voicelathe.records import CutDecisions, Proposal

cuts = typer.Typer(no_args_is_help=True, help="Cut long recordings into clips at their pauses: docs/cut.md.")
PROPOSAL, MANIFEST = "cut.json", "manifest.jsonl"
SHOWN_NOTES = 20


def register(app: typer.Typer) -> None:
    """Add the commands of this area."""
    app.add_typer(cuts, name="cut")


Name = Annotated[str, typer.Option("--name", metavar="NAME", help="Everything is written below data/NAME/.")]
Shortest = Annotated[float, typer.Option("--min-s", min=0.2, help="Shortest clip, but for those kept short.")]
Longest = Annotated[float, typer.Option("--max-s", min=1.0, max=60.0, help="Longest clip.")]
ShortShare = Annotated[
    float,
    typer.Option("--short-share", min=0.0, max=1.0, help="Share of sentences that stay short clips."),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding", metavar="NAME", help="Encoding of texts that are not UTF-8, for example cp1251."
    ),
]
Replace = Annotated[bool, typer.Option("--replace", help="Write over a proposal that exists.")]


@cuts.command("propose")
def propose(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A recording, or a folder of recordings with their texts.")
    ],
    name: Name,
    speaker: Annotated[str, typer.Option("--speaker", metavar="ID", help="Speaker of texts that name none.")],
    language: Annotated[str, typer.Option("--language", metavar="CODE", help="Language, for example en.")],
    subtitles: Annotated[
        Path | None,
        typer.Option(
            "--subtitles", metavar="FILE", help="Text of one recording; default: the file of the same name."
        ),
    ] = None,
    tier: Annotated[
        str | None, typer.Option("--tier", metavar="NAME", help="Which tier of a TextGrid holds the text.")
    ] = None,
    encoding: Encoding = None,
    min_s: Shortest = 3.0,
    max_s: Longest = 15.0,
    short_share: ShortShare = 0.1,
    replace: Replace = False,
) -> None:
    """Listen to recordings, match them with their texts, and propose clips on a page."""
    from voicelathe.config import params
    from voicelathe.data.cutting.clips import Naming
    from voicelathe.stages.cutting import proposals

    chosen = params.load()
    _require_free(name, replace)
    limits = _limits(min_s, max_s, short_share, chosen.seed)
    root, found = proposals.sources(path, subtitles)
    naming = Naming(name, _known(language), speaker)
    _write(proposals.propose(root, found, chosen, limits, naming, tier, encoding), root)


@cuts.command("long")
def too_long(
    name: Name,
    language: Annotated[
        str | None, typer.Option("--language", metavar="CODE", help="Rows of this language only.")
    ] = None,
    min_s: Shortest = 3.0,
    max_s: Longest = 15.0,
    short_share: ShortShare = 0.1,
    replace: Replace = False,
) -> None:
    """Propose cuts for the rows that the audit dropped because they are too long."""
    from voicelathe.config import params
    from voicelathe.stages.cutting import too_long

    chosen = params.load()
    _require_free(name, replace)
    limits = _limits(min_s, max_s, short_share, chosen.seed)
    rows = too_long.too_long(None if language is None else _known(language))
    _write(too_long.propose(rows, chosen, limits, name), Path(chosen.ingest.audio_root))


def _require_free(name: str, replace: bool) -> None:
    path = Path("data") / manifest_folder(name) / PROPOSAL
    if path.exists() and not replace:
        raise SubtitleError(f"{path} exists. Choose another --name, or write over it: --replace")


def _limits(min_s: float, max_s: float, short_share: float, seed: int) -> ClipLimits:
    from voicelathe.data.cutting.clips import ClipLimits

    if min_s >= max_s:
        raise SubtitleError(
            f"--min-s {min_s:g} is not less than --max-s {max_s:g}. Give a range, as 3 to 15."
        )
    return ClipLimits(min_s, max_s, short_share, seed)


def _known(language: str) -> str:
    from voicelathe.data.text import languages

    if not languages.is_known(language):
        raise SubtitleError(
            f"--language {language!r} is no language that is known. Give a code: --language en"
        )
    return languages.canonical(language)


def _write(made: Proposal, root: Path) -> None:
    from voicelathe import digest, records
    from voicelathe.evaluate.listening import cut_page

    folder = Path("data") / made.name
    names = []
    for number, page in enumerate(cut_page.render(made, root), 1):
        names.append(folder / f"cut-{number}.html")
        digest.write_text(names[-1], page)
    _forget(folder, names)
    digest.write_json(folder / PROPOSAL, records.to_json(made))
    _report(made, names)


@cuts.command("apply")
def apply(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The proposal data/NAME/cut.json.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Decisions that the pages saved; kept beside the proposal."),
    ] = None,
) -> None:
    """Write the manifest of the accepted clips, to be imported."""
    from voicelathe import digest, records
    from voicelathe.data.cutting import decisions
    from voicelathe.records import Proposal
    from voicelathe.stages.cutting import too_long

    folder = Path("data") / manifest_folder(name)
    if not (folder / PROPOSAL).is_file():
        raise SubtitleError(
            f"{folder / PROPOSAL} is missing. Make it: voicelathe cut propose PATH --name {name}"
        )
    proposal = records.read_one(folder / PROPOSAL, Proposal)
    given = {one.page: one for one in (decisions.read(path, proposal) for path in files or [])}
    if len(given) != len(files or []):
        raise SubtitleError("Two of the files are about the same page. Name each page once.")
    stored = {one.page: one for one in _stored(folder, proposal)}
    known = {**stored, **given}
    _require_same(proposal)
    done = decisions.apply(proposal, [known[page] for page in sorted(known)])
    if not done.rows:
        raise SubtitleError(
            f"{name}: no clip was accepted, so there is no manifest. Accept clips in the page."
        )
    rows = too_long.with_others(proposal, done.rows)
    for page, one in given.items():
        digest.write_json(folder / f"decisions-{page}.json", records.to_json(one))
    lines = (f"{digest.canonical_json(row)}\n".encode() for row in rows)
    digest.write_parts(folder / MANIFEST, lines)
    screen.say(
        f"{folder / MANIFEST}: {len(done.rows)} clips, {done.accepted} accepted by a person ({done.moved} moved, {done.reworded} with another text), "
        f"{done.taken_unseen} taken because nothing speaks against them. {done.rejected} rejected, {done.waiting} wait and are left out."
    )
    if proposal.replaces:
        screen.say(
            f"They stand in the place of {len(proposal.replaces)} rows; {len(rows) - len(done.rows)} others are as they were."
        )
    screen.say(
        f"Next: voicelathe import {folder / MANIFEST} --audio-root {proposal.audio_root}, then: dvc repro"
    )


def _stored(folder: Path, proposal: Proposal) -> list[CutDecisions]:
    from voicelathe.data.cutting import decisions

    return [decisions.read(path, proposal) for path in sorted(folder.glob("decisions-*.json"))]


def _require_same(proposal: Proposal) -> None:
    """Raises SubtitleError when a recording is not the one that was listened to: its cuts would lie anywhere."""
    from voicelathe import digest

    for one in proposal.recordings:
        path = Path(proposal.audio_root) / one.audio
        if not path.is_file() or digest.of_file(path) != one.sha256:
            raise SubtitleError(
                f"{path} is missing or not the recording that was cut. Restore it, or propose again: --replace"
            )


def _forget(folder: Path, names: list[Path]) -> None:
    """Pages and decisions of an earlier proposal, which would not fit this one."""
    for path in [*folder.glob("cut-*.html"), *folder.glob("decisions-*.json")]:
        if path not in names:
            path.unlink()


def _report(made: Proposal, names: list[Path]) -> None:
    notes = [f"{one.audio}: {note}" for one in made.recordings for note in one.notes]
    for note in notes[:SHOWN_NOTES]:
        screen.say(note)
    if len(notes) > SHOWN_NOTES:
        screen.say(f"... and {len(notes) - SHOWN_NOTES} more notes, all of them on the page")
    total_s = sum(one.end_s - one.start_s for one in made.clips)
    speech_s, lost_s = (
        sum(getattr(one, what) for one in made.recordings) for what in ("speech_s", "uncovered_s")
    )
    waiting = sum(bool(one.flags) for one in made.clips)
    screen.say(
        f"{len(made.clips)} clips, {total_s / 60:.1f} minutes, of {len(made.recordings)} recordings; {speech_s / 60:.1f} minutes of speech, "
        f"{lost_s / 60:.1f} of them without a text. {waiting} clips wait for a person, the others are accepted until somebody objects."
    )
    screen.say(
        f"Listen, move, accept or reject: {', '.join(map(str, names))}. Then: voicelathe cut apply {made.name} DECISIONS.json"
    )

"""Which lines are spoken? Those that the decision did not hear: whoever chooses on the lines that a checkpoint was chosen by is too hopeful.

They are drawn as packs are proposed: sentences of the validation split and written ones, all kinds in turn, none of the recipe's pack and
none that stands in the training text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voicelathe import layout, lines, records
from voicelathe.config import schema
from voicelathe.config.params import recipe as find_recipe
from voicelathe.data.gate import line_leaks
from voicelathe.data.text import characters
from voicelathe.errors import LinesError
from voicelathe.lines import proposing
from voicelathe.records import CleanClip, PackLine
from voicelathe.runs import replay
from voicelathe.stages.references.clips import reference

FEWEST = 8  # lines that say anything


@dataclass(frozen=True)
class DrawnLines:
    """The lines, and which of them the decision heard, too."""

    pack: list[PackLine]
    known: list[str]


def drawn(params: schema.Params, recipe: str, num: int | None) -> DrawnLines:
    """`num` fresh lines, by default as many as the recipe's pack has, or all there are. Raises LinesError for too few."""
    heard = lines.of(params, recipe)
    barred = reference(params, recipe)
    corpus = proposing.PackSources(
        validation=records.read(layout.split("validation"), CleanClip),
        train=replay.trained_texts(params, recipe).select(["clip_id", "text"]),
        barred=frozenset([barred.clips[0].recording_id] if barred else []),
        max_seconds=find_recipe(params, recipe).listen.max_seconds,
        said=frozenset(characters.words(line.text) for line in heard),
    )
    pack = proposing.propose(corpus, num or len(heard), params.seed).lines
    if len(pack) < FEWEST:
        raise LinesError(
            f"{recipe}: {len(pack)} sentences are left that the decision did not hear (validation split and shipped lines, without "
            f"{find_recipe(params, recipe).listen.lines}), and it takes {FEWEST}. Write a pack of others and name it: "
            f"voicelathe decoding {recipe} --lines {layout.LINES}/NAME.jsonl"
        )
    return DrawnLines(pack, [])


def of_pack(params: schema.Params, recipe: str, path: Path) -> DrawnLines:
    """The lines of a pack. Raises LinesError for one that cannot be read, was trained on, or has too few lines."""
    pack = lines.read(path)
    trained = replay.trained_texts(params, recipe)
    line_leaks.require(pack, path.as_posix(), trained, params.gate.max_text_overlap)
    lines.require_recordings(pack, records.read(layout.split("validation"), CleanClip), path.as_posix())
    if len(pack) < FEWEST:
        raise LinesError(f"{path} holds {len(pack)} lines, and it takes {FEWEST}. Add some: docs/lines.md")
    return DrawnLines(pack, _known(lines.of(params, recipe), pack))


def _known(heard: Sequence[PackLine], pack: Sequence[PackLine]) -> list[str]:
    said = {characters.words(line.text) for line in heard}
    return [line.id for line in pack if characters.words(line.text) in said]

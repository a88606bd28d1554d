"""Which weights were promoted once, and are named by no record of now? Those of earlier settings, and of other branches."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voicelathe.registry.history import journal, reachable
from voicelathe.runs import results, tombstones

# Where a journal may say that weights lie. Other branches have journals, too, and what they say decides where files are put.
WEIGHTS = re.compile(r"checkpoints/[\w-][\w.-]*/[\w-][\w.-]*/step_\d+")


@dataclass(frozen=True)
class PromotedOnce:
    """Weights that were promoted and that no record of now names: of earlier settings, of another branch."""

    path: str
    sha256: str  # of the manifest
    run_digest: str
    is_voice: bool  # in production now

    @property
    def directory(self) -> str:
        return str(Path(self.path).parent)


def of(recipes: Sequence[str], root: Path, every: bool) -> list[PromotedOnce]:
    """What was promoted and is not among what the records of now name, or was pruned there before it was promoted."""
    now = {one.path: one.sha256 for recipe in recipes for one in results.index(recipe, root).checkpoints}
    excuses = tombstones.excused(root)
    voices = {one.promotion.path for one in journal.read(root)[-1:]}
    found = {
        one.path: PromotedOnce(one.path, one.checkpoint_sha256, one.run_digest, one.path in voices)
        for one in reachable.promotions(root)
        if one.kind != "base" and WEIGHTS.fullmatch(one.path) and (every or one.recipe in recipes)
    }
    return [
        one
        for path, one in found.items()
        if path not in now or (now[path] == one.sha256 and tombstones.is_excused(path, one.sha256, excuses))
    ]

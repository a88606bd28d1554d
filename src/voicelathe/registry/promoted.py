"""What is in production, whether MLflow and the journal agree on it, and which versions were in production before."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicelathe.errors import PromotionError, RequestError
from voicelathe.records import Candidate, Promotion
from voicelathe.registry import gates, journal
from voicelathe.registry.journal import Standing
from voicelathe.tracking import glance, registered
from voicelathe.tracking.registered import PRODUCTION


@dataclass(frozen=True)
class Status:
    """Where the alias stands, and whether the journal agrees."""

    name: str
    alias: str | None  # version that `production` points at
    promotion: Promotion | None  # of that version, when the journal knows it
    state: str  # none | in production | unfinished | moved | lost
    problem: str | None  # what is wrong and what to do


def status(root: Path) -> Status:
    """Compare MLflow with the journal; changes nothing. Raises TrackingError when MLflow does not answer."""
    chosen = gates.load_params(root)
    name = registered.name_of(chosen.tracking)
    standing = journal.standing(journal.read(root), name)
    return judge(name, glance.look(chosen.tracking, root).aliases.get(PRODUCTION), standing)


def judge(name: str, alias: str | None, standing: Standing) -> Status:
    """What an alias means in the light of the journal."""
    if standing.pending is not None and alias in (standing.pending.promotion.version, standing.version):
        won = alias == standing.pending.promotion.version
        promotion = standing.pending.promotion if won else standing.current
        problem = f"the promotion of version {standing.pending.promotion.version} was interrupted; repeat it, or leave it"
        return Status(name, alias, promotion, "unfinished", problem)
    if alias == standing.version:
        return Status(name, alias, standing.current, "none" if alias is None else "in production", None)
    known = (
        f"the journal says {standing.version}" if standing.version else "the journal knows of no promotion"
    )
    if alias is None:
        problem = f"{name} has no alias production, but {known}: the MLflow store is another one or was rebuilt. Promote again"
        return Status(name, alias, standing.current, "lost", problem)
    problem = (
        f"production of {name} is version {alias}, but {known}: the alias was moved by hand, or the journal is not the newest "
        f"(git pull). To take over on the record: voicelathe promote RECIPE --because TEXT"
    )
    return Status(name, alias, None, "moved", problem)


def require_unmoved(root: Path) -> list[Promotion]:
    """Every promotion that was done, the oldest first. Raises PromotionError when the alias `production` was moved by hand."""
    found = status(root)
    if found.state == "moved":
        raise PromotionError(str(found.problem))
    entries = journal.read(root)
    return [
        one.promotion for one in entries if one.event == journal.DONE and one.promotion.name == found.name
    ]


def version_of(promotions: list[Promotion], config: Mapping[str, Any]) -> str | None:
    """The version that a served configuration is; None when it never was in production."""
    name = Candidate(config["step"], config["lora_scale"]).name
    wanted = (config["run_digest"], name, config["sha256"])
    same = [p for p in promotions if (p.run_digest, p.candidate, p.checkpoint_sha256) == wanted]
    return same[-1].version if same else None


def find(root: Path, version: str) -> Promotion:
    """The promotion of a version. Raises RequestError with the versions there are."""
    promotions = require_unmoved(root)
    found = [one for one in promotions if one.version == version]
    if not found:
        known = ", ".join(sorted({one.version for one in promotions})) or "none"
        raise RequestError(f"version = {version!r} was never in production; there are: {known}.")
    return found[-1]


def candidate_of(promotion: Promotion) -> Candidate:
    """`step_0000040@0.35` -> step 40 at strength 0.35."""
    match = re.fullmatch(r"step_0*(\d+)(?:@(.+))?", promotion.candidate)
    if match is None:
        return Candidate(0, None)
    return Candidate(int(match[1]), float(match[2]) if match[2] else None)

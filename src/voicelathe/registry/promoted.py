"""What is in production, whether MLflow and the journal agree on it, and which versions were in production before."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from voicelathe import digest, families
from voicelathe.errors import PromotionError
from voicelathe.families import decoding
from voicelathe.records import Candidate, Promotion
from voicelathe.registry import gates
from voicelathe.registry.history import journal, reachable
from voicelathe.registry.history.journal import Entry, Standing
from voicelathe.registry.speaking import reference
from voicelathe.tracking import glance, registered, store
from voicelathe.tracking.registered import PRODUCTION
from voicelathe.tracking.runs import TAG

FOREIGN = (
    "moved",
    "replaced",
)  # the alias names what the journal does not know; `--take-over` puts another version in its place
REFUSED = (*FOREIGN, "lost")  # states in which nothing speaks


@dataclass(frozen=True)
class Status:
    """Where the alias stands, and whether the journal agrees."""

    name: str
    alias: str | None  # version that `production` points at
    promotion: Promotion | None  # of that version, when the journal knows it
    state: str  # none | in production | unfinished | moved | replaced | lost
    problem: str | None  # what is wrong and what to do


def status(root: Path) -> Status:
    """Compare MLflow with the journal; changes nothing. Raises TrackingError when MLflow does not answer."""
    chosen = gates.load_params(root)
    name = registered.name_of(chosen.tracking)
    standing = journal.standing(journal.read(root), name)
    seen = glance.look(chosen.tracking, root)
    found = judge(name, seen.aliases.get(PRODUCTION), standing, seen.tags, store.shown(root))
    if found.state in REFUSED and (behind := reachable.behind(root)):
        return replace(found, problem=behind)
    return found


def judge(
    name: str, alias: str | None, standing: Standing, tags: Mapping[str, Mapping[str, str]], where: str
) -> Status:
    """What an alias means in the light of the journal; `tags` are those of the versions there are, `where` is MLflow's address."""
    pending = standing.pending
    if pending is not None and alias in (pending.promotion.version, standing.version):
        promotion = pending.promotion if alias == pending.promotion.version else standing.current
        problem = f"{_interrupted(pending)}. Until then one of the two versions is in production: {alias}"
        found = Status(name, alias, promotion, "unfinished", problem)
    elif alias == standing.version:
        state = "none" if alias is None else "in production"
        found = Status(name, alias, standing.current, state, None)
    elif alias is None:
        problem = (
            f"{name} has no alias production in {where}, but {_known(standing)}. Check MLFLOW_TRACKING_URI first: it may be another MLflow. "
            f"If this one was rebuilt, or this is a new clone: {_again(standing)}"
        )
        return Status(name, alias, standing.current, "lost", problem)
    else:
        problem = (
            f"production of {name} is version {alias} in {where}, but {_known(standing)}: the alias was moved by hand, or it was promoted on "
            f"another branch or machine (merge that with git), or it is another MLflow (MLFLOW_TRACKING_URI). To take over what is there, on the record: "
            f'voicelathe promote RECIPE --take-over {alias} --because "why"'
        )
        return Status(name, alias, None, "moved", problem)
    if found.promotion is None or (wrong := differs(found.promotion, tags.get(str(alias)))) is None:
        return found
    problem = (
        f"production of {name} is version {alias} in {where}, but that version is not what was promoted: {wrong}. MLflow was rebuilt or "
        f"restored from a backup. Nothing speaks until it is promoted again: voicelathe promote {found.promotion.recipe} "
        f'--take-over {alias} --because "why"'
    )
    return Status(name, alias, None, "replaced", problem)


def identity_tags(promotion: Promotion) -> dict[str, str]:
    """What the version of a promotion must say of itself in MLflow."""
    facts = {
        "recipe": promotion.recipe,  # two with the same settings have the same weights, but each its own files
        "run_digest": promotion.run_digest,
        "candidate": promotion.candidate,
        "checkpoint_sha256": promotion.checkpoint_sha256,
        "base_digest": promotion.base_digest,
    }
    if promotion.decoding is not None:
        facts["decoding"] = decoding.as_text(promotion.decoding)
    if promotion.reference is not None:
        facts["reference"] = promotion.reference.as_text
    return {f"{TAG}{key}": value for key, value in facts.items()}


def decoding_of(family: str, kept: Mapping[str, float] | None) -> dict[str, float]:
    """What a version speaks with, of what was kept of it: one from before recipes named settings speaks with upstream's own values."""
    return {**decoding.defaults(families.spec(family).decoding), **(kept or {})}


def differs(promotion: Promotion, tags: Mapping[str, str] | None) -> str | None:
    """Why a version of MLflow is not the one that was promoted; None when it is. Version numbers are given again, digests are not."""
    if tags is None:
        return f"there is no version {promotion.version}"
    for key, expected in identity_tags(promotion).items():
        if (found := tags.get(key)) != expected:
            return f"{key} is {found}, the journal says {expected}"
    return None


def is_same(current: Promotion, case: gates.Case) -> bool:
    """Whether a promoted version is the candidate that the gates were asked about, and speaks as it was judged."""
    run, shown = case.files.run, case.shown
    asked = (run.recipe, run.run_digest, shown.candidate.name, shown.checkpoint.sha256)
    spoken = decoding_of(run.identity.family, current.decoding) == case.files.selection.decoding
    spoken &= current.reference == (case.heard.record if case.heard else None)
    now = (current.recipe, current.run_digest, current.candidate, current.checkpoint_sha256)
    return spoken and asked == now


def look(root: Path) -> tuple[Status, list[Promotion]]:
    """Where the alias stands, and every promotion that was done, the oldest first.

    Raises PromotionError when the alias `production` names what nobody promoted, or MLflow does not know it any more.
    """
    found = status(root)
    if found.state in REFUSED:
        raise PromotionError(str(found.problem))
    entries = journal.read(root)
    done = [
        one.promotion for one in entries if one.event == journal.DONE and one.promotion.name == found.name
    ]
    return found, done


def registration(root: Path, promotion: Promotion) -> registered.Registration:
    """The options a promoted version was registered with, and its configuration. Raises PromotionError unless MLflow has that very version."""
    tracking = gates.load_params(root).tracking
    if wrong := differs(promotion, glance.look(tracking, root).tags.get(promotion.version)):
        raise PromotionError(
            f"Version {promotion.version} in {store.shown(root)} is not what was promoted: {wrong}. MLflow was rebuilt or restored from a "
            "backup. Promote again what is to speak: voicelathe promote RECIPE"
        )
    store.settle(tracking, root)
    with store.usable(address := store.address(root)):
        return registered.registration(address, f"models:/{promotion.name}/{promotion.version}")


def clip_of(root: Path, promotion: Promotion) -> str | None:
    """sha256 of the clip that MLflow has of a promoted version; None where it has none."""
    tracking = gates.load_params(root).tracking
    store.settle(tracking, root)
    with store.usable(address := store.address(root)):
        found = registered.file_of(address, f"models:/{promotion.name}/{promotion.version}", reference.FILE)
    return None if found is None else digest.of_bytes(found)


def clip_problems(root: Path, promotion: Promotion) -> list[str]:
    """What is wrong with the clip that a promoted version hears; nothing of one that hears none."""
    if promotion.reference is None or (found := clip_of(root, promotion)) == promotion.reference.sha256:
        return []
    return [reference.damaged(promotion.recipe, found, promotion.reference)]


def _again(standing: Standing) -> str:
    """The commands that put what the journal says into an MLflow that has never heard of it."""
    if (one := standing.current) is None:
        return "promote again: voicelathe promote RECIPE"
    return (
        f"voicelathe track {one.recipe}, then voicelathe promote {one.recipe} --candidate {one.candidate} --because "
        '"in production before"'
    )


def _known(standing: Standing) -> str:
    if standing.version is None:
        return "the journal knows of no promotion"
    return f"the journal says {standing.version}"


def _interrupted(pending: Entry) -> str:
    """What was begun and never closed, and how to repeat it."""
    wanted = pending.promotion
    if pending.action == "rollback":
        return (
            f"the rollback to version {wanted.version} was interrupted; repeat it: "
            f'voicelathe rollback --to {wanted.version} --because "why"'
        )
    return f"the promotion of version {wanted.version} was interrupted; repeat it: voicelathe promote {wanted.recipe}, with the same options"


def consent_problems(root: Path, promotion: Promotion) -> list[str]:
    """What is wrong today with the consent of the speakers of a promoted version."""
    base = gates.load_params(root).bases.get(promotion.base)
    models = gates.models_of(promotion.base, base.family if base else promotion.base)
    return gates.consent_problems(root, promotion.speakers, models)


def promotion_of(promotions: list[Promotion], config: Mapping[str, Any]) -> Promotion | None:
    """The newest promotion of what a served configuration speaks with; None when it never was in production."""
    heard = reference.of_config(config)
    name = Candidate(config["step"], config["lora_scale"], heard is not None).name
    wanted = (config["run_digest"], name, config["sha256"], config["base_digest"])
    family, spoken = config["family"], decoding_of(config["family"], config.get("decoding"))
    same = [
        p
        for p in promotions
        if (p.run_digest, p.candidate, p.checkpoint_sha256, p.base_digest) == wanted
        and decoding_of(family, p.decoding) == spoken
        and p.reference == heard
    ]
    return same[-1] if same else None

"""Is what is in production really what it claims to come from? Walk the chain backward and hash everything again, offline.

Version -> journal -> selection, and from there the links of chain.py. The walk stops at the first that does not hold.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voicelathe import checkpoints, layout
from voicelathe.records import Promotion
from voicelathe.registry import chain, gates, promote, promoted
from voicelathe.registry.history import journal
from voicelathe.registry.speaking import reference
from voicelathe.tracking import glance


@dataclass(frozen=True)
class Walk:
    """How far the chain holds."""

    num_links: int
    broken: chain.ChainLink | None


def verify(what: str, root: Path) -> Walk:
    """`what`: a recipe, or models:/NAME@production. Raises RecordError when a record that names others is unreadable."""
    return _walk(_from_production(root) if what.startswith("models:/") else chain.recipe_links(what, root))


def _walk(links: Iterator[chain.ChainLink]) -> Walk:
    number = 0
    for number, link in enumerate(links, 1):
        if not link.holds:
            return Walk(number, link)
    return Walk(number, None)


def _from_production(root: Path) -> Iterator[chain.ChainLink]:
    """From the alias through the journal to the files; chain of the journal included."""
    status = promoted.status(root)
    if status.promotion is None or status.alias is None:
        if status.problem:
            yield chain.ChainLink(
                "the journal", f"alias production of {status.name}", "as promoted", status.problem
            )
            return
        yield chain.ChainLink(
            "the journal", f"alias production of {status.name}", "a promoted version", str(status.alias)
        )
        return
    promotion = status.promotion
    if status.state == "unfinished":  # its version has no tag of it yet
        yield chain.ChainLink(str(journal.FILE), "the last promotion", "done", str(status.problem))
        return
    yield from _version(root, promotion)
    entry = f"{journal.FILE} (version {promotion.version})"
    for problem in promoted.consent_problems(root, promotion):
        yield chain.ChainLink(entry, "consent", "valid", problem)
    if promotion.kind != "base":  # whatever was pruned: these are the weights that speak
        manifest = f"{promotion.path}/{checkpoints.MANIFEST}"
        yield chain.link(root, manifest, promotion.checkpoint_sha256, entry)
    if promotion.reference is not None:
        place = f"{reference.FILE} of {promotion.name} version {promotion.version}"
        yield chain.ChainLink(entry, place, promotion.reference.sha256, promoted.clip_of(root, promotion))
    consent = layout.CONSENT.as_posix()  # a record may be amended; whether it is valid was just asked
    evidence = {
        path: sha256 for path, sha256 in promotion.inputs.items() if not path.startswith(f"{consent}/")
    }
    yield from (chain.link(root, path, sha256, entry) for path, sha256 in evidence.items())
    yield from chain.recipe_links(promotion.recipe, root)


def _version(root: Path, promotion: Promotion) -> Iterator[chain.ChainLink]:
    """Tags of the version in MLflow: an index that anybody may edit, so it is compared and never believed."""
    tags = glance.look(gates.load_params(root).tracking, root).tags.get(promotion.version, {})
    expected = promoted.identity_tags(promotion)
    begun = [one for one in journal.read(root) if one.event == journal.BEGUN and one.promotion == promotion]
    for key, value in {**expected, **promote.promotion_tag(promotion, begun[-1])}.items():
        yield chain.ChainLink(
            str(journal.FILE),
            f"tag {key} of {promotion.name} version {promotion.version}",
            value,
            tags.get(key),
        )

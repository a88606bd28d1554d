"""Which version was in production before, and is it still the same one? What `rollback` asks before anything begins.

A version's number is no identity: a rebuilt or restored MLflow gives numbers again. Run, candidate, weights and base are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from voicelathe.errors import PromotionError
from voicelathe.records import Promotion
from voicelathe.registry.history.journal import DONE, Entry
from voicelathe.registry.promoted import differs, identity_tags

Tags = Mapping[str, Mapping[str, str]]  # version -> its tags in MLflow


def target(entries: Sequence[Entry], name: str, tags: Tags, where: str, to: str | None) -> Promotion:
    """The promotion to go back to, under the number it has in MLflow now. Raises PromotionError when there is none to be had.

    Without `to` each call goes one step further back; what was rolled back from is never gone back to.
    """
    stack = standing_order(entries, name)
    current = stack[-1] if stack else None
    if to is not None:
        return _named(entries, name, tags, where, to, current)
    before = [one for one in stack[:-1] if current and identity_tags(one) != identity_tags(current)]
    if not before:
        raise PromotionError(
            "There is no earlier version in production to go back to. See: voicelathe history"
        )
    return _located(before[-1], tags, where)


def standing_order(entries: Sequence[Entry], name: str) -> list[Promotion]:
    """What was in production, the oldest first, without what was rolled back from; the last is in production now."""
    stack: list[Promotion] = []
    for entry in entries:
        if entry.event != DONE or entry.promotion.name != name:
            continue
        facts = [identity_tags(one) for one in stack]
        mine = identity_tags(entry.promotion)
        if entry.action == "rollback" and mine in facts:
            del stack[len(facts) - facts[::-1].index(mine) - 1 :]
        elif facts and facts[-1] == mine:
            stack.pop()
        stack.append(entry.promotion)
    return stack


def _named(
    entries: Sequence[Entry], name: str, tags: Tags, where: str, to: str, current: Promotion | None
) -> Promotion:
    done = [one.promotion for one in entries if one.event == DONE and one.promotion.name == name]
    found = [one for one in done if one.version == to]
    if not found:
        known = ", ".join(sorted({one.version for one in done}, key=_number)) or "none"
        raise PromotionError(f"Version {to} was never in production; there are: {known}.")
    same = [one for one in found if differs(one, tags.get(to)) is None]
    if not same:
        raise PromotionError(
            f"Version {to} in {where} is not what was promoted under that number: {differs(found[-1], tags.get(to))}. {_again(found[-1])}"
        )
    if current and identity_tags(same[-1]) == identity_tags(current):
        raise PromotionError(
            f"Version {to} ({current.recipe} {current.candidate}) is in production already; nothing was changed."
        )
    return same[-1]


def _located(wanted: Promotion, tags: Tags, where: str) -> Promotion:
    """The promotion under the number that its version has in this MLflow."""
    if differs(wanted, tags.get(wanted.version)) is None:
        return wanted
    same = [version for version in tags if differs(wanted, tags[version]) is None]
    if not same:
        raise PromotionError(
            f"Version {wanted.version} ({wanted.recipe} {wanted.candidate}), which was in production before, is not in MLflow at {where}: "
            f"it was deleted there, or MLflow was rebuilt or restored. Nothing was changed. {_again(wanted)}"
        )
    return replace(wanted, version=max(same, key=_number))


def _again(wanted: Promotion) -> str:
    return (
        f"Bring it back: voicelathe track {wanted.recipe}, then voicelathe promote {wanted.recipe} --candidate {wanted.candidate} "
        '--because "why"; or go to another: voicelathe rollback --to VERSION (voicelathe history).'
    )


def _number(version: str) -> tuple[int, str]:
    return (int(version) if version.isdigit() else -1, version)

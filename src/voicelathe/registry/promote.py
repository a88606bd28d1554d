"""Put a candidate into production, exactly once, whoever else tries and whatever kills the process.

Under the locks of the journal (this checkout) and of the registry (all checkouts and machines): look where the alias stands, compare
with what the caller expects, announce, move the alias, read it back, close. MLflow itself has no compare-and-swap: of two promoters
that read the same version both are told "success". The alias is set over its old value, so it is never absent.
"""

import datetime
import getpass
from dataclasses import replace
from pathlib import Path
from typing import Literal

from voicelathe import digest
from voicelathe.errors import PromotionError
from voicelathe.records import Promotion
from voicelathe.redaction import redacted
from voicelathe.registry import gates, journal, voice
from voicelathe.registry.gates import Case
from voicelathe.registry.journal import ABANDONED, BEGUN, DONE, Book, Entry, Standing
from voicelathe.registry.promoted import judge
from voicelathe.tracking import mutex, registered
from voicelathe.tracking.registered import CANDIDATE, PREVIOUS, PRODUCTION, Registered
from voicelathe.tracking.runs import TAG
from voicelathe.tracking.store import connect, usable

UNCHANGED: Literal["unchanged"] = "unchanged"  # expect: what is in production when the call begins


def promote(
    recipe: str,
    root: Path,
    because: str | None = None,
    candidate: str | None = None,
    expect: str | None = UNCHANGED,
    dry_run: bool = False,
) -> Promotion:
    """Register the selected candidate (or `candidate`) and point the alias `production` at it; `previous` at the old one.

    The alias `candidate` marks the version that was put forward last, whether it got into production or not.
    `expect`: the version the caller believes to be in production (None: none yet); another one is refused as stale.
    Promoting what is in production already changes nothing and returns its record; so does `dry_run`, after all gates.
    Raises PromotionError listing every gate that says no, TrackingError when MLflow does not answer.
    """
    because = redacted(because) if because else because
    chosen = gates.load_params(root)
    name = registered.name_of(chosen.tracking)
    before = journal.read(root)
    case = gates.examine(recipe, root, chosen, candidate)
    waived = gates.require(case, because)
    if dry_run:
        return _promotion(case, name, "(dry run)", journal.standing(before, name).version, because, waived)
    store = connect(chosen.tracking, root)
    models = Registered(store, name)
    with usable(store.uri), journal.locked(root) as book, mutex.held(models):
        standing, taken_over = _settled(book, models, before, expect, because)
        if (
            standing.current
            and _is_same(standing.current, case)
            and PRODUCTION in models.aliases()
            and not taken_over
        ):
            return standing.current
        version = _register(models, case)
        models.set_alias(CANDIDATE, version)
        promotion = _promotion(case, name, version, standing.version, because, waived + taken_over)
        return _switch(book, models, "promote", promotion)


def rollback(root: Path, because: str, expect: str | None = UNCHANGED) -> Promotion:
    """Point `production` back at the version before; that version's weights and consent are checked again.

    Raises PromotionError when there is none, or it may no longer speak.
    """
    chosen = gates.load_params(root)
    name = registered.name_of(chosen.tracking)
    before = journal.read(root)
    store = connect(chosen.tracking, root)
    models = Registered(store, name)
    with usable(store.uri), journal.locked(root) as book, mutex.held(models):
        standing, taken_over = _settled(book, models, before, expect, because)
        target = _before(book.entries, standing)
        if problems := voice.problems(root, target):
            raise PromotionError(f"Version {target.version} of {name} must not speak: {'; '.join(problems)}")
        promotion = replace(
            target,
            previous=standing.version,
            by=_who(),
            at=_now(),
            because=redacted(because),
            waived=taken_over,
        )
        return _switch(book, models, "rollback", promotion)


def history(root: Path) -> list[Entry]:
    """Every event, the oldest first. Raises PromotionError when the chain is broken."""
    return journal.read(root)


def _settled(
    book: Book, models: Registered, before: list[Entry], expect: str | None, because: str | None
) -> tuple[Standing, list[str]]:
    """Compare, then close what a killed promotion left open. Returns where the model stands and what `because` overrides.

    Raises PromotionError when somebody promoted meanwhile, or the alias moved without the journal and there is no reason given.
    """
    if expect == UNCHANGED and len(book.entries) != len(before):
        last = book.entries[-1].promotion
        raise PromotionError(
            f"stale: {last.by} promoted version {last.version} ({last.recipe} {last.candidate}) since this command began. "
            "Look at it (voicelathe status), then decide again."
        )
    standing = journal.standing(book.entries, models.name)
    alias = models.aliases().get(PRODUCTION)
    found = judge(models.name, alias, standing)
    if found.state == "moved" and not because:
        raise PromotionError(str(found.problem))
    if standing.pending is not None and found.state != "moved":
        event = DONE if alias == standing.pending.promotion.version else ABANDONED
        book.append(event, standing.pending.action, standing.pending.promotion)
        standing = journal.standing(book.entries, models.name)
    if expect != UNCHANGED and standing.version != expect:
        raise PromotionError(
            f"stale: expected version {expect} of {models.name} in production, found {standing.version}. "
            "Look at it (voicelathe status), then decide again."
        )
    return standing, ["alias"] if found.state == "moved" else []


def _is_same(current: Promotion, case: Case) -> bool:
    shown = case.shown
    mine = (case.files.run.run_digest, shown.candidate.name, shown.checkpoint.sha256)
    return mine == (current.run_digest, current.candidate, current.checkpoint_sha256)


def _register(models: Registered, case: Case) -> str:
    """The version of the candidate; the same one again when it was registered before."""
    run, shown = case.files.run, case.shown
    config = voice.configuration(case)
    model = registered.find_model(
        models.store,
        run.recipe,
        run.run_digest,
        shown.candidate.name,
        shown.checkpoint.sha256,
        voice.identity(config),
    )
    if model is None:
        raise PromotionError(
            f"MLflow at {models.store.shown} does not know {shown.candidate.name} of run {run.run_digest[:16]}. "
            f"Bring it there: dvc repro -f -s track@{run.recipe}"
        )
    registered.give_voice(models.store, model, voice.CODE, config, voice.interface(config))
    return models.register(model.model_id, _audit_tags(case))


def _switch(book: Book, models: Registered, action: str, promotion: Promotion) -> Promotion:
    """The only place that moves the alias."""
    begun = book.append(BEGUN, action, promotion)
    if promotion.previous is not None and models.tags(promotion.previous) is not None:
        models.set_alias(PREVIOUS, promotion.previous)
    models.set_alias(PRODUCTION, promotion.version)
    if (found := models.aliases().get(PRODUCTION)) != promotion.version:
        raise PromotionError(
            f"production of {promotion.name} was set to version {promotion.version} but reads {found}: somebody moved it at the "
            "same moment, without this command. See: voicelathe status"
        )
    models.set_tags(promotion.version, promotion_tag(promotion, begun))
    models.describe(promotion.version, _sentence(promotion))
    book.append(DONE, action, promotion)
    return promotion


def _before(entries: list[Entry], standing: Standing) -> Promotion:
    """The promotion that the current one replaced."""
    wanted = standing.current.previous if standing.current else None
    done = [one.promotion for one in entries if one.event == DONE and one.promotion.version == wanted]
    if wanted is None or not done:
        raise PromotionError(
            "There is no earlier version in production to go back to. See: voicelathe history"
        )
    return done[-1]


def _promotion(
    case: Case, name: str, version: str, previous: str | None, because: str | None, waived: list[str]
) -> Promotion:
    run, shown = case.files.run, case.shown
    return Promotion(
        name=name, version=version, previous=previous, recipe=run.recipe, run_digest=run.run_digest,
        candidate=shown.candidate.name, kind=shown.checkpoint.kind, path=shown.checkpoint.path,
        checkpoint_sha256=shown.checkpoint.sha256, base=run.identity.base, base_path=case.base.path,
        base_digest=run.identity.base_digest, licence=case.base.licence, speakers=case.speakers, by=_who(), at=_now(),
        because=because, waived=waived, inputs=case.inputs,
    )  # fmt: skip


def _audit_tags(case: Case) -> dict[str, str]:
    """What a version is; never changes afterwards."""
    run, shown = case.files.run, case.shown
    return {
        f"{TAG}recipe": run.recipe,
        f"{TAG}run_digest": run.run_digest,
        f"{TAG}candidate": shown.candidate.name,
        f"{TAG}checkpoint_sha256": shown.checkpoint.sha256,
        f"{TAG}base_digest": run.identity.base_digest,
        f"{TAG}licence": case.base.licence,
        f"{TAG}speakers": ", ".join(case.speakers),
    }


def promotion_tag(promotion: Promotion, begun: Entry) -> dict[str, str]:
    """Who put a version into production, why and on what evidence; one tag, so that it is whole or old."""
    about = {
        "by": promotion.by,
        "at": promotion.at,
        "from": promotion.previous,
        "because": promotion.because,
        "waived": promotion.waived,
        "evidence": promotion.inputs,
        "journal": begun.sha256,
    }
    return {f"{TAG}promotion": digest.canonical_json(about)}


def _sentence(promotion: Promotion) -> str:
    reason = promotion.because or "selected by validation"
    return f"{promotion.recipe} {promotion.candidate}: {reason} ({promotion.by}, {promotion.at})"


def _who() -> str:
    return getpass.getuser()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

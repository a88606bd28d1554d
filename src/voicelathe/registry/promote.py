"""Put a candidate into production, exactly once, whoever else tries and whatever kills the process.

Under the locks of the journal (this checkout) and of the registry (all checkouts and machines): look where the alias stands, compare
with what the caller expects, announce, move the alias, read it back, close. MLflow itself has no compare-and-swap: of two promoters
that read the same version both are told "success". The alias is set over its old value, so it is never absent.
"""

import datetime
import getpass
from dataclasses import replace
from enum import Enum
from pathlib import Path

from voicelathe import digest
from voicelathe.errors import PromotionError
from voicelathe.families import decoding
from voicelathe.records import Promotion
from voicelathe.redaction import redacted
from voicelathe.registry import gates, last_look, promoted, served
from voicelathe.registry.gates import Case
from voicelathe.registry.history import earlier, journal, reachable, refusals
from voicelathe.registry.history.journal import ABANDONED, BEGUN, DONE, Book, Entry, Standing
from voicelathe.registry.promoted import differs, judge
from voicelathe.registry.speaking import reference, tag
from voicelathe.tracking import mutex, registered
from voicelathe.tracking.registered import CANDIDATE, PREVIOUS, PRODUCTION, Registered
from voicelathe.tracking.runs import TAG
from voicelathe.tracking.store import connect, usable


class Expect(Enum):
    """No version can be named like this."""

    UNCHANGED = 0  # what is in production when the call begins


UNCHANGED = Expect.UNCHANGED
Expected = str | Expect | None  # None: nothing is in production yet


def promote(
    recipe: str,
    root: Path,
    because: str | None = None,
    candidate: str | None = None,
    expect: Expected = UNCHANGED,
    dry_run: bool = False,
    take_over: str | None = None,
) -> Promotion:
    """Register the selected candidate (or `candidate`) and point the alias `production` at it; `previous` at the old one.

    The alias `candidate` marks the version that was put forward last, whether it got into production or not.
    `expect`: the version the caller believes to be in production; another one is refused as stale.
    `take_over`: the version that the alias names without the journal; a reason for something else never replaces it.
    Promoting what is in production already changes nothing and returns its record; so does `dry_run`, after all gates.
    Raises PromotionError listing every gate that says no, TrackingError when MLflow does not answer.
    """
    because = redacted(because) if because else because
    if dry_run:
        return _asked(recipe, root, because, candidate)[1]
    with refusals.noted(root, "promote", f"{recipe} {candidate or ''}".strip(), because):
        chosen, before = gates.load_params(root), journal.read(root)
        case, asked = _asked(recipe, root, because, candidate)
        store = connect(chosen.tracking, root)
        models = Registered(store, asked.name)
        with usable(store.uri), journal.locked(root) as book, mutex.held(models):
            standing, taken_over = _settled(book, models, before, expect, take_over)
            last_look.require(case, root)
            if (
                standing.current
                and promoted.is_same(standing.current, case)
                and PRODUCTION in models.aliases()
                and not taken_over
            ):
                return standing.current
            version = _register(models, case)
            models.set_alias(CANDIDATE, version)
            promotion = replace(
                asked, version=version, previous=standing.version, at=_now(), waived=asked.waived + taken_over
            )
            return _switch(book, models, "promote", promotion)


def rollback(
    root: Path,
    because: str,
    expect: Expected = UNCHANGED,
    to: str | None = None,
    take_over: str | None = None,
) -> Promotion:
    """Point `production` back at the version before, or at `to`; that version's weights and consent are checked again.

    Raises PromotionError when there is none, it is another one in MLflow by now, or it may no longer speak.
    """
    with refusals.noted(root, "rollback", f"version {to}" if to else "the version before", because):
        chosen = gates.load_params(root)
        name = registered.name_of(chosen.tracking)
        before = journal.read(root)
        store = connect(chosen.tracking, root)
        models = Registered(store, name)
        with usable(store.uri), journal.locked(root) as book, mutex.held(models):
            standing, taken_over = _settled(book, models, before, expect, take_over)
            target = earlier.target(book.entries, name, models.all_tags(), store.shown, to)
            if problems := served.problems(root, target, in_production=False):
                raise PromotionError(
                    f"Version {target.version} of {name} must not speak: {'; '.join(problems)}. "
                    f"Nothing was changed: version {standing.version} stays in production. To go to another one: --to VERSION "
                    f"(voicelathe history); or put in its place what its recipe has now: voicelathe promote {target.recipe}"
                )
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


def _asked(recipe: str, root: Path, because: str | None, candidate: str | None) -> tuple[Case, Promotion]:
    """What the gates looked at, and the promotion they allow, without a version yet. Raises PromotionError with all objections."""
    chosen = gates.load_params(root)
    name = registered.name_of(chosen.tracking)
    case = gates.examine(recipe, root, chosen, candidate)
    waived = gates.require(case, because)
    current = journal.standing(journal.read(root), name).version
    return case, _promotion(case, name, "(dry run)", current, because, waived)


def _settled(
    book: Book, models: Registered, before: list[Entry], expect: Expected, take_over: str | None
) -> tuple[Standing, list[str]]:
    """Compare, then close what a killed promotion left open. Returns where the model stands and what was taken over.

    Raises PromotionError when somebody promoted meanwhile, or the alias names what the journal does not know and it is not taken over.
    """
    if behind := reachable.behind(book.root):
        raise PromotionError(behind)
    if expect is UNCHANGED and len(book.entries) != len(before):
        last = book.entries[-1].promotion
        raise PromotionError(
            f"stale: {last.by} promoted version {last.version} ({last.recipe} {last.candidate}) since this command began. "
            "Look at it (voicelathe status), then decide again."
        )
    standing = journal.standing(book.entries, models.name)
    alias = models.aliases().get(PRODUCTION)
    found = judge(models.name, alias, standing, models.all_tags(), models.store.shown)
    is_foreign = found.state in promoted.FOREIGN
    if is_foreign and take_over is None:
        raise PromotionError(str(found.problem))
    if take_over is not None and (not is_foreign or take_over != alias):
        raise PromotionError(
            f"--take-over {take_over}: production of {models.name} is version {alias}, {found.state}. There is "
            + (f"that to take over: --take-over {alias}" if is_foreign else "nothing to take over.")
        )
    if standing.pending is not None and not is_foreign:
        event = DONE if alias == standing.pending.promotion.version else ABANDONED
        book.append(event, standing.pending.action, standing.pending.promotion)
        standing = journal.standing(book.entries, models.name)
    if expect is not UNCHANGED and standing.version != expect:
        raise PromotionError(
            f"stale: expected {_version(expect)} of {models.name} in production, found {_version(standing.version)}. "
            "Look at it (voicelathe status), then decide again."
        )
    return standing, ["alias"] if is_foreign else []


def _version(version: object) -> str:
    return "nothing" if version is None else f"version {version}"


def _register(models: Registered, case: Case) -> str:
    """The version of the candidate; the same one again when it was registered before."""
    run, shown = case.files.run, case.shown
    config = served.configuration(case)
    model = registered.find_model(
        models.store,
        run.recipe,
        run.run_digest,
        shown.candidate.name,
        shown.checkpoint.sha256,
        served.identity(config),
    )
    if model is None:
        raise PromotionError(
            f"MLflow at {models.store.shown} does not know {shown.candidate.name} of run {run.run_digest[:16]}. "
            f"Bring it there: dvc repro -f -s track@{run.recipe}"
        )
    heard = {reference.FILE: case.heard.content} if case.heard else {}
    registered.give_voice(models.store, model, served.CODE, config, served.interface(config), heard)
    version = models.register(model.model_id, _audit_tags(case))
    models.set_tags(version, _audit_tags(case))  # of a version that was there: its tags may have been edited
    return version


def _switch(book: Book, models: Registered, action: str, promotion: Promotion) -> Promotion:
    """The only place that moves the alias, and only to a version that says of itself what the journal will say of it."""
    if wrong := differs(promotion, models.tags(promotion.version)):
        raise PromotionError(
            f"Version {promotion.version} of {promotion.name} in {models.store.shown} is not {promotion.recipe} {promotion.candidate}: {wrong}. "
            "Nothing was changed. See: voicelathe status"
        )
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


def _promotion(
    case: Case, name: str, version: str, previous: str | None, because: str | None, waived: list[str]
) -> Promotion:
    run, shown = case.files.run, case.shown
    return Promotion(
        name=name, version=version, previous=previous, recipe=run.recipe, run_digest=run.run_digest,
        candidate=shown.candidate.name, kind=shown.checkpoint.kind, path=shown.checkpoint.path,
        checkpoint_sha256=shown.checkpoint.sha256, base=run.identity.base, base_path=case.base.path,
        base_digest=run.identity.base_digest, licence=case.base.licence, speakers=case.speakers, by=_who(), at=_now(),
        because=because, waived=waived, inputs=case.inputs, decoding=case.files.selection.decoding,
        reference=case.heard.record if case.heard else None,
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
        f"{TAG}decoding": decoding.as_text(case.files.selection.decoding),
        **({f"{TAG}reference": case.heard.record.as_text} if case.heard else {}),
        **{f"{TAG}{name}": value for name, value in tag.of_lexicon(run.identity.lexicon).items()},
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
        "journal": begun.origin,
    }
    return {f"{TAG}promotion": digest.canonical_json(about)}


def _sentence(promotion: Promotion) -> str:
    reason = promotion.because or "selected by validation"
    return f"{promotion.recipe} {promotion.candidate}: {reason} ({promotion.by}, {promotion.at})"


def _who() -> str:
    return getpass.getuser()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

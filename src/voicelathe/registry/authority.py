"""May this voice still speak? Asked when it starts and again whenever the last answer is older than a minute, not only once.

Consent can be revoked, a licence corrected, an alias moved and a promotion rolled back while a server runs. Consent and licence are
files of the project and always decide. Where MLflow does not answer, its last answer stands, and `problem` says so.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicelathe import layout
from voicelathe.data import consent
from voicelathe.errors import BaseModelError, ConsentError, PromotionError, RequestError, TrackingError
from voicelathe.records import Promotion
from voicelathe.registry import based, gates, promoted
from voicelathe.tracking import registered

MAX_AGE_S = 60.0
Key = tuple[
    str, str, str
]  # what a promoted version is known by; two of them may have the same weights, or none of their own


@dataclass
class Authority:
    """What was answered last for one project, and when."""

    root: Path
    max_age_s: float = MAX_AGE_S
    problem: str = ""  # why the alias could not be asked
    refusal: str = ""  # why it was not believed, when it was asked last
    _standing: promoted.Status | None = None
    _promotions: list[Promotion] = field(default_factory=list)
    _refusals: dict[Key, list[str]] = field(default_factory=dict)  # why a version must not speak
    _registrations: dict[Key, registered.Registration] = field(
        default_factory=dict
    )  # of versions, which never change
    _asked_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def promotion_of(self, config: Mapping[str, Any]) -> Promotion:
        """The promotion a served configuration is. Raises PromotionError when there was none, or the alias was moved behind the journal."""
        with self._lock:
            self._refresh()
            promotion = promoted.promotion_of(self._promotions, config)
        if promotion is None:
            raise PromotionError(
                f"This version was registered and never promoted: no gate was asked, so it does not speak. Promote it: voicelathe promote "
                f"{config['recipe']}"
            )
        return promotion

    def find(self, version: str) -> Promotion:
        """A version that was in production. Raises RequestError with those there are."""
        with self._lock:
            self._refresh()
            promotions = self._promotions
        found = [one for one in promotions if one.version == version]
        if not found:
            known = ", ".join(sorted({one.version for one in promotions})) or "none"
            raise RequestError(f"version = {version!r} was never in production; there are: {known}.")
        return found[-1]

    def promotions(self) -> list[Promotion]:
        """Everything that ever was in production, the oldest first."""
        with self._lock:
            self._refresh()
            return list(self._promotions)

    def in_production(self) -> Promotion | None:
        """What the alias names now."""
        with self._lock:
            self._refresh()
            standing = self._standing
            return standing.promotion if standing and standing.alias else None

    @property
    def last_seen(self) -> str | None:
        """The version in production when it was asked last; asks nobody. None when there was none, or it was not believed."""
        return None if self.refusal or self._standing is None else self._standing.alias

    def require(self, promotion: Promotion) -> None:
        """Raises ConsentError when its speakers' consent or its base's licence does not allow it to speak now."""
        with self._lock:
            self._refresh()
            if (key := _key(promotion)) not in self._refusals:
                self._refusals[key] = self._asked(promotion)
            refusals = self._refusals[key]
        if refusals:
            raise ConsentError(f"Version {promotion.version} must not speak: {'; '.join(refusals)}")

    def registration(self, promotion: Promotion) -> registered.Registration:
        """What a version was registered with: its options, what each one is when nobody gives it, and its configuration.

        Asked once for every version. Raises PromotionError when MLflow has another version by its number, TrackingError without MLflow.
        """
        with self._lock:
            if (key := _key(promotion)) not in self._registrations:
                self._registrations[key] = promoted.registration(self.root, promotion)
            return self._registrations[key]

    def require_language(self, promotion: Promotion, language: str) -> None:
        """Raises ConsentError for a language that a speaker of this voice did not allow."""
        for speaker in promotion.speakers:
            allowed = consent.load(speaker, self.root / layout.CONSENT).languages
            if not {"*", language, language.split("-")[0]} & {*allowed}:
                raise ConsentError(
                    f"language = {language!r}: the consent of this voice's speaker covers {', '.join(allowed) or 'no language'}."
                )

    def _refresh(self) -> None:
        if self._asked_at is not None and time.monotonic() - self._asked_at < self.max_age_s:
            return
        self._refusals.clear()
        try:
            self._standing, self._promotions = promoted.look(self.root)
            self.problem = self.refusal = ""
        except PromotionError as problem:
            self.refusal = str(problem)
            raise
        except TrackingError as problem:
            if self._asked_at is None or self.refusal:
                raise  # what was refused is not believed because MLflow is silent now
            self.problem = str(problem)
        self._asked_at = time.monotonic()

    def _asked(self, promotion: Promotion) -> list[str]:
        found = promoted.consent_problems(self.root, promotion)
        try:
            base = based.find(gates.load_params(self.root), promotion.base, promotion.base_digest, self.root)
        except BaseModelError as problem:
            return [*found, str(problem)]
        if gates.forbids(base.licence):
            found.append(f"bases.{promotion.base}.licence = {base.licence!r} does not allow it")
        return found


def _key(promotion: Promotion) -> Key:
    return promotion.version, promotion.run_digest, promotion.candidate

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

MAX_AGE_S = 60.0


@dataclass
class Authority:
    """What was answered last for one project, and when."""

    root: Path
    max_age_s: float = MAX_AGE_S
    problem: str = ""  # why the alias could not be asked
    _standing: promoted.Status | None = None
    _promotions: list[Promotion] = field(default_factory=list)
    _refusals: dict[str, list[str]] = field(default_factory=dict)  # checkpoint -> why it must not speak
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

    def require(self, promotion: Promotion) -> None:
        """Raises ConsentError when its speakers' consent or its base's licence does not allow it to speak now."""
        with self._lock:
            self._refresh()
            if promotion.checkpoint_sha256 not in self._refusals:
                self._refusals[promotion.checkpoint_sha256] = self._asked(promotion)
            refusals = self._refusals[promotion.checkpoint_sha256]
        if refusals:
            raise ConsentError(f"Version {promotion.version} must not speak: {'; '.join(refusals)}")

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
            self.problem = ""
        except TrackingError as problem:
            if self._asked_at is None:
                raise
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

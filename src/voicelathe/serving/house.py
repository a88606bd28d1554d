"""Which voice answers now? The one that the alias `production` names at this moment, and any other promoted version of the same base.

A version of the same base, kind and adapter shape only swaps weights in the worker; another one is loaded in the place of the first.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicelathe.errors import PromotionError, RequestError, VoiceLatheError
from voicelathe.records import Promotion
from voicelathe.registry import gates
from voicelathe.registry.authority import Authority
from voicelathe.registry.desk import Health, Limits
from voicelathe.registry.voice import Voice, of_project
from voicelathe.tracking import registered, store


@dataclass
class House:
    """The voices of one project, of which one is loaded."""

    root: Path
    limits: Limits
    authority: Authority = field(init=False)
    _voice: Voice | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _problem: str = ""

    def __post_init__(self) -> None:
        self.authority = Authority(self.root)

    @property
    def name(self) -> str:
        """Of the registered model."""
        return registered.name_of(gates.load_params(self.root).tracking)

    def models(self) -> list[str]:
        """Names a client may give: the model itself, which is what is in production, and NAME:VERSION of every version that was."""
        versions = {one.version for one in self.authority.promotions()}
        return [self.name, *(f"{self.name}:{version}" for version in sorted(versions, key=int))]

    def wanted(self, model: str) -> Promotion:
        """The version a model name means now. Raises RequestError for an unknown one, PromotionError when nothing is in production."""
        name, _, version = model.partition(":")
        if name != self.name:
            raise RequestError(f"model = {model[:80]!r}: this server speaks {self.name!r}. See /v1/models.")
        if version:
            return self.authority.find(version)
        promotion = self.authority.in_production()
        if promotion is None:
            raise PromotionError("Nothing is in production. Promote: voicelathe promote RECIPE")
        return promotion

    def open(self, promotion: Promotion) -> tuple[Voice, Mapping[str, Any]]:
        """A voice that can speak as this version, and the option that makes it do so. Cost: seconds to minutes where the base changes."""
        with self._lock:
            voice = self._voice
            if voice is not None and voice.can_be(promotion):
                return voice, {"version": promotion.version}
            if voice is not None:  # two bases may not fit into one card
                voice.close()
                self._voice = None
            try:
                self._voice = self._load(promotion.version)
                self._problem = ""
            except VoiceLatheError as problem:
                self._problem = str(problem)
                raise
            return self._voice, {"version": promotion.version}

    def health(self) -> Health:
        """Whether the version in production could speak now."""
        voice = self._voice
        if voice is None:
            return Health(False, 0, 0, self._problem or "no voice is loaded yet")
        return voice.desk.health()

    def close(self) -> None:
        with self._lock:
            if self._voice is not None:
                self._voice.close()
            self._voice = None

    def _load(self, version: str) -> Voice:
        address = store.address(self.root)
        store.settle(gates.load_params(self.root).tracking, self.root)
        with store.usable(address), of_project(self.root):
            model = registered.load(address, f"models:/{self.name}/{version}")
        voice: Voice = model.unwrap_python_model().voice
        voice.authority, voice.desk.limits = self.authority, self.limits
        return voice

"""Which voice answers now? The one that the alias `production` names at this moment, and any other promoted version of the same base.

A version of the same base, kind and adapter shape only swaps weights in the worker; another one is loaded in the place of the first, when
the answers that were begun are given. Requests come in the order in which they were asked.
"""

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicelathe.errors import Abandoned, Busy, PromotionError, RequestError, VoiceLatheError
from voicelathe.records import Promotion
from voicelathe.registry import gates, served
from voicelathe.registry.authority import MAX_AGE_S, Authority
from voicelathe.registry.speaking.desk import Health, VoiceLimits
from voicelathe.registry.voice import Voice, of_project
from voicelathe.tracking import registered, store

CHANGE_S = 30.0  # what Retry-After says while another base is loaded


@dataclass
class House:
    """The voices of one project, of which one is loaded."""

    root: Path
    limits: VoiceLimits
    max_age_s: float = MAX_AGE_S  # then alias, consent and licence are asked again
    sign: Path | None = None  # the folder whose key signs whole WAVs
    authority: Authority = field(init=False)
    _voice: Voice | None = field(default=None, repr=False)
    _users: int = 0  # answers that are being given with it
    _queue: deque[object] = field(default_factory=deque, repr=False)  # who wants a voice, in order
    _turn: threading.Condition = field(default_factory=threading.Condition, repr=False)
    _problem: str = ""

    def __post_init__(self) -> None:
        self.authority = Authority(self.root, self.max_age_s)

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

    @contextmanager
    def lent(
        self, promotion: Promotion, gone: threading.Event | None = None
    ) -> Iterator[tuple[Voice, Mapping[str, Any]]]:
        """A voice that can speak as this version, and the option that makes it do so; it stays loaded until it is given back.

        Cost: seconds to minutes where the base changes. Raises Busy when too many wait for that, Abandoned for one that is `gone` before its
        turn (see `leave`), and what keeps the voice from being loaded.
        """
        self.authority.require(promotion)  # what must not speak puts nobody out
        voice = self._borrowed(promotion, gone or threading.Event())
        try:
            yield voice, {"version": promotion.version}
        finally:
            with self._turn:
                self._users -= 1
                self._turn.notify_all()

    def leave(self, gone: threading.Event) -> None:
        """Whoever waits under this event waits no longer. A voice that is being loaded is loaded to the end: the next one may want it."""
        gone.set()
        with self._turn:
            self._turn.notify_all()

    def health(self) -> Health:
        """Whether the voice that is loaded can speak now."""
        voice = self._voice
        if voice is None:
            return Health(False, len(self._queue), 0, self._problem or "a voice is being loaded")
        return voice.desk.health()

    def close(self) -> None:
        with self._turn:
            if self._voice is not None:
                self._voice.close()
            self._voice = None

    def _borrowed(self, promotion: Promotion, gone: threading.Event) -> Voice:
        """Wait for this request's turn. Only the first of the queue takes or changes the voice, the latter when nobody uses it."""
        me = object()
        with self._turn:
            if len(self._queue) >= self.limits.waiting:
                raise Busy(f"{len(self._queue)} requests wait for a voice to be loaded. Ask again.", CHANGE_S)
            self._queue.append(me)
        try:
            with self._turn:
                is_free = self._turn.wait_for(
                    lambda: gone.is_set() or self._is_turn(me, promotion), self.limits.answer_s
                )
            if gone.is_set():
                raise Abandoned("The request was given up by whoever asked.")
            if not is_free:
                raise Abandoned(f"The voice was not free after {self.limits.answer_s:g} s. Ask again.")
            if not self._fits(promotion):
                self._change(promotion)
            assert self._voice is not None
            with self._turn:
                self._users += 1
            return self._voice
        finally:
            with self._turn:
                self._queue.remove(me)
                self._turn.notify_all()

    def _is_turn(self, me: object, promotion: Promotion) -> bool:
        return self._queue[0] is me and (self._fits(promotion) or not self._users)

    def _fits(self, promotion: Promotion) -> bool:
        return self._voice is not None and self._voice.can_be(promotion)

    def _change(self, promotion: Promotion) -> None:
        """Raises PromotionError for what could not speak anyway, before the voice that can is put out."""
        if problems := served.problems(self.root, promotion):
            raise PromotionError(f"Version {promotion.version} must not speak: {'; '.join(problems)}")
        self.authority.registration(promotion)  # MLflow has this very version
        if self._voice is not None:  # two bases may not fit into one card
            self._voice.close()
            self._voice = None
        try:
            self._voice = self._load(promotion.version)
            self._problem = ""
        except VoiceLatheError as problem:
            self._problem = str(problem)
            raise

    def _load(self, version: str) -> Voice:
        address = store.address(self.root)
        store.settle(gates.load_params(self.root).tracking, self.root)
        with store.usable(address), of_project(self.root, self.sign):
            model = registered.load(address, f"models:/{self.name}/{version}")
        voice: Voice = model.unwrap_python_model().voice
        voice.authority, voice.desk.limits = self.authority, self.limits
        return voice

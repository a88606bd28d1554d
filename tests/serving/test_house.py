"""A server speaks what the alias names now: promotion, rollback and revoked consent are followed, and no answer changes its version midway."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from tests.factories import speaking as speakers
from tests.factories.served import AUTHORIZED, FEW, Served, running
from tests.registry.test_say import _Scratch, _Silent, configuration, desk_of
from voicelathe import digest
from voicelathe.errors import Abandoned, Busy, ConsentError, PromotionError, RequestError
from voicelathe.registry import promote
from voicelathe.registry.authority import MAX_AGE_S
from voicelathe.registry.speaking.desk import VoiceLimits
from voicelathe.registry.voice import Voice
from voicelathe.serving.house import House

RECIPE, RECHECK_S = speakers.RECIPE, 0.5
LONG = " ".join(f"This is sentence number {number} of a text that takes its time." for number in range(12))


def revoke(root: Path, day: str | None) -> None:
    record = digest.read_json(root / "consent/awb.json")
    digest.write_json(root / "consent/awb.json", {**record, "revoked_at": day})


def test_a_name_means_what_the_alias_names_when_the_answer_is_old(project: Path) -> None:
    promote.promote(RECIPE, project)
    now, lazy = House(project, VoiceLimits(), 0.0), House(project, VoiceLimits())
    assert now.wanted("voicelathe").version == lazy.wanted("voicelathe").version == "1"
    promote.promote(RECIPE, project, "warmer", "step_0000020")
    assert (now.wanted("voicelathe").version, lazy.wanted("voicelathe").version) == ("2", "1")
    assert now.models() == ["voicelathe", "voicelathe:1", "voicelathe:2"]
    assert now.wanted("voicelathe:1").candidate == "step_0000040@1"
    lazy.authority._asked_at -= MAX_AGE_S  # type: ignore[operator]
    assert lazy.wanted("voicelathe").version == "2"
    promote.rollback(project, "it sounded worse")
    assert now.wanted("voicelathe").version == "1"
    with pytest.raises(RequestError, match="was never in production"):
        now.wanted("voicelathe:7")


class _Well(_Silent):
    """A speaker that answers whoever asks whether it lives."""

    def ping(self, limit_s: float) -> None:
        pass


def with_a_voice(root: Path) -> House:
    """Version 1 is loaded, as far as a house can tell; version 2 is the untouched base, which wants another worker."""
    promote.promote(RECIPE, root)
    promote.promote(RECIPE, root, "to hear it", "base")
    house = House(root, VoiceLimits(), 0.0)
    house._voice = Voice(configuration(root), root, desk_of(_Well()), _Scratch(root), house.authority)
    assert not house._fits(house.wanted("voicelathe"))
    return house


def refused(house: House, error: type[Exception], message: str) -> None:
    """By `lent`, and the voice that is loaded stays loaded and well."""
    loaded = house._voice
    with pytest.raises(error, match=message), house.lent(house.wanted("voicelathe")):
        pytest.fail("it was lent")
    assert house._voice is loaded and house.health().is_well and house.health().problem == ""
    assert not house._queue and not house._users


def test_what_consent_forbids_puts_no_other_voice_out(project: Path) -> None:
    house = with_a_voice(project)
    revoke(project, "2026-06-01")
    refused(house, ConsentError, "Version 2 must not speak: .*revoked_at is 2026-06-01")


def test_damaged_files_put_no_other_voice_out(project: Path) -> None:
    house = with_a_voice(project)
    for path in (project / "data/bases" / runs.BASE).rglob("*.safetensors"):
        content = path.read_bytes()
        path.unlink()  # it may be linked to other tests' base
        path.write_bytes(content + b"x")
    refused(house, PromotionError, "Version 2 must not speak: .* is not the base that was pinned")


def test_a_version_that_mlflow_has_lost_puts_no_other_voice_out(project: Path) -> None:
    house = with_a_voice(project)
    promote.rollback(project, "it sounded worse")
    wanted = house.authority.find("2")
    stores.client(project).delete_model_version("voicelathe", "2")
    loaded = house._voice
    with pytest.raises(PromotionError, match="there is no version 2"), house.lent(wanted):
        pytest.fail("it was lent")
    assert house._voice is loaded and house.health().is_well


def test_who_leaves_the_queue_is_not_waited_for(promoted: Path) -> None:
    house, gone = House(promoted, VoiceLimits(answer_s=60.0)), threading.Event()
    first = object()
    house._queue.append(first)  # and it stays there

    def wait() -> None:
        with house.lent(house.wanted("voicelathe"), gone):
            pytest.fail("it was lent")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        while len(house._queue) < 2:
            time.sleep(0.01)
        house.leave(gone)
        with pytest.raises(Abandoned, match="given up by whoever asked"):
            waiting.result()
    assert [*house._queue] == [first]


def test_what_was_seen_last_of_the_alias_can_be_told_without_asking(promoted: Path) -> None:
    house = House(promoted, VoiceLimits(), 0.0)
    assert house.authority.last_seen is None
    house.wanted("voicelathe")
    assert (house.authority.last_seen, house.authority.refusal) == ("1", "")
    stores.client(promoted).delete_registered_model_alias("voicelathe", "production")
    with pytest.raises(PromotionError, match="has no alias production"):
        house.wanted("voicelathe:1")
    assert house.authority.last_seen is None and "has no alias production" in house.authority.refusal


def test_who_finds_too_many_waiting_for_another_base_is_told_to_come_again(promoted: Path) -> None:
    house = House(promoted, VoiceLimits(waiting=2))
    house._queue.extend([object(), object()])
    with (
        pytest.raises(Busy, match="2 requests wait for a voice to be loaded"),
        house.lent(house.wanted("voicelathe")),
    ):
        pytest.fail("it was lent")


# --- with a server that runs -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[Path]:
    """Version 1, the untouched base, is in production."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        yield speakers.project(tmp_path_factory.mktemp("speaking") / "project", empty_database.parent)


@pytest.fixture(scope="module")
def served(speaking: Path) -> Iterator[Served]:
    with running(speaking, "--recheck", str(RECHECK_S)) as found:
        yield found


def ask(served: Served, text: str = "The lamp is on the table.", model: str = "voicelathe") -> httpx.Response:
    return served.post(json={"model": model, "input": text, "response_format": "wav", **FEW})


def until(served: Served, is_so: Callable[[httpx.Response], bool]) -> httpx.Response:
    """The first answer that is as it should be; every one before must be whole or a proper refusal."""
    end = time.monotonic() + RECHECK_S + 120  # another base has to be loaded on a busy machine
    while not is_so(answer := ask(served)):
        assert answer.status_code in (200, 403, 429, 503) and time.monotonic() < end, answer.text
        time.sleep(0.1)
    return answer


def version(answer: httpx.Response) -> str | None:
    return answer.headers.get("x-voicelathe-version")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_running_server_follows_promotion_and_rollback_and_falls_silent_when_consent_is_revoked(
    served: Served,
) -> None:
    root = served.root
    first, base_worker = ask(served), served.worker().pid
    assert version(first) == "1"

    promote.promote(RECIPE, root, "warmer", "step_0000020")  # another kind: loaded anew
    second = until(served, lambda answer: version(answer) == "2")
    adapter_worker = served.worker().pid
    assert second.content != first.content and adapter_worker != base_worker

    promote.promote(RECIPE, root, "warmer still", "step_0000030")  # only its weights are others
    third = until(served, lambda answer: version(answer) == "3")
    assert third.content != second.content and served.worker().pid == adapter_worker

    promote.rollback(root, "it sounded worse")
    again = until(served, lambda answer: version(answer) == "2")
    assert again.content == second.content, "the version before, to the byte"

    record = (root / "consent/awb.json").read_bytes()
    revoke(root, "2026-06-01")
    silent = until(served, lambda answer: answer.status_code == 403)
    assert "revoked_at is 2026-06-01" in silent.json()["error"]["message"]
    (root / "consent/awb.json").write_bytes(record)  # the tag names its sha256
    assert until(served, lambda answer: answer.status_code == 200).content == second.content


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_answer_that_was_begun_ends_as_the_version_that_began_it(served: Served) -> None:
    """Two bases cannot be loaded at once: the next request waits for the answer, and does not cut it off."""
    whole = ask(served, LONG, "voicelathe:1").content
    begun, order = threading.Event(), []

    def slowly() -> bytes:
        body = {"model": "voicelathe:1", "input": LONG, "response_format": "wav", **FEW}
        address = f"{served.url}/v1/audio/speech"
        with httpx.stream("POST", address, json=body, headers=AUTHORIZED, timeout=240) as answer:
            parts = []
            for part in answer.iter_bytes():
                begun.set()
                parts.append(part)
        order.append("1")
        return b"".join(parts)

    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(slowly)
        begun.wait(240)
        other = ask(served)
        order.append(str(version(other)))
        assert long.result() == whole
    assert order == ["1", "2"] and other.status_code == 200
    assert len(served.workers()) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_client_that_leaves_before_its_base_is_loaded_is_noticed_and_nothing_is_loaded_for_it(
    served: Served,
) -> None:
    ask(served, model="voicelathe:1")
    worker = served.worker().pid
    address = f"{served.url}/v1/audio/speech"
    longer = " ".join(
        f"This is sentence number {number} of a text that takes its time." for number in range(60)
    )
    body = {"model": "voicelathe:1", "input": longer, "response_format": "wav", **FEW}
    with httpx.stream("POST", address, json=body, headers=AUTHORIZED, timeout=240) as answer:
        parts = answer.iter_bytes()
        next(parts)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(address, json={**body, "model": "voicelathe"}, headers=AUTHORIZED, timeout=0.5)
        assert served.post(json={**body, "input": "Go."}).status_code == 200, "who comes later has its turn"
        assert sum(map(len, parts))
    assert served.worker().pid == worker
    page = httpx.get(f"{served.url}/metrics", headers=AUTHORIZED, timeout=30).text
    assert 'voicelathe_requests_total{status="504"} 1.0' in page
    found = httpx.get(f"{served.url}/health", timeout=30).json()
    assert (found["production"], found["refused"], found["mlflow"]) == ("2", "", "ok")

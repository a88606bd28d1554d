"""A server speaks what the alias names now: promotion, rollback and revoked consent are followed, and no answer changes its version midway."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.factories import speaking as speakers
from tests.factories.served import AUTHORIZED, FEW, Served, running
from voicelathe import digest
from voicelathe.errors import Busy, ConsentError, RequestError
from voicelathe.registry import promote
from voicelathe.registry.authority import MAX_AGE_S
from voicelathe.registry.speaking.desk import Limits
from voicelathe.serving.house import House

RECIPE, RECHECK_S = speakers.RECIPE, 0.5
LONG = " ".join(f"This is sentence number {number} of a text that takes its time." for number in range(12))


def revoke(root: Path, day: str | None) -> None:
    record = digest.read_json(root / "consent/awb.json")
    digest.write_json(root / "consent/awb.json", {**record, "revoked_at": day})


def test_a_name_means_what_the_alias_names_when_the_answer_is_old(project: Path) -> None:
    promote.promote(RECIPE, project)
    now, lazy = House(project, Limits(), 0.0), House(project, Limits())
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


def test_a_version_that_must_not_speak_puts_no_other_one_out(promoted: Path) -> None:
    house = House(promoted, Limits(), 0.0)
    revoke(promoted, "2026-06-01")
    with (
        pytest.raises(ConsentError, match="revoked_at is 2026-06-01"),
        house.lent(house.wanted("voicelathe")),
    ):
        pytest.fail("it was lent")
    assert not house._queue and not house._users


def test_who_finds_too_many_waiting_for_another_base_is_told_to_come_again(promoted: Path) -> None:
    house = House(promoted, Limits(waiting=2))
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

    revoke(root, "2026-06-01")
    silent = until(served, lambda answer: answer.status_code == 403)
    assert "revoked_at is 2026-06-01" in silent.json()["error"]["message"]
    revoke(root, None)
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

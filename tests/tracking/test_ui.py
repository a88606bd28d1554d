"""`make ui`: on this machine only, nothing that runs code, and links that open where training runs are."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.factories import mlflow_stores as stores
from tests.factories import runs
from tests.factories.proxies import Proxy
from voicelathe.tracking import replay, ui
from voicelathe.tracking.pages import comparison

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]


def test_the_server_listens_on_loopback_only_and_answers_to_no_other_name(tmp_path: Path) -> None:
    command = ui.command("sqlite:////x/mlflow.db", tmp_path, 5001)
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert command[command.index("--allowed-hosts") + 1] == "127.0.0.1:5001,localhost:5001"


def test_nothing_that_runs_code_is_switched_on() -> None:
    environment = ui.environment()
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] == "false"
    assert environment["MLFLOW_ENABLE_ASSISTANT_SANDBOX"] == "true"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_with_a_server_of_your_own_only_links_are_printed(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui, "links", lambda origin, *_rest: {"runs": origin})
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://anna:hunter2@mlflow.example.org")
    assert ui.serve(runs.tracking(), root) == 0
    assert capsys.readouterr().out == "runs       https://mlflow.example.org\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tracked_project: Path) -> Iterator[dict[str, str]]:
    """`voicelathe ui` on two tracked runs; gives the links it prints."""
    root = stores.copy_tracked(tracked_project, tmp_path_factory.mktemp("ui") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        runs.finished(root, "mini-full")
        replay.mirror_all("mini-full", runs.tracking(), root)
    code = f"""
        from pathlib import Path
        from tests.factories import runs
        from voicelathe.tracking import ui
        ui.serve(runs.tracking(), Path({str(root)!r}), {stores.free_port()})
    """
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    links = {}
    for line in process.stdout:
        if "http" not in line:
            break
        name, _, link = line.rpartition(" ")
        links[name.strip()] = link.strip()
    yield links
    process.send_signal(signal.SIGTERM)
    process.wait(30)
    end = time.monotonic() + 10
    while ui.is_healthy(links["runs"].split("/#")[0]):
        assert time.monotonic() < end, "the server outlived the command"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright import sync_api

    if not CHROMIUM.exists():
        pytest.skip("needs chromium (Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()


def page(browser: Any, link: str) -> Any:
    """A page in a fresh browser, as a first-time visitor sees it, with the assistant's panel closed."""
    context = browser.new_context(viewport={"width": 1500, "height": 1400})
    context.add_init_script(
        "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
        "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
    )
    opened = context.new_page()
    opened.goto(link)
    return opened


@pytest.mark.campaign
@pytest.mark.browser
def test_the_links_open_the_machine_learning_view(served: dict[str, str], browser: Any) -> None:
    opened = page(browser, served["runs"])
    opened.get_by_text("2 matching runs").wait_for(timeout=30_000)
    assert opened.get_by_text("Prompts").count() == 0, "this is the view for chat agents"
    without = page(browser, served["runs"].partition("?")[0])
    without.get_by_text("2 matching runs").wait_for(timeout=30_000)
    assert without.get_by_text("Prompts").count() > 0, "the parameter makes no difference any more"


@pytest.mark.campaign
@pytest.mark.browser
def test_curves_of_both_runs_share_their_charts(served: dict[str, str], browser: Any) -> None:
    opened = page(browser, served["curves"])
    for title in ("speech/cer", "speech/likeness"):
        opened.get_by_text(title, exact=True).first.wait_for(timeout=30_000)
    legends = opened.get_by_text("(speech/likeness)")
    legends.first.wait_for(timeout=30_000)
    assert legends.count() == 2, "both recipes are drawn in one chart"
    headings = re.findall(r"^(\w+)\n\((\d+)\)$", opened.inner_text("body"), re.MULTILINE)
    assert headings[0][0] == "speech", "what was heard comes first"


CARDS = (  # titles of the comparison's charts, and how many points they have for two recipes
    *(("speech/cer", 14), ("speech/likeness", 14), ("speech/selected", 12), ("val/loss_total", 14)),
    *(("train_gradients/norm", 0), ("speech_selected/words vs. speech_selected/likeness", 2)),  # a line alone
)


def card(opened: Any, title: str) -> Any:
    """The chart of this title."""
    found = opened.get_by_test_id("experiment-view-compare-runs-card")
    return found.filter(has=opened.get_by_text(title, exact=True))


@pytest.mark.campaign
@pytest.mark.browser
def test_one_link_shows_what_decides_and_nothing_else(served: dict[str, str], browser: Any) -> None:
    opened = page(browser, served["compare"])
    for title, num_points in CARDS:
        shown = card(opened, title)
        shown.locator(".scatterlayer .trace").first.wait_for(timeout=60_000, state="attached")
        assert shown.is_visible() and shown.locator("path.point").count() == num_points, title
    lines = card(opened, "train_gradients/norm").locator("path.js-line")
    assert [line.get_attribute("d").count("L") > 10 for line in lines.all()][:2] == [True, True]
    assert opened.get_by_test_id("experiment-view-compare-runs-card").count() == len(CARDS), "noise"
    opened.get_by_text("train_speed").first.click()  # a folded section
    opened.get_by_text("train_speed/clips_per_s", exact=True).wait_for(timeout=30_000)


@pytest.mark.campaign
@pytest.mark.browser
def test_the_table_of_the_same_view_says_what_ships(served: dict[str, str], browser: Any) -> None:
    opened = page(browser, served["compare"].replace("&compareRunsMode=CHART", ""))
    opened.get_by_text("step_0000040").first.wait_for(timeout=30_000)
    heads = [one.inner_text() for one in opened.locator(".ag-header-cell").all()]
    wanted = [key.partition(".")[2].strip("`") for key in comparison.COLUMNS]
    assert [head for head in heads if head in wanted] == wanted
    assert not {"Source", "Models", "Dataset"} & set(heads)


@pytest.mark.campaign
@pytest.mark.browser
@pytest.mark.parametrize("prefix", ["", "/mlflow"])
def test_the_description_leads_there_under_any_path(
    served: dict[str, str], browser: Any, prefix: str
) -> None:
    origin, _, place = served["runs"].partition("/#")
    with Proxy(origin, prefix=prefix).running() as port:
        opened = page(browser, f"http://127.0.0.1:{port}{prefix}/#{place}")
        with opened.context.expect_page() as waiting:
            opened.get_by_text("compare them").click(timeout=60_000)
        opened = waiting.value
        opened.get_by_text(comparison.HEADING).wait_for(timeout=60_000)
        opened.get_by_text(comparison.NAME).first.wait_for(timeout=30_000)
        assert opened.url.startswith(f"http://127.0.0.1:{port}{prefix}/#/experiments/")


@pytest.mark.campaign
@pytest.mark.browser
def test_candidates_are_named_by_recipe_and_step(served: dict[str, str], browser: Any) -> None:
    opened = page(browser, served["candidates"])
    for name in ("mini-lora step 40", "mini-full step 40", "mini-lora base"):
        shown = opened.get_by_text(name, exact=True).first
        shown.wait_for(timeout=30_000)
        assert shown.is_visible(), name


@pytest.mark.campaign
@pytest.mark.browser
def test_a_sample_plays_on_the_runs_page(served: dict[str, str], browser: Any) -> None:
    opened = page(browser, served["runs"])
    opened.get_by_text("mini-lora-").first.click(timeout=30_000)
    opened.get_by_text("Artifacts").first.click(timeout=30_000)
    for name in ("samples", "step_0000040", "carrier-42.wav"):
        opened.get_by_text(name, exact=True).first.click(timeout=30_000)
    audio = opened.locator("audio")
    audio.wait_for(timeout=30_000, state="attached")
    opened.wait_for_timeout(2_000)
    assert audio.evaluate("one => one.duration") == pytest.approx(1.0, abs=0.05)
    assert audio.evaluate("one => one.play().then(() => !one.error)")


@pytest.mark.campaign
@pytest.mark.browser
def test_the_candidates_open_as_a_table(served: dict[str, str], browser: Any) -> None:
    opened = page(browser, served["runs"])
    opened.get_by_text("mini-lora-").first.click(timeout=30_000)
    opened.get_by_text("Artifacts").first.click(timeout=30_000)
    for name in ("tables", "candidates.json"):
        opened.get_by_text(name, exact=True).first.click(timeout=30_000)
    opened.get_by_text("View as table").wait_for(timeout=30_000)
    row = opened.get_by_text("step_0000040@1")
    row.wait_for(timeout=30_000)
    assert row.count() == 1, "one row a candidate"


@pytest.mark.campaign
@pytest.mark.browser
def test_the_runs_page_shows_the_data_it_was_trained_on(served: dict[str, str], browser: Any) -> None:
    for recipe, rows in (("mini-lora-", "20"), ("mini-full-", "20")):
        opened = page(browser, served["runs"])
        opened.get_by_text(recipe).first.click(timeout=30_000)
        opened.get_by_text("train (").first.click(timeout=30_000)
        opened.get_by_text("2 datasets used").wait_for(timeout=30_000)
        assert re.search(rf"num rows:\s*{rows}", opened.inner_text("body"))
        opened.get_by_text("recording_id", exact=True).wait_for(timeout=30_000)

"""Takes the pictures of the documentation from a finished project with headless Chromium.

Usage:  python docs/screenshots.py [NAME ...]     writes docs/images/NAME.png, all of them without a name

After `make repro` and a promotion of mini-full; needs Debian's chromium. Pictures have 256 colours, so that each stays below 200 kB.
"""

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
SAMPLE = "en-long-2-42.wav"
OUT, PORT, RECIPE = Path("docs/images"), 5417, "mini-full"
STEP = 30  # of the candidate that is looked at closely
LIMIT_BYTES, WAIT_MS, SETTLE_MS = 200_000, 60_000, 4_000
SEEN_BEFORE = (  # a first visitor's browser opens an assistant beside the charts, and the view for chat agents at every click
    "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
    "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
    "localStorage.setItem('mlflow.workflowType_v1', '\"machine_learning\"');"
)


def main(*names: str) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, served() as links:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, (take, link, size) in pictures(links).items():
            if names and name not in names:
                continue
            page = opened(browser, link, size)
            take(page)
            save(page, name)
            page.context.close()
        browser.close()


def pictures(links: dict[str, str]) -> dict[str, tuple[Callable[[Page], None], str, tuple[int, int]]]:
    """Name -> what is done on the page, its address, the size of the window."""
    report, sitting = (f"runs/{RECIPE}/{name}" for name in ("report.html", "listening.html"))
    return {
        "decision": (settled, local(report), (1200, 1500)),
        "report": (settled, local(report), (1200, 1500)),
        "data-report": (settled, local("data/audit/report.html"), (1200, 1500)),
        "listening": (listening, local(sitting), (1000, 1150)),
        "mlflow-view": (recipes, links["compare"], (1500, 1080)),
        "mlflow-table": (table, links["compare"].removesuffix("&compareRunsMode=CHART"), (1500, 480)),
        "mlflow-compare": (comparison, links["curves"], (1500, 1000)),
        "mlflow-checkpoints": (checkpoints, links["candidates"], (1900, 850)),
        "mlflow-checkpoint": (checkpoint, links["candidates"], (1500, 900)),
        "mlflow-audio": (audio, links["runs"], (1500, 800)),
        "mlflow-datasets": (datasets, links["runs"], (1500, 900)),
        "mlflow-registry": (registry, links["registry"], (1500, 900)),
    }


def local(path: str) -> str:
    return Path(path).absolute().as_uri()


@contextlib.contextmanager
def served() -> Iterator[dict[str, str]]:
    """`voicelathe ui`, and the links that it prints."""
    command = [sys.executable, "-m", "voicelathe.cli", "ui", "--port", str(PORT)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    links = {}
    for line in server.stdout:
        if "http" not in line:
            break
        name, _, link = line.rpartition(" ")
        links[name.strip()] = link.strip()
    try:
        yield links
    finally:
        server.terminate()
        server.wait(60)


def opened(browser: Any, link: str, size: tuple[int, int]) -> Page:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.add_init_script(SEEN_BEFORE)
    context.set_default_timeout(WAIT_MS)
    page: Page = context.new_page()
    page.goto(link)
    return page


def save(page: Page, name: str) -> None:
    shot = page.locator(".picture").screenshot() if name == "decision" else page.screenshot()
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    path = OUT / f"{name}.png"
    picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    size = path.stat().st_size
    print(f"{path} {size / 1000:.0f} kB" + (": too large" if size > LIMIT_BYTES else ""))


def settled(page: Page) -> None:
    page.wait_for_timeout(SETTLE_MS)


def listening(page: Page) -> None:
    """The first screen of a sitting, one sample played."""
    page.get_by_label("Your name or initials").fill("ab")
    page.get_by_role("button", name="Start").click()
    page.wait_for_timeout(1500)
    page.keyboard.press("3")
    page.wait_for_timeout(2500)


def recipes(page: Page) -> None:
    """The saved view: words, likeness and what ships."""
    page.get_by_text("train_gradients/norm", exact=True).first.wait_for()
    settled(page)


def table(page: Page) -> None:
    """The same view as a table of runs."""
    page.get_by_text("speech_selected/cer").first.wait_for()
    settled(page)


def comparison(page: Page) -> None:
    """What was heard of every checkpoint of all recipes, one chart each."""
    page.get_by_text("speech/likeness", exact=True).first.wait_for()
    settled(page)


def checkpoints(page: Page) -> None:
    """Every candidate of every recipe with its validation losses."""
    page.get_by_text("val/loss_total", exact=True).first.wait_for()
    settled(page)


def checkpoint(page: Page) -> None:
    """One candidate: losses, speech and probes, on which data, from which weights."""
    page.get_by_text(f"{RECIPE} step {STEP}", exact=True).first.click()
    page.get_by_text("About this logged model").wait_for()
    settled(page)


def audio(page: Page) -> None:
    """A sample of a checkpoint, as MLflow plays it."""
    at_run(page)
    page.get_by_text("Artifacts").first.click()
    for name in ("samples", f"step_{STEP:07d}", SAMPLE):
        page.get_by_text(name, exact=True).first.click()
    page.locator("audio").wait_for(state="attached")
    settled(page)
    page.get_by_text("Path:").evaluate_all("all => all.forEach(one => one.remove())")  # of this machine


def datasets(page: Page) -> None:
    """What a run was trained and validated on."""
    at_run(page)
    page.get_by_text("train (").first.click()
    settled(page)


def registry(page: Page) -> None:
    """The version in production: who put it there, why, and what it is."""
    page.get_by_text("Version 1").first.click()
    page.get_by_text("Source Model", exact=True).wait_for()
    settled(page)


def at_run(page: Page) -> None:
    page.get_by_text(f"{RECIPE}-").first.click()
    page.get_by_text("About this run").wait_for()


if __name__ == "__main__":
    main(*sys.argv[1:])

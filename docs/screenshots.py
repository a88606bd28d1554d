"""Takes the pictures of the documentation from a finished project with headless Chromium.

Usage:  python docs/screenshots.py      after `make repro`; needs Debian's chromium; writes docs/images/*.png
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
OUT, PORT, RECIPE = Path("docs/images"), 5417, "mini-full"
QUIET = (  # a first visitor's browser opens an assistant beside the charts
    "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
    "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
)


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    server = subprocess.Popen(
        [sys.executable, "-m", "voicelathe.cli", "ui", "--port", str(PORT)], stdout=subprocess.PIPE, text=True
    )
    try:
        links = printed_links(server)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            listening(browser)
            saved(
                browser,
                Path(f"runs/{RECIPE}/report.html").absolute().as_uri(),
                "report.png",
                (1200, 1500),
                500,
            )
            saved(
                browser,
                Path("data/audit/report.html").absolute().as_uri(),
                "data-report.png",
                (1200, 1500),
                500,
            )
            for name, file in (
                ("curves", "mlflow-compare.png"),
                ("candidates", "mlflow-checkpoints.png"),
                ("registry", "mlflow-registry.png"),
            ):
                saved(browser, links[name], file, (1500, 1000), 9000)
            browser.close()
    finally:
        server.terminate()
        server.wait(60)


def printed_links(server: "subprocess.Popen[str]") -> dict[str, str]:
    assert server.stdout is not None
    links = {}
    for line in server.stdout:
        if "http" not in line:
            break
        name, _, link = line.rpartition(" ")
        links[name.strip()] = link.strip()
    return links


def saved(browser: Any, link: str, file: str, size: tuple[int, int], patience_ms: int) -> None:
    page = opened(browser, link, size)
    page.wait_for_timeout(patience_ms)
    if file == "mlflow-compare.png":
        page.get_by_placeholder("Search metric charts").fill("loss")
        page.wait_for_timeout(patience_ms)
    page.screenshot(path=str(OUT / file))
    page.context.close()


def opened(browser: Any, link: str, size: tuple[int, int]) -> Page:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.add_init_script(QUIET)
    page: Page = context.new_page()
    page.goto(link)
    return page


def listening(browser: Any) -> None:
    """The first screen of a sitting, one sample played."""
    page = opened(browser, Path(f"runs/{RECIPE}/listening.html").absolute().as_uri(), (1000, 1150))
    page.get_by_label("Your name or initials").fill("ab")
    page.get_by_role("button", name="Start").click()
    page.wait_for_timeout(1500)
    page.keyboard.press("3")
    page.wait_for_timeout(2500)
    page.screenshot(path=str(OUT / "listening.png"))
    page.context.close()


if __name__ == "__main__":
    main()

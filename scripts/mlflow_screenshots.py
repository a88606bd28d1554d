"""Pictures of MLflow for the docs, from the project's own store: `python scripts/mlflow_screenshots.py [docs/images]`.

Needs what `make repro` leaves, and Chromium (Debian: chromium). Starts `voicelathe ui` on a free port and ends it.
"""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
]
CLOSE_ASSISTANT = (
    "localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true');"
    "localStorage.setItem('mlflow.assistant.panelOpen_v1', 'false');"
)
SETTLE_MS = 6_000  # charts are drawn after the page has loaded


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    out.mkdir(parents=True, exist_ok=True)
    process, links = serve()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            for name, link in links.items():
                take(browser, link, out / f"mlflow-{name}.png")
            take(browser, links["runs"], out / "mlflow-sample.png", open_sample)
    finally:
        process.terminate()
        process.wait(30)


def serve() -> tuple["subprocess.Popen[str]", dict[str, str]]:
    """The running command and the links it prints."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"""
from pathlib import Path
from voicelathe import params
from voicelathe.tracking import ui
ui.serve(params.load().tracking, Path.cwd(), {port})
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    links = {}
    for line in process.stdout:
        if "http" not in line:
            return process, links
        name, _, link = line.rpartition(" ")
        links[name.strip()] = link.strip()
    sys.exit(process.wait())


def take(browser: Any, link: str, path: Path, act: Any = None) -> None:
    context = browser.new_context(viewport={"width": 1500, "height": 1100})
    context.add_init_script(CLOSE_ASSISTANT)
    page = context.new_page()
    page.goto(link)
    page.wait_for_timeout(SETTLE_MS)
    if act is not None:
        act(page)
        page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=path)
    context.close()
    print(path)


def open_sample(page: Any) -> None:
    """The first sample of the newest run."""
    run = page.locator("a[href*='/runs/']").first.get_attribute("href")
    origin = page.url.partition("#")[0].rstrip("/")
    page.goto(f"{origin}/#{run.partition('#')[2]}/artifacts?workflowType=machine_learning")
    page.get_by_text("samples", exact=True).first.click()
    page.get_by_text("base", exact=True).first.click()
    page.locator("text=/\\.wav$/").first.click()


if __name__ == "__main__":
    main()

"""A headless Chromium of the system for tests of HTML pages, and what is wrong with a page that it shows."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
SERIOUS = ("serious", "critical")


@contextmanager
def browser() -> Iterator[Any]:
    """Playwright's browser; skips where there is no Chromium, or no Playwright."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser of the names {', '.join(NAMES)}: `apt-get install chromium` brings one")
    with sync.sync_playwright() as playwright:
        # Containers have no user namespaces for its sandbox, and the page is ours.
        chromium = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@contextmanager
def opened(chromium: Any, file: Path, width: int = 1280, scheme: str = "light") -> Iterator[tuple[Any, list[str]]]:
    """The page in a window of that width, px, and the errors of its console so far."""
    errors: list[str] = []
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    yield page, errors
    page.close()


def axe(folder: Path) -> str:
    """The source of axe-core: that of `QDET_AXE`, else npm's; skips where there is neither."""
    if (own := os.environ.get("QDET_AXE")) is not None:
        return Path(own).read_text(encoding="utf-8")
    if shutil.which("npm") is None:
        pytest.skip("neither QDET_AXE (a file axe.min.js) nor npm")
    command = ["npm", "install", "--silent", "--no-audit", "--prefix", str(folder), "axe-core"]
    if subprocess.run(command, capture_output=True, timeout=120, check=False).returncode:
        pytest.skip("npm cannot get axe-core")
    return (folder / "node_modules/axe-core/axe.min.js").read_text(encoding="utf-8")


def serious_faults(page: Any, source: str) -> list[str]:
    """What axe-core finds serious or critical, with all details open."""
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    page.evaluate(source)
    found = page.evaluate("axe.run()")["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in SERIOUS]

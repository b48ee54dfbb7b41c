"""The report in a browser: no error, nothing out of reach of the keyboard, no fault of accessibility."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import axe, browser, opened, serious_faults
from test_report import claiming
from test_report_facts import FACTS

from bench.plan.jobs import plan
from bench.records.files import write_json
from bench.records.store import Store
from bench.report.html.page import render
from bench.report.make import cost_file, keep_json
from bench.report.sections import find_sections
from bench.schema.load import load_all

PROJECT = Path(__file__).parents[1]
WIDTHS = (390, 1280, 2560)
MOST_S = 2.0
MOST_TABS = 400


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it, small."""
    root = tmp_path_factory.mktemp("report")
    suite = claiming(root, [1.0, 1.4, 1.2, 1.1])
    training = {"steps": 100, "first_loss": 2.0, "last_loss": 1.0, "curve": [2.0, 1.5, 1.2, 1.0]}
    for job in plan(suite, "mini"):
        path = Store(root).folder(job.identity).record_file
        changed = json.loads(path.read_text(encoding="utf-8"))
        changed |= {"facts": FACTS, "training": training, "harmony": {"positives": 9.0, "gap_share": 0.3}}
        changed["evaluations"] = [{"step": 50, "metrics": {"AP": 0.25}}]
        write_json(path, changed)
    sizes = {"fp": 4000, "fp-ft": 4000, "lsq": 500}
    rows = [{"id": row, "bytes": size, "bops": 1000 * size} for row, size in sizes.items()]
    keep_json(cost_file(suite, "mini"), {"rows": rows})
    path = root / "report.html"
    path.write_text(render(find_sections([suite], ["local"]), "qdet-bench report", None), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


def test_a_reader_clicks_through(chromium: Any, file: Path) -> None:
    with opened(chromium, file) as (page, errors):
        number = page.locator("table.sortable td a").first
        runs = page.locator(number.get_attribute("href"))
        assert not runs.is_visible()
        number.click()
        assert runs.is_visible()

        runs.locator("button.raw").first.click()
        page.locator("dialog[open]").wait_for()
        record = json.loads(page.locator("dialog pre").text_content())
        assert record["identity"].startswith(runs.locator("button.raw code").first.text_content())
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()

        table = page.locator(".suite table.sortable").first
        heading = table.get_by_role("button", name="AP", exact=True)
        cells = table.locator("tbody td:nth-child(3)")
        heading.click()
        numbers = [float(text.split()[0]) for text in cells.all_text_contents() if text]
        assert numbers == sorted(numbers)
        heading.click()
        assert [float(text.split()[0]) for text in cells.all_text_contents() if text] == numbers[::-1]

        page.fill("#filter", "lsq beats")
        assert page.locator(".suite tr[data-find]:visible").count() == 1
        page.fill("#filter", "")
        page.click("#theme")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert not errors


def test_the_keyboard_reaches_everything(chromium: Any, file: Path) -> None:
    script = """() => {
      window.wanted = new Set([...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']")]
        .filter((one) => one.checkVisibility() && !one.closest("dialog")));
      document.addEventListener("focusin", (event) => window.wanted.delete(event.target));
    }"""
    with opened(chromium, file) as (page, errors):
        page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        page.evaluate(script)
        for _ in range(MOST_TABS):
            page.keyboard.press("Tab")
            if not page.evaluate("window.wanted.size"):
                break
        left = page.evaluate("[...window.wanted].map((one) => one.outerHTML.slice(0, 100))")
        assert left == []
        assert not errors


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_setting_shows_a_fault(chromium: Any, file: Path, tmp_path: Path, width: int, scheme: str) -> None:
    with opened(chromium, file, width, scheme) as (page, errors):
        assert not errors
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
        assert serious_faults(page, axe(tmp_path)) == []


def processor_s(chromium: Any, file: Path, width: int) -> float:
    """Seconds of a processor that the page's own thread needs until it is loaded, whatever else the machine does."""
    page = chromium.new_page(viewport={"width": width, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(file.as_uri())
    metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    page.close()
    return float(metrics["TaskDuration"])


def elapsed_s(chromium: Any, file: Path, width: int) -> float:
    """Seconds by the clock until the page has drawn itself: the least of five, as other work only adds to it."""
    frames = "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(performance.now()))))"
    found = []
    for _ in range(5):
        page = chromium.new_page(viewport={"width": width, "height": 900})
        page.goto(file.as_uri())
        found.append(page.evaluate(frames) / 1000)
        page.close()
    return min(found)


@pytest.mark.long
@pytest.mark.parametrize("width", WIDTHS)
def test_the_committed_records_open_at_once(chromium: Any, tmp_path: Path, width: int) -> None:
    file = tmp_path / "report.html"
    suites, _ = load_all(PROJECT)
    file.write_text(render(find_sections(suites, ["committed"]), "qdet-bench report", None), encoding="utf-8")
    assert processor_s(chromium, file, width) <= MOST_S
    assert elapsed_s(chromium, file, width) <= MOST_S
    with opened(chromium, file, width) as (page, errors):
        links = "[...document.querySelectorAll('a[href]')].map((link) => link.getAttribute('href'))"
        broken = page.evaluate(f"{links}.filter((link) => !document.getElementById(link.slice(1)))")
        assert broken == []
        overview = "document.querySelector('#overview .scroll')"
        assert page.evaluate(f"{overview}.scrollWidth <= {overview}.clientWidth"), "the overview is cut off"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, "it scrolls sideways"
        assert not errors

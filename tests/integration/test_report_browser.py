"""The report in a real browser: it renders, filters, keeps hostile text text, and fits a phone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page

from tests.measuring import Corpus
from tests.publishing import latest_of
from tests.reporting import (
    CHROMIUM,
    HOSTILE,
    expected_kinds,
    newest_report,
    reported_corpus,
    run_report,
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: make test-tools")

SHOWN = "[...document.querySelectorAll('article')].filter(e => e.checkVisibility())"
# The least contrast of any text with what is behind it, and that text.
CONTRAST = """() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const over = (top, under) => {
    const alpha = top.length > 3 ? top[3] : 1;
    return [0, 1, 2].map(n => top[n] * alpha + under[n] * (1 - alpha));
  };
  const luminance = rgb => rgb.map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = element => {
    if (!element) return [255, 255, 255];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own.length > 3 && own[3] === 0 ? behind(element.parentElement)
      : over(own, behind(element.parentElement));
  };
  let least = [99, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("title, script, style")) continue;
    const style = getComputedStyle(element);
    const ink = element.closest("svg") ? style.fill : style.color;
    const ground = behind(element);
    const [a, b] = [luminance(over(parse(ink), ground)), luminance(ground)];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least[0]) least = [ratio, walker.currentNode.data.slice(0, 60)];
  }
  return least;
}"""


@dataclass
class Opened:
    """A report in a browser.

    Attributes:
        page: where it is open.
        said: every message of the console and every error.
        asked: every address that was asked for, beside the report itself.
    """

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def visible(self) -> set[str]:
        """The places of the pairs that can be seen."""
        return set(self.page.evaluate(f"{SHOWN}.map(e => e.dataset.place)"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = reported_corpus(tmp_path_factory.mktemp("report"))
    publisher = str(latest_of(made.output)["published_by"])
    assert run_report(made.output.uri, "--run", publisher).exit_code == 0
    return made


@pytest.fixture
def report(corpus: Corpus, browser: Browser) -> Iterator[Opened]:
    with_script = _open(corpus, browser)
    yield with_script
    with_script.page.context.close()
    assert with_script.said == []
    assert with_script.asked == []


def test_every_filter_shows_exactly_its_rows(corpus: Corpus, report: Opened) -> None:
    expected, page = expected_kinds(corpus), report.page
    assert report.visible() == set(expected)
    kinds = set().union(*expected.values())
    assert kinds == {"gold", "flips", "low", "tie", "abstained", "quarantined", "labeled"}
    for kind in sorted(kinds):
        places = {place for place, of in expected.items() if kind in of}
        chip = page.locator("#filters label", has=page.locator(f"input[value={kind}]"))
        assert chip.locator("b").inner_text() == str(len(places))
        chip.click()
        assert report.visible() == places
        assert page.locator("#shown").inner_text() == f"{len(places)} of {len(expected)} shown"
    page.locator("#filters label", has_text="All").click()
    assert report.visible() == set(expected)


def test_filters_work_by_keyboard(corpus: Corpus, report: Opened) -> None:
    expected, page = expected_kinds(corpus), report.page
    page.locator("#filters input:checked").focus()
    page.keyboard.press("ArrowRight")
    assert report.visible() == {place for place, of in expected.items() if "gold" in of}
    page.keyboard.press("ArrowLeft")
    assert report.visible() == set(expected)


def test_a_script_in_a_response_stays_text(report: Opened) -> None:
    page = report.page
    assert page.evaluate("window.owned") is None
    assert page.evaluate("document.scripts.length") == 1
    assert page.evaluate("document.querySelectorAll('img:not([src^=\"data:\"])').length") == 0
    shown = HOSTILE.replace("\u202e", "\N{REPLACEMENT CHARACTER}")
    shown = shown.replace("\x07", "\N{REPLACEMENT CHARACTER}")
    hostile = page.locator("article[data-place$=' row 3']")
    assert hostile.count() == 2
    for article in hostile.all():
        article.locator("details").evaluate_all("all => all.forEach(e => { e.open = true; })")
        texts = article.locator("bdi").all_inner_texts()
        # Prompt, response, its model, the rationale, and the same of both votes.
        assert texts.count(shown) == 6
        assert shown in article.locator(".facts").inner_text()  # source
        assert article.locator(".no-picture").count() == 2
        assert article.locator(".side img").count() == 1  # the other response's picture


def test_a_phone_needs_no_scrolling_to_the_side(corpus: Corpus, browser: Browser) -> None:
    opened = _open(corpus, browser, viewport={"width": 390, "height": 844})
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    wide = "[...document.querySelectorAll('.stacked')].filter(e => e.scrollWidth > 390 - 16).length"
    assert page.locator("table.stacked").count() == 2
    assert page.evaluate(wide) == 0
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read(corpus: Corpus, browser: Browser, scheme: str) -> None:
    opened = _open(corpus, browser, color_scheme=scheme)
    page = opened.page
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    page.evaluate("document.querySelectorAll('details').forEach(e => { e.open = true; })")
    ratio, text = page.evaluate(CONTRAST)
    assert ratio >= 4.5, text
    page.context.close()


def test_without_scripts_everything_is_shown(corpus: Corpus, browser: Browser) -> None:
    opened = _open(corpus, browser, java_script_enabled=False)
    places = opened.page.locator("article").evaluate_all("all => all.map(e => e.dataset.place)")
    assert set(places) == set(expected_kinds(corpus))
    assert all(article.is_visible() for article in opened.page.locator("article").all())
    assert not opened.page.locator("#filters").is_visible()
    opened.page.context.close()


def test_pairs_are_folded_and_lead_to_the_review(corpus: Corpus, report: Opened) -> None:
    page = report.page
    assert page.evaluate("document.documentElement.scrollHeight") <= 6_000
    assert page.locator("article").count() == len(expected_kinds(corpus))
    first = page.locator("article").first
    first.locator("summary").first.click()
    address = first.get_by_role("link").get_attribute("href")
    place = str(first.get_attribute("data-place"))
    shard, _, row = place.rpartition(", row ")
    query = urlencode({"shard": shard, "row": row})
    assert address == f"http://127.0.0.1:8765/pair?{query}"


def test_figures_and_tables_say_what_they_are(report: Opened) -> None:
    page = report.page
    charts = page.locator("figure svg")
    assert charts.count() >= 7
    assert all(chart.get_attribute("aria-label") for chart in charts.all())
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("img:not([alt])").count() == 0
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(e => +e.tagName[1])")
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def _open(corpus: Corpus, browser: Browser, **how: Any) -> Opened:
    path, _ = newest_report(corpus.output)
    page = browser.new_context(**how).new_page()
    opened = Opened(page)
    page.on("console", lambda message: opened.said.append(message.text))
    page.on("pageerror", lambda error: opened.said.append(str(error)))
    page.on("request", lambda request: opened.asked.append(request.url))
    page.goto(path.as_uri())
    opened.asked = [url for url in opened.asked if not url.startswith(("data:", path.as_uri()))]
    return opened

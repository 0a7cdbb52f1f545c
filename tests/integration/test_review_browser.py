"""`pairmill review` in a real browser: browsing, and two people who answer by keyboard alone."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize

from jobs import review
from pipeline.gold.answers import read_answers, revisions
from pipeline.gold.gold_sets import create_set
from pipeline.review.annotation import shown_order
from pipeline.store.object_store import Store
from schemas.gold import Draw, DrawnPair, GoldSet
from tests.measuring import Corpus
from tests.publishing import live_rows, run_on
from tests.reporting import CHROMIUM, HOSTILE, reported_corpus
from tests.reviewing import SECRET, Server, Visit

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is missing: make test-tools")

TOKEN = quote(SECRET)
NOW = "2026-11-29T12:00:00+00:00"
PHONE: ViewportSize = {"width": 390, "height": 800}
GUIDELINE = "# Which answer is better?\n\n*True* first. <script>window.owned = 1</script>"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    made = reported_corpus(tmp_path_factory.mktemp("review"))
    rows = [row for row in live_rows(made.output) if row["pair_hash"]]
    pairs = tuple(
        DrawnPair(pair_hash=r["pair_hash"], pair_id=r["pair_id"], shard=r["shard"], row=r["row"])
        for r in rows
    )
    draw = Draw(drawn_at=NOW, drawn_by="run", how="imported", pairs=pairs)
    about = {"created_at": NOW, "created_by": "run", "guideline": GUIDELINE, "draws": (draw,)}
    for name in ("keys", "tabs"):
        create_set(made.output, GoldSet(name=name, twice=1.0, **about))  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="module")
def server(corpus: Corpus) -> Iterator[Server]:
    started = Server.start(corpus.output.uri)
    yield started
    started.kill()


def rows_shown(page: Page) -> list[str]:
    return page.locator("table.rows td:last-child").all_inner_texts()


def test_filters_combine_and_stand_in_the_address(
    corpus: Corpus, server: Server, browser: Browser
) -> None:
    visit = Visit.open(browser, server.address)
    page = visit.page
    labels = [*live_rows(corpus.output), *live_rows(corpus.output, "quarantine")]
    assert page.locator("h1").inner_text() == f"{len(labels)} rows"
    assert "token" not in page.url
    for name, chosen in (("^abstained", "status=abstained"), ("^flips", "orders=flips")):
        page.get_by_role("checkbox", name=re.compile(name)).click()
        page.wait_for_url(f"**{chosen}**")
    expected = sorted(
        (row["shard"], row["row"])
        for row in labels
        if row["status"] == "abstained" and row["position_consistent"] is False
    )
    assert rows_shown(page) == [f"{shard}:{row}" for shard, row in expected]
    assert "status=abstained" in page.url
    assert "orders=flips" in page.url
    page.keyboard.press("ArrowDown")  # the keyboard goes from row to row, and in
    page.keyboard.press("Enter")
    page.wait_for_url("**/pair?**")
    places = [page.locator("article > header .soft").inner_text()]
    while (following := page.locator("a[rel=next]")).count():
        address = following.get_attribute("href")
        page.keyboard.press("j")
        page.wait_for_url(f"**{address}")
        places.append(page.locator("article > header .soft").inner_text())
    assert [place.split(" · ")[0] for place in places] == [f"{s}, row {r}" for s, r in expected]
    page.keyboard.press("u")
    page.wait_for_selector("table.rows")
    assert rows_shown(page) == [f"{shard}:{row}" for shard, row in expected]
    visit.close()


def test_a_hostile_pair_is_shown_as_text_and_its_picture_opens(
    corpus: Corpus, server: Server, browser: Browser
) -> None:
    visit = Visit.open(browser, server.address)
    page = visit.page
    page.goto(f"{server.root}/pair?shard=one.parquet&row=4")
    with page.expect_response(re.compile("size=large")) as answer:
        page.locator("a[data-zoom]").first.click()
    assert answer.value.headers["content-type"] == "image/webp"
    page.wait_for_function("document.querySelector('#zoom img').naturalWidth > 0")
    page.keyboard.press("Escape")
    page.goto(f"{server.root}/pair?shard=one.parquet&row=3")
    assert HOSTILE[:40] in page.locator(".turn").first.inner_text()
    assert page.evaluate("window.owned") is None
    page.goto(f"{server.root}/search?text=zzz-nothing")
    assert "0 hits so far" in page.locator(".searched").last.inner_text()
    visit.close(refused=422)  # its pictures, one of which is a path elsewhere


@pytest.mark.parametrize("path", ["/", "/pair?shard=one.parquet&row=4", "/search?text=word",
                                  "/sets", "/set?name=keys"])  # fmt: skip
def test_pages_keep_nobody_out(server: Server, browser: Browser, path: str) -> None:
    visit = Visit.open(browser, server.address, color_scheme="light", bypass_csp=True)
    visit.page.goto(server.root + path)
    assert serious(visit.page) == []
    visit.page.emulate_media(color_scheme="dark")
    assert serious(visit.page) == []
    visit.page.set_viewport_size(PHONE)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    visit.close()


def serious(page: Page) -> list[tuple[str, str]]:
    """What keeps people out of a page: each rule, and the first element that breaks it."""
    return [
        (each["id"], each["nodes"][0]["html"])
        for each in Axe().run(page).response["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def invited(browser: Browser, server: Server, name: str, who: str) -> str:
    """The link that the owner gives to an annotator."""
    visit = Visit.open(browser, server.address)
    visit.page.goto(f"{server.root}/set?name={name}&invite={who}")
    link = visit.page.get_by_role("link", name=f"annotate as {who}").get_attribute("href")
    visit.close()
    assert link is not None
    return link


def answer_by_key(page: Page, key: str) -> str:
    """Answers the pair that is shown; returns its hash."""
    shown = page.locator("input[name=pair]").input_value()
    page.keyboard.press(key)
    page.wait_for_function(
        "shown => document.querySelector('input[name=pair]')?.value !== shown", arg=shown
    )
    return shown


def test_two_people_answer_by_keyboard_and_a_killed_server_loses_nothing(
    corpus: Corpus, browser: Browser, request: pytest.FixtureRequest
) -> None:
    server = Server.start(corpus.output.uri)
    request.addfinalizer(server.kill)
    links = {who: invited(browser, server, "keys", who) for who in ("ann", "ben")}
    visits = {who: Visit.open(browser, link) for who, link in links.items()}
    assert visits["ann"].page.evaluate("window.owned") is None
    assert visits["ann"].page.locator(".guideline em").inner_text() == "True"
    given: dict[tuple[str, str], str] = {}

    def answer(who: str, number: int) -> None:
        key = "1234"[number % 4]
        given[who, answer_by_key(visits[who].page, key)] = key

    for number in range(8):
        for who in visits:
            answer(who, number)
    server.kill()
    server = Server.start(corpus.output.uri, port=server.port)
    request.addfinalizer(server.kill)
    for visit in visits.values():
        visit.page.reload()
    for number in range(8, 15):
        for who in visits:
            answer(who, number)
    page = visits["ann"].page
    page.keyboard.press("n")
    page.keyboard.type("1 is not an answer here")
    page.keyboard.press("Escape")
    noted = answer_by_key(page, "2")
    page.keyboard.press("u")  # taken back, and answered otherwise
    page.wait_for_function("pair => document.querySelector('input[name=pair]').value === pair",
                           arg=noted)  # fmt: skip
    given["ann", answer_by_key(page, "3")] = "3"
    for visit in visits.values():
        visit.close(refused=422)  # the hostile pair's pictures
    stored = {(g.annotator, g.pair_hash): g for g in read_answers(corpus.output, "keys") if g.said}
    assert len(given) == 31
    assert stored.keys() == given.keys()
    for (who, pair), key in given.items():
        sides = (*shown_order(who, pair), "tie", "cannot_say")
        assert stored[who, pair].said == sides[int(key) - 1]
    said = [each.said for each in revisions(corpus.output, "keys", "ann", noted)]
    assert said == [shown_order("ann", noted)[1], None, "tie"]


def test_two_tabs_make_one_answer(corpus: Corpus, server: Server, browser: Browser) -> None:
    one = Visit.open(browser, invited(browser, server, "tabs", "cleo"))
    two = one.page.context.new_page()
    two.goto(f"{server.root}/annotate")
    shown = answer_by_key(one.page, "1")
    assert two.locator("input[name=pair]").input_value() == shown  # it was open before
    two.keyboard.press("3")
    two.wait_for_url("**kept=elsewhere")
    assert two.locator("[aria-pressed=true]").get_attribute("value") == "1"
    two.keyboard.press("3")  # who has seen the answer may change it
    two.wait_for_url(re.compile("/annotate$"))
    one.close()
    said = [each.said for each in revisions(corpus.output, "tabs", "cleo", shown)]
    assert said == [shown_order("cleo", shown)[0], "tie"]


def status(address: str, data: bytes | None = None, **headers: str) -> int:
    """The status of an answer to somebody without a browser, redirections not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *of: object) -> None:
            return None

    request = urllib.request.Request(address, data, headers)
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_only_a_token_opens_and_an_annotator_sees_their_set_alone(
    server: Server, browser: Browser
) -> None:
    root = server.root
    assert status(f"{root}/") == 401
    assert status(f"{root}/?token=wrong") == 401
    assert status(f"{root}/annotate?set=keys&who=ann&token={TOKEN}") == 401
    assert status(f"{root}/?token={TOKEN}") == 303
    assert status(f"{root}/?token={TOKEN}", Host="attacker.example") == 421
    assert status(f"{root}/annotate", data=b"choice=1", Origin="http://attacker.example") == 403
    assert status(f"{root}/annotate", data=b"choice=1") == 403
    visit = Visit.open(browser, invited(browser, server, "tabs", "dan"))
    answers = {
        path: visit.page.request.get(root + path, max_redirects=0).status
        for path in (
            "/",
            "/pair?shard=one.parquet&row=4",
            "/set?name=tabs",
            "/sets",
            "/search",
            "/media?shard=one.parquet&row=4&part=m0.0",
            "/annotate",
        )
    }
    assert answers == dict.fromkeys(answers, 401) | {"/annotate": 200}
    visit.close()


def test_what_cannot_be_opened_is_said(corpus: Corpus, tmp_path: Path) -> None:
    def refused(output: Store, *arguments: str) -> str:
        done = run_on(review.main, output, "--port", "0", *arguments)
        assert done.exit_code == 2
        return done.error

    assert "nothing is published there yet; give --input" in refused(Store(str(tmp_path)))
    assert "--allow-network" in refused(corpus.output, "--host", "0.0.0.0")
    assert "there is no such snapshot" in refused(corpus.output, "--snapshot", "nothing")

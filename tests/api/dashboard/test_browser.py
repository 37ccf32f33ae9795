"""Pages in a browser: by keyboard, without script, in the dark, on a phone, on paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import update

from api.app import create_app
from api.index import tables as t
from tests.api.access.desks import KEYS, signed, world
from tests.api.dashboard.addresses import addresses
from tests.api.dashboard.looks import FAULTS, looking
from tests.api.index.worlds import ForkingChain, opened, read_all, sqlite
from tests.api.rest.serving import Service, serving
from tests.audit.bundles.make import CASES, policies

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from tests.api.access.desks import World
    from tests.api.dashboard.replaying import Replays

SCREENS: dict[str, Any] = {
    "laptop": {"viewport": {"width": 1280, "height": 800}},
    "dark": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True},
    "dark phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"},
    "reduced motion": {"viewport": {"width": 800, "height": 600}, "reduced_motion": "reduce"},
}
HOSTILE = "<img src=x onerror=alert(1)>" + "W" * 300 + "\u202egnirts"


def _verify_now(page: Page) -> None:
    page.get_by_role("button", name="Verify now").first.click()
    page.wait_for_url("**/verifications/*")


@pytest.mark.parametrize("screen", SCREENS)
def test_every_page_can_be_read(browser: Browser, pages: Service, screen: str) -> None:
    with looking(browser, pages, **SCREENS[screen]) as (page, wrong):
        page.goto("/runs/1")
        _verify_now(page)
        page.get_by_text("Holds.").wait_for()
        for path in addresses(pages):
            page.goto(path)
            assert page.evaluate(FAULTS) == [], path
        page.goto("/nothing")
        assert page.evaluate(FAULTS) == []
        assert [line for line in wrong if "404" not in line] == []


def test_every_page_can_be_printed(browser: Browser, pages: Service) -> None:
    # A4 less its margins, in CSS pixels.
    with looking(browser, pages, viewport={"width": 680, "height": 960}) as (page, wrong):
        page.emulate_media(media="print")
        for path in addresses(pages):
            page.goto(path)
            assert [fault for fault in page.evaluate(FAULTS) if "wide" in fault] == [], path
            assert page.locator("header.top").is_hidden()
            assert len(page.pdf(format="A4")) > 1000
        assert wrong == []


def test_hostile_texts_are_only_texts(browser: Browser, tmp_path: Path) -> None:
    chain = ForkingChain()
    for choice in range(60):
        chain.grow(choice)
    with opened(sqlite(tmp_path / "index.sqlite")) as database:
        read_all(database, chain)
        with database.writer.begin() as connection:
            connection.execute(update(t.terms).values(title=HOSTILE, strategy=HOSTILE))
            connection.execute(update(t.metric).where(t.metric.c.name == "accuracy").values(name=HOSTILE))
        with (
            serving(create_app(database)) as service,
            looking(browser, service, **SCREENS["phone"]) as (page, wrong),
        ):
            page.on("dialog", lambda dialog: wrong.append(dialog.message))
            for path in addresses(service):
                page.goto(path)
                assert page.locator("img").count() == 0, path
                assert page.evaluate(FAULTS) == [], path
            assert wrong == []


def _tab_to(page: Page, name: str) -> None:
    """Go on by keyboard alone until a link or button of that name has the focus, which can be seen."""
    for _ in range(120):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            "() => { const node = document.activeElement, style = getComputedStyle(node);"
            " return [node.textContent.trim(), style.outlineStyle, node.tagName] }"
        )
        if focused[2] in {"A", "BUTTON", "SUMMARY"}:
            assert focused[1] != "none", focused
        if focused[0] == name:
            return
    pytest.fail(f"{name} cannot be reached by keyboard")


def test_the_whole_walk_by_keyboard(browser: Browser, pages: Service) -> None:
    with looking(browser, pages, **SCREENS["laptop"]) as (page, wrong):
        page.goto("/")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        assert page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        run = pages.items("/v1/runs")[-1]["run"]
        page.goto(f"/runs/{run}")
        _tab_to(page, "1")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/runs/{run}/rounds/1")
        _tab_to(page, "Verify now")
        page.keyboard.press("Enter")
        page.wait_for_url("**/verifications/*")
        page.get_by_text("Holds.").wait_for()
        _tab_to(page, f"run {run}, round 1")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/runs/{run}/rounds/1")
        assert page.locator(".check-outcome.holds").count() > 10
        page.locator("#q").focus()
        page.keyboard.type(pages.item(f"/v1/runs/{run}")["head"])
        page.keyboard.press("Enter")
        page.wait_for_url("**/search?q=*")
        _tab_to(page, f"run {run}")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/runs/{run}")
        assert wrong == []


def test_a_replay_shows_its_progress_to_its_end(browser: Browser, pages: Service, replays: Replays) -> None:
    with replays.holding(), looking(browser, pages) as (page, wrong):
        page.goto("/runs/2/rounds/2")
        _verify_now(page)
        page.get_by_text("1 of 2 rounds replayed").wait_for()
        bar = page.get_by_role("progressbar", name="Rounds replayed")
        assert (bar.get_attribute("max"), bar.get_attribute("value")) == ("2", "1")
        assert page.locator("[role=status][aria-live=polite]").count() == 1
        replays.let_go()
        page.get_by_text("Does not hold.").wait_for()
        assert page.locator("td.rejected").inner_text().startswith("57")
        page.get_by_role("link", name="run 2, round 2").first.click()
        row = page.locator("table.checks tr", has_text="Result model")
        assert "does not hold" in row.inner_text()
        assert wrong == []


def test_everything_works_without_script(browser: Browser, pages: Service, replays: Replays) -> None:
    with replays.holding(), looking(browser, pages, java_script_enabled=False) as (page, wrong):
        page.goto("/")
        page.get_by_role("link", name=f"Run {pages.items('/v1/runs')[0]['run']}", exact=True).click()
        page.locator("#timeline").wait_for()
        page.goto("/runs/1")
        _verify_now(page)
        assert replays.stopped.wait(60)
        page.get_by_text("1 of 2 rounds replayed").wait_for()
        replays.let_go()
        page.get_by_text("Holds.").wait_for()  # the page comes back by itself
        page.goto("/verify")
        page.set_input_files("#bundle", _file("holds-block"))
        page.get_by_role("button", name="Verify the bundle").click()
        page.get_by_text("What it could not prove").wait_for()
        page.fill("#q", pages.item("/v1/runs/1")["head"])
        page.get_by_role("button", name="Find").click()
        page.get_by_role("link", name="run 1").first.click()
        page.wait_for_url("**/runs/1")
        assert wrong == []


def _file(case: str) -> dict[str, Any]:
    return {
        "name": f"{case}.bundle",
        "mimeType": "application/octet-stream",
        "buffer": bytes(CASES[case].make()),
    }


def _policy(name: str) -> dict[str, Any]:
    return {"name": "policy.json", "mimeType": "application/json", "buffer": policies()[name].text().encode()}


DROP = """([bytes, name]) => {
  const files = new DataTransfer();
  files.items.add(new File([new Uint8Array(bytes)], name));
  const zone = document.querySelector(".drop");
  zone.dispatchEvent(new DragEvent("dragenter", { dataTransfer: files, bubbles: true }));
  zone.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true }));
}"""


def test_a_bundle_that_is_dropped_is_judged_by_ones_own_policy(browser: Browser, pages: Service) -> None:
    bundle = _file("holds-everything")
    with looking(browser, pages) as (page, wrong):
        page.goto("/verify")
        page.evaluate(DROP, [list(bundle["buffer"]), bundle["name"]])
        assert page.evaluate("document.getElementById('bundle').files.length") == 1
        page.set_input_files("#policy-file", _policy("everything"))
        page.get_by_role("button", name="Verify the bundle").click()
        page.get_by_text("What it could not prove").wait_for()
        assert "holds-everything.bundle" in page.locator(".outcome.holds").inner_text()
        assert "on the word of: block, members" in page.locator(".outcome.holds").inner_text()
        assert page.locator(".banner").count() == 0
        assert page.locator(".check-outcome.holds").count() > 10
        assert page.locator(".check-outcome.fails").count() == 0
        assert page.evaluate(FAULTS) == []
        assert wrong == []


def test_without_an_own_policy_the_page_says_loudly_what_that_is_worth(
    browser: Browser, pages: Service
) -> None:
    with looking(browser, pages, **SCREENS["phone"]) as (page, wrong):
        page.goto("/verify")
        page.set_input_files("#bundle", _file("holds-block"))
        page.get_by_role("button", name="Verify the bundle").click()
        said = page.get_by_role("alert")
        said.wait_for()
        assert "A policy from the one who is checked proves little" in said.inner_text()
        assert page.evaluate(FAULTS) == []
        assert wrong == []


@pytest.mark.parametrize(("case", "check"), [("attestation-missing", 40), ("leaf-missing", 68)])
def test_a_bad_bundle_is_told_from_a_good_one(
    browser: Browser, pages: Service, case: str, check: int
) -> None:
    with looking(browser, pages) as (page, wrong):
        page.goto("/verify")
        page.set_input_files("#bundle", _file(case))
        page.set_input_files("#policy-file", _policy(CASES[case].policy))
        page.get_by_role("button", name="Verify the bundle").click()
        page.locator(".outcome.fails").wait_for()
        last = page.locator("table.checks tbody tr").last
        assert last.inner_text().startswith(str(check))
        assert "does not hold" in last.inner_text()
        assert page.locator("text=What it could not prove").count() == 0
        assert wrong == []


def test_live_events_are_told_as_they_come(browser: Browser, tmp_path: Path) -> None:
    chain = ForkingChain()
    for choice in range(60):
        chain.grow(choice)
    with opened(sqlite(tmp_path / "index.sqlite")) as database:
        read_all(database, chain)
        stop: list[bool] = []
        with (
            serving(create_app(database, stopping=lambda: bool(stop))) as service,
            looking(browser, service) as (page, wrong),
        ):
            with page.expect_response("**/v1/events/live"):
                page.goto("/")
            assert page.locator("#now").is_hidden()
            number = chain.ledger.start(chain.ledger.plan())
            chain.mine()
            read_all(database, chain)
            page.get_by_text(f"run {number}, member 0", exact=False).wait_for()
            assert page.locator(".events").get_attribute("aria-live") == "polite"
            assert wrong == []
            stop.append(True)


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    """A service of the test's own, at which keys sign in."""
    with world(tmp_path) as made:
        yield made


def _code(desk: World, name: str) -> str:
    answer = desk.ask("/sign-in/code", token=desk.token(name), method="POST")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["code"])


def test_a_browser_signs_in_with_a_code_and_out(browser: Browser, desk: World) -> None:
    service = Service(desk.desk.url, desk.app)
    with looking(browser, service) as (page, wrong):
        page.goto("/members?x=1")
        page.wait_for_url("**/sign-in?next=/members")
        assert page.evaluate(FAULTS) == []
        assert "fedledger login --browser" in page.inner_text("main")
        page.fill("#typed", "not-a-code")
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("alert").wait_for()
        assert "lets nobody in" in page.get_by_role("alert").inner_text()
        code = _code(desk, "auditor")
        page.fill("#typed", code.upper())
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url(f"{service.url}/members")
        assert KEYS["auditor"].address.lower() in page.inner_text("header")
        assert "auditor" in page.inner_text("header")
        page.goto("/sign-in")
        page.fill("#typed", code)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("alert").wait_for()
        page.goto("/")
        page.get_by_role("button", name="Sign out").click()
        page.wait_for_url("**/sign-in")
        page.goto("/members")
        page.wait_for_url("**/sign-in?next=/members")
        assert [line for line in wrong if "422" not in line] == []


def _signed_in(page: Page, desk: World, name: str, path: str) -> None:
    page.goto(f"/sign-in?next={path}")
    page.fill("#typed", _code(desk, name))
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{desk.desk.url}{path}")


def test_members_alone_see_who_looked(browser: Browser, desk: World) -> None:
    service = Service(desk.desk.url, desk.app)
    with looking(browser, service) as (page, wrong):
        _signed_in(page, desk, "auditor", "/plans")
        assert page.get_by_role("link", name="Who looked").count() == 0
        page.goto("/access-log")
        assert "Error 403" in page.inner_text("main")
    with looking(browser, service, **SCREENS["phone"]) as (page, wrong):
        _signed_in(page, desk, "member", "/members")
        page.get_by_role("link", name="Who looked").click()
        rows = page.locator("tbody tr")
        assert "GET /members" in rows.nth(0).inner_text()
        assert "auditor" in page.inner_text("tbody")
        assert "/access-log" in page.inner_text("tbody")
        assert page.evaluate(FAULTS) == []
        assert wrong == []


def test_a_reader_sees_no_button_that_is_not_for_him(browser: Browser, desk: World) -> None:
    desk.chain.ledger.start(desk.chain.ledger.plan())
    desk.chain.mine()
    desk.read()
    service = Service(desk.desk.url, desk.app)
    for name, buttons in (("operator", 0), ("auditor", 1)):
        with looking(browser, service) as (page, _):
            _signed_in(page, desk, name, "/runs/1")
            assert page.get_by_role("button", name="Verify now").count() == buttons


WALLET = """window.ethereum = { request: async ({ method, params }) =>
  method === "eth_requestAccounts" ? [window.walletAddress] : window.walletSign(params[0]) };"""


def test_a_wallet_in_the_browser_signs_in(browser: Browser, desk: World) -> None:
    service = Service(desk.desk.url, desk.app)
    with looking(browser, service) as (page, wrong):
        page.expose_function(
            "walletSign",
            lambda text: "0x" + signed("member", bytes.fromhex(text[2:]).decode()).hex(),
        )
        page.add_init_script(f"window.walletAddress = '{KEYS['member'].address.lower()}'; {WALLET}")
        page.goto("/members")
        page.get_by_role("button", name="Sign in with the wallet").click()
        page.wait_for_url(f"{service.url}/members")
        assert KEYS["member"].address.lower() in page.inner_text("header")
        assert wrong == []

"""The console in a real browser: its pages, the chat between two people, the client against any server."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Page, expect

from chappe.testing.fault_proxy import FaultProxy
from tests.browser.visiting import chromium, visitor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

PAGES = {"": ".home", "apps/client": ".client", "apps/chat": ".door", "apps/nowhere": ".notice"}
TITLES = {
    "en": ["Chappe", "WebSocket client – Chappe", "Chat – Chappe", "There is no such page – Chappe"],
    "fr": ["Chappe", "Client WebSocket – Chappe", "Discussion – Chappe", "Cette page n’existe pas – Chappe"],
}
SCROLLS_SIDEWAYS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_every_page_opens_without_an_error_in_every_width_and_theme(hub_url: str, language: str) -> None:
    async with chromium() as browser:
        for width, dark in ((390, True), (1280, False), (1920, True)):
            guest = await visitor(browser, language, width, 844, dark)
            titles = []
            for path, mark in PAGES.items():
                await guest.page.goto(f"{hub_url}/{path}")
                await guest.page.wait_for_selector(mark)
                titles.append(await guest.page.title())
                assert not await guest.page.evaluate(SCROLLS_SIDEWAYS), f"{path} is wider than {width} px"
                await guest.screenshot(f"{path.replace('/', '-') or 'home'}-{width}-{language}")
            assert titles == TITLES[language]
            assert await guest.page.get_attribute("html", "lang") == language
            assert guest.faults == []


async def test_the_overview_tells_that_the_hub_is_ready_and_leads_to_the_applications(hub_url: str) -> None:
    async with chromium() as browser:
        guest = await visitor(browser)
        page = guest.page
        await page.goto(hub_url)
        await expect(page.locator("[data-readiness=ready]")).to_have_text("Ready")
        async with httpx.AsyncClient(base_url=hub_url) as backend:
            version = (await backend.get("/version")).json()["version"]
        await expect(page.locator(".facts")).to_contain_text(version)
        await page.locator(".app-card", has_text="Chat").click()
        await expect(page).to_have_url(f"{hub_url}/apps/chat")
        await page.go_back()
        await expect(page.locator(".home")).to_be_visible()
        assert guest.faults == []


async def test_language_and_theme_are_chosen_and_remembered(hub_url: str) -> None:
    async with chromium() as browser:
        page = (await visitor(browser)).page
        await page.goto(f"{hub_url}/apps/chat")
        await page.locator(".segment", has_text="FR").click()
        await page.get_by_title("Sombre", exact=True).click()
        await page.reload()
        await expect(page.locator("h1")).to_have_text("Discussion")
        assert await page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
        await page.goto(f"{hub_url}/apps/chat?lang=en")
        await expect(page.locator("h1")).to_have_text("Chat")


async def test_two_people_talk_and_see_each_other_come_and_go(hub_url: str) -> None:
    async with chromium() as browser:
        ada, grace = await visitor(browser), await visitor(browser, "fr", 390, 844)
        await ada.enter_chat(hub_url, "Ada", "pair")
        await ada.page.wait_for_selector("[data-state=live]")
        await ada.say("is anybody here?")
        await grace.enter_chat(hub_url, "Grace", "pair")
        await expect(ada.page.locator(".person-name")).to_have_text(["Ada", "Grace"])
        await expect(ada.page.locator(".moves").last).to_contain_text("Grace joined")
        # What was said before she came is there too.
        await expect(grace.page.locator(".said-text")).to_have_text(["is anybody here?"])
        await grace.say("oui, <b>Grace</b>")
        await expect(ada.page.locator(".said-text")).to_have_text(["is anybody here?", "oui, <b>Grace</b>"])
        await expect(ada.page.locator(".turn-author")).to_have_text(["Ada", "Grace"])
        await expect(ada.page.locator(".turn.own .said-text")).to_have_text(["is anybody here?"])
        await ada.screenshot("chat-pair-en")
        await grace.screenshot("chat-pair-fr")
        await grace.page.context.close()
        await expect(ada.page.locator(".person-name")).to_have_text(["Ada"])
        await expect(ada.page.locator(".moves").last).to_contain_text("Grace left")
        assert ada.faults + grace.faults == []


async def test_a_message_of_a_backend_shows_under_no_persons_name(hub_url: str) -> None:
    async with chromium() as browser:
        ada = await visitor(browser)
        await ada.enter_chat(hub_url, "Ada", "backend")
        await ada.page.wait_for_selector("[data-state=live]")
        async with httpx.AsyncClient(base_url=hub_url) as backend:
            for data in ({"type": "message", "content": "I am Ada", "username": "Ada"}, "bare"):
                answer = await backend.post("/api/publish", json={"channel": "chat/backend", "data": data})
                assert answer.status_code == httpx.codes.OK
        await expect(ada.page.locator(".said-text")).to_have_text(["I am Ada", "bare"])
        await expect(ada.page.locator(".turn-author")).to_have_text(["Application"])


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "“ADA” is in use. Choose another name."),
        ("fr", "«\u00a0ADA\u00a0» est déjà utilisé. Choisissez un autre nom."),
    ],
)
async def test_a_name_in_use_in_another_case_is_refused_and_another_is_taken(
    hub_url: str, language: str, text: str
) -> None:
    async with chromium() as browser:
        ada, second = await visitor(browser), await visitor(browser, language)
        await ada.enter_chat(hub_url, "Ada", "names")
        await ada.page.wait_for_selector("[data-state=live]")
        await second.enter_chat(hub_url, "ADA", "names")
        await expect(second.page.locator(".hint.bad")).to_have_text(text)
        await expect(ada.page.locator(".person-name")).to_have_text(["Ada"])
        await second.screenshot(f"name-in-use-{language}")
        await second.page.fill("input[name=name]", "Blaise")
        await second.page.keyboard.press("Enter")
        await expect(second.page.locator(".person-name")).to_have_text(["Ada", "Blaise"])


async def test_a_cut_is_shown_and_nothing_said_meanwhile_is_lost_or_doubled(hub_url: str) -> None:
    port = urlsplit(hub_url).port
    assert port
    async with FaultProxy("127.0.0.1", port) as proxy, chromium() as browser:
        ada, grace = await visitor(browser), await visitor(browser)
        await ada.enter_chat(f"http://127.0.0.1:{proxy.port}", "Ada", "cuts")
        await grace.enter_chat(hub_url, "Grace", "cuts")
        await expect(ada.page.locator(".person-name")).to_have_text(["Ada", "Grace"])
        # Nobody listens there: the page stays offline until the proxy leads back to the hub.
        proxy.point_to("127.0.0.1", 1)
        proxy.cut()
        await expect(ada.page.locator(".room-head .chip")).not_to_have_attribute("data-state", "live")
        await grace.say("while you were away")
        await ada.say("while I was away")
        await expect(ada.page.locator(".said-fate")).to_have_count(1)
        proxy.point_to("127.0.0.1", port)
        for person in (ada, grace):
            await expect(person.page.locator(".said-text")).to_have_text(
                ["while you were away", "while I was away"], timeout=20_000
            )
        await expect(ada.page.locator(".said-fate")).to_have_count(0)
        await expect(ada.page.locator("[data-state=live]")).to_be_visible()


async def connect_client(page: Page, hub_url: str, path: str) -> None:
    await page.goto(f"{hub_url}/apps/client")
    await page.fill("input[name=url]", f"{hub_url.replace('http', 'ws', 1)}/{path}")
    await page.select_option("select[name=protocol]", "none")
    await page.click("button[data-action=connect]")
    await page.wait_for_selector("[data-state=open]")


async def test_the_client_sends_text_and_bytes_and_shows_what_comes_back(hub_url: str) -> None:
    async with chromium() as browser:
        guest = await visitor(browser)
        page = guest.page
        await connect_client(page, hub_url, "echo")
        message = page.locator("textarea[name=message]")
        await message.fill("bonjour à tous")
        await message.press("Enter")
        received = page.locator("[data-kind=received] .frame-text")
        await expect(received).to_have_text(["bonjour à tous"])
        await message.fill("   ")
        await message.press("Enter")
        await page.locator(".client-composer .segment", has_text="Hex").click()
        await message.fill("00 ff 7f")
        await message.press("Enter")
        await expect(received).to_have_text(["bonjour à tous", "00 ff 7f"])
        await message.press("ArrowUp")
        await expect(message).to_have_value("00 ff 7f")
        await received.first.click()
        await expect(page.locator(".detail-code")).to_have_text("bonjour à tous")
        await page.fill("input[name=filter]", "ff 7f")
        await expect(page.locator(".frame")).to_have_count(2)
        await guest.screenshot("client-echo")
        assert guest.faults == []


async def test_the_client_says_when_it_is_not_connected_and_why_it_was_closed(hub_url: str) -> None:
    async with chromium() as browser:
        page = (await visitor(browser)).page
        await connect_client(page, hub_url, "echo")
        await page.click("button[data-action=disconnect]")
        last = page.locator(".frame-text").last
        await expect(last).to_contain_text("Closed with code 1000: normal closure")
        await page.fill("textarea[name=message]", "anybody?")
        await page.keyboard.press("Enter")
        await expect(last).to_have_text("Not connected: nothing was sent. Connect first.")
        await expect(page.locator("textarea[name=message]")).to_have_value("anybody?")


async def test_the_client_draws_only_what_is_in_sight_of_ten_thousand_frames(hub_url: str) -> None:
    async with chromium() as browser:
        page = (await visitor(browser)).page
        await connect_client(page, hub_url, "echo")
        # One frame goes out for each Enter; four thousand Enters in one task come back as fast as the hub can.
        await page.evaluate(
            """() => {
                const field = document.querySelector('textarea[name=message]');
                const setter = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, 'value').set;
                for (let n = 0; n < 5_500; n += 1) {
                    setter.call(field, `frame ${n}`);
                    field.dispatchEvent(new Event('input', {bubbles: true}));
                    field.form.requestSubmit();
                }
            }"""
        )
        await expect(page.locator("[data-kind=received] .frame-text").last).to_have_text("frame 5499", timeout=30_000)
        assert await page.locator(".frame").count() < 100
        await expect(page.locator(".log-totals")).to_contain_text("Received 5,500")
        await page.fill("input[name=filter]", "frame 5499")
        await expect(page.locator(".frame")).to_have_count(2)


async def test_the_chat_is_entered_and_used_by_keyboard_alone(hub_url: str) -> None:
    async with chromium() as browser:
        page = (await visitor(browser)).page
        await page.goto(f"{hub_url}/apps/chat?room=keys")
        await expect(page.locator("input[name=name]")).to_be_focused()
        await page.keyboard.type("Ada")
        await page.keyboard.press("Enter")
        await expect(page.locator(".composer textarea")).to_be_focused()
        await page.keyboard.type("typed only")
        await page.keyboard.press("Enter")
        await expect(page.locator(".said-text")).to_have_text(["typed only"])
        await expect(page.locator("[role=log]")).to_have_attribute("aria-live", "polite")


async def test_a_visitor_whom_an_operator_disconnects_reads_it_and_may_come_back(hub_url: str) -> None:
    async with chromium() as browser:
        ada = await visitor(browser, "fr")
        await ada.enter_chat(hub_url, "Ada", "thrown-out")
        await ada.page.wait_for_selector("[data-state=live]")
        async with httpx.AsyncClient(base_url=hub_url) as operator:
            members = (await operator.post("/api/presence", json={"channel": "chat/thrown-out"})).json()["members"]
            answer = await operator.post("/api/disconnect", json={"session": members[0]["session"]})
            assert answer.status_code == httpx.codes.OK
        await expect(ada.page.locator(".banner.bad")).to_contain_text("Le hub a refusé")
        await expect(ada.page.locator(".chip")).to_have_text("Refusé")
        await ada.page.get_by_role("button", name="Se reconnecter").click()
        await expect(ada.page.locator(".chip")).to_have_text("En direct")


async def test_the_console_of_a_mounted_hub_works_below_its_path(mounted_url: str) -> None:
    async with chromium() as browser:
        ada = await visitor(browser)
        await ada.page.goto(f"{mounted_url}/")
        await expect(ada.page.locator("[data-readiness=ready]")).to_be_visible()
        await ada.page.locator(".app-card", has_text="Chat").click()
        await expect(ada.page).to_have_url(f"{mounted_url}/apps/chat")
        await ada.enter_chat(mounted_url, "Ada", "mounted")
        await ada.say("from below")
        await expect(ada.page.locator(".said.stored .said-text")).to_have_text(["from below"])
        assert ada.faults == []

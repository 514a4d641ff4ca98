"""The page: nothing from elsewhere, a policy that its own parts satisfy, names for all of it, and a browser."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import shutil
import socket
import threading
import urllib.request
from contextlib import closing
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from raddle.workloads.classify.service.page import page, page_headers
from raddle.workloads.classify.service.serve import make_server
from raddle.workloads.classify.service.settings import ServiceSettings
from raddle.workloads.classify.values import Label

if TYPE_CHECKING:
    from pathlib import Path

    from raddle.workloads.classify.values import Product


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_nothing_comes_from_elsewhere() -> None:
    assert not re.search(r"https?://|@import|url\(", page())
    assert not [
        attrs for _, attrs in Elements().found if "src" in attrs or any(name.startswith("on") for name in attrs)
    ]
    assert not [attrs for _, attrs in Elements().found if "style" in attrs]  # the policy would drop it


def test_the_policy_lets_run_what_is_there_and_nothing_else() -> None:
    policy = dict(part.split(" ", 1) for part in page_headers()["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    for tag in ("script", "style"):
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", page(), re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert policy[f"{tag}-src"] == " ".join(f"'sha256-{one}'" for one in hashes)
    assert "unsafe" not in str(policy)


def test_all_that_can_be_used_has_a_name() -> None:
    elements = Elements().found
    labelled = {attrs["for"] for tag, attrs in elements if tag == "label"}
    for tag, attrs in elements:
        if tag in {"input", "select", "progress"}:
            assert attrs.get("aria-label") or attrs.get("id") in labelled, attrs
    assert len(re.findall(r"<button[^>]*>[^<]+</button>", page())) == sum(tag == "button" for tag, _ in elements)
    assert ("html", {"lang": "en"}) in elements


class Quick:
    async def label(self, product: Product) -> Label:
        return Label(category="TV_STAND", confidence=0.9, reasoning="<b>bold</b> it is", provider="fake")

    async def aclose(self) -> None:
        pass


ARGUMENTS = ["--no-sandbox", "--disable-gpu"]


@pytest.mark.slow
def test_a_browser_fills_the_table(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here")
    from playwright.sync_api import sync_playwright

    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = make_server(ServiceSettings(jobs=tmp_path / "jobs"), Quick())
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()
        try:
            body = json.dumps([{"name": f"thing <i>{number}</i>"} for number in range(30)]).encode()
            asked = urllib.request.Request(f"{url}/jobs", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(asked) as answer:
                job = json.load(answer)["id"]
            with (
                sync_playwright() as play,
                closing(play.chromium.launch(executable_path=browser, args=ARGUMENTS)) as seen,
            ):
                tab = seen.new_page()
                tab.set_default_timeout(60_000)
                tab.goto(f"{url}/ui#{job}")
                tab.locator("#told", has_text="30 of 30 items · done").wait_for()
                shown = tab.content()
        finally:
            server.should_exit = True
            thread.join()
    assert shown.count('<td class="category">TV STAND</td>') == 30
    assert "thing &lt;i&gt;29&lt;/i&gt;" in shown

"""The built site is whole and needs no network; `make docs` builds it and then runs this."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "docs"

pytestmark = pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="`make docs` has not been run")


class Loaded(HTMLParser):
    """Addresses that a page loads by itself; links that a reader follows are not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [value for name in ("src", "srcset", "data") if (value := values.get(name))]
        if tag == "link" and values.get("rel") in ("stylesheet", "icon"):
            self.addresses.append(values.get("href") or "")


def loaded(page: Path) -> list[str]:
    parser = Loaded()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser.addresses


def test_every_page_of_the_navigation_is_there() -> None:
    pages = re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert pages
    for page in pages:
        assert (SITE / page).with_suffix(".html").is_file(), page


def test_no_page_loads_anything_from_elsewhere() -> None:
    for page in SITE.rglob("*.html"):
        outside = [address for address in loaded(page) if re.match(r"(https?:)?//", address)]
        assert not outside, page.name


def test_what_a_page_loads_is_there() -> None:
    for page in SITE.rglob("*.html"):
        if page.name == "404.html":
            continue
        for address in loaded(page):
            assert (page.parent / address.partition("#")[0].partition("?")[0]).exists(), f"{page.name}: {address}"


def test_the_api_of_the_front_door_is_described() -> None:
    page = (SITE / "reference" / "api.html").read_text(encoding="utf-8")
    for name in ("engine.engine.Engine", "engine.config.EngineConfig", "engine.speech.Speech", "store.store.Store"):
        assert f'id="kokoro_lab.{name}"' in page

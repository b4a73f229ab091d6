"""What the gateway serves as its page: from memory, with a strict policy, and nothing that it should not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urljoin

import pytest

from splitway.environment import read_environment
from splitway.gateway.settings import GatewaySettings
from testkit.support import picture
from tests.gateway.conftest import Gateway

ROOT = Path(__file__).parent.parent.parent.parent
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PARTS = {
    "page.css": "text/css; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "about.json": "application/json",
    "samples/cat.jpg": "image/jpeg",
}


class Elements(HTMLParser):
    """Every element of a document, and the text inside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.inline += data

    def addresses(self, *tags: str) -> Iterator[str]:
        for tag, attributes in self.found:
            address = attributes.get("src") or attributes.get("href")
            if tag in tags and address is not None:
                yield address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of samples with other things in it."""
    (tmp_path / "cat.jpg").write_bytes(picture(format_="JPEG"))
    (tmp_path / "a {b} #1.PNG").write_bytes(picture())
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "page.py").write_text("no picture either")
    (tmp_path / "large.webp").write_bytes(bytes(4000))
    (tmp_path / "below.jpg").mkdir()
    (tmp_path / "below.jpg" / "hidden.jpg").write_bytes(picture(format_="JPEG"))
    return tmp_path


async def test_the_page_comes_with_a_strict_policy(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        reply = await client.get("/")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"] == POLICY
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cache-control"] == "no-cache"


async def test_the_page_holds_nothing_that_its_policy_forbids(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        page = Elements((await client.get("/")).text)
    assert page.inline == ""
    tags = {tag for tag, _ in page.found}
    names = {name for _, attributes in page.found for name in attributes}
    assert not tags & {"style", "base", "form", "iframe", "object", "embed"}
    assert not [name for name in names if name == "style" or name.startswith("on")]


async def test_whatever_the_page_and_its_modules_name_is_served_by_the_gateway_itself(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        page = Elements((await client.get("/")).text)
        todo, seen = set(page.addresses("script", "link", "img")), set[str]()
        while todo - seen:
            address = min(todo - seen)
            seen.add(address)
            reply = await client.get(address)
            assert (address, reply.status_code) == (address, 200)
            imports = re.findall(r'from "([^"]+)"', reply.text) if address.endswith(".js") else []
            todo |= {urljoin(address, name) for name in imports}
            assert not re.search(r'["\'(]https?://(?!www\.w3\.org/2000/svg)', reply.text), f"{address} names a host"
    assert all(address.startswith("page/") for address in seen)
    assert set(page.addresses("script", "link")) == {a for a in seen if not a.endswith(".png")}, "all is known at once"


@pytest.mark.parametrize(("part", "media_type"), PARTS.items())
async def test_a_part_has_its_media_type_and_the_same_guards(
    gateway_before: Gateway, samples: Path, part: str, media_type: str
) -> None:
    async with gateway_before(samples=str(samples)) as client:
        reply = await client.get(f"/page/{part}")
    assert (reply.status_code, reply.headers["content-type"]) == (200, media_type)
    assert reply.headers["content-security-policy"] == POLICY
    assert reply.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/page/main.js"])
async def test_head_says_what_get_would(gateway_before: Gateway, path: str) -> None:
    async with gateway_before() as client:
        head, get = await client.head(path), await client.get(path)
    del get.headers["x-request-id"], head.headers["x-request-id"]
    assert (head.status_code, head.headers) == (200, get.headers)


@pytest.mark.parametrize("known", ["{etag}", '"other", W/{etag}', "*"])
async def test_what_the_browser_has_is_not_sent_again(gateway_before: Gateway, known: str) -> None:
    async with gateway_before() as client:
        etag = (await client.get("/")).headers["etag"]
        reply = await client.get("/", headers={"if-none-match": known.format(etag=etag)})
        other = await client.get("/", headers={"if-none-match": '"other"'})
    assert (reply.status_code, reply.content, reply.headers["etag"]) == (304, b"", etag)
    assert other.status_code == 200


PLAIN_BEFORE = 47_533
"""Bytes of the page and its parts, plain, before there were heads, releases and requests on it."""


async def test_who_reads_gzip_gets_it_and_never_more_bytes_than_before(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        page = Elements((await client.get("/")).text)
        sent = 0
        for address in {"", *page.addresses("script", "link", "img")}:
            plain = await client.get(address, headers={"accept-encoding": "gzip;q=0, br"})
            packed = await client.get(address)
            assert packed.content == plain.content
            assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "accept-encoding")
            assert "content-encoding" not in plain.headers
            assert plain.headers["vary"] == "accept-encoding"
            assert packed.headers["etag"] != plain.headers["etag"]
            known = {"if-none-match": plain.headers["etag"]}
            assert (await client.get(address, headers=known)).status_code == 200, "that is the other form's"
            sent += int(packed.headers["content-length"])
    print(f"{sent} bytes")
    assert sent <= PLAIN_BEFORE


async def test_comments_are_not_sent_and_lines_keep_their_numbers(gateway_before: Gateway) -> None:
    source = (ROOT / "gateway" / "page" / "dom.js").read_text()
    async with gateway_before() as client:
        sent = (await client.get("/page/dom.js")).text
    assert "@param" in source
    assert "@param" not in sent
    assert sent.count("\n") == source.count("\n")
    assert sent.splitlines().index("export function morph(old, fresh) {") == source.splitlines().index(
        "export function morph(old, fresh) {"
    )


@pytest.mark.parametrize(
    "part",
    ["nothing.js", "", "assets.py", "__init__.py", "../settings.py", "%2e%2e/settings.py", "samples/", "samples"],
)
async def test_what_is_no_part_is_a_problem_of_the_gateways_own(gateway_before: Gateway, part: str) -> None:
    async with gateway_before() as client:
        reply = await client.get(f"/page/{part}")
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")
    assert (reply.json()["code"], reply.json()["id"]) == ("not_found", reply.headers["x-request-id"])


async def test_samples_are_the_pictures_directly_in_the_folder(gateway_before: Gateway, folder: Path) -> None:
    async with gateway_before(samples=str(folder), max_picture_bytes=3000) as client:
        about = (await client.get("/page/about.json")).json()
        replies = {sample["name"]: await client.get(sample["url"]) for sample in about["samples"]}
        hidden = [
            (await client.get(f"/page/samples/{name}")).status_code for name in ("notes.txt", "below.jpg/hidden.jpg")
        ]
    assert {name: reply.headers["content-type"] for name, reply in replies.items()} == {
        "a {b} #1.PNG": "image/png",
        "cat.jpg": "image/jpeg",
    }
    assert {name: reply.content for name, reply in replies.items()} == {n: (folder / n).read_bytes() for n in replies}
    assert hidden == [404, 404]
    assert about["max_picture_bytes"] == 3000


async def test_samples_are_those_of_the_sources_where_no_folder_is_named(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        about = (await client.get("/page/about.json")).json()
    assert [sample["name"] for sample in about["samples"]] == ["cat.jpg", "coffee.jpg", "rocket.jpg"]


async def test_all_is_read_when_the_app_is_made(gateway_before: Gateway, folder: Path) -> None:
    async with gateway_before(samples=str(folder)) as client:
        (folder / "cat.jpg").unlink()
        reply = await client.get("/page/samples/cat.jpg")
    assert reply.status_code == 200


async def test_no_more_than_a_dozen_samples_are_kept(gateway_before: Gateway, tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.png").write_bytes(picture())
    async with gateway_before(samples=str(tmp_path)) as client:
        about = (await client.get("/page/about.json")).json()
    assert [sample["name"] for sample in about["samples"]] == [f"{number:02}.png" for number in range(12)]


async def test_without_the_folder_there_are_no_samples(gateway_before: Gateway, tmp_path: Path) -> None:
    async with gateway_before(samples=str(tmp_path / "none")) as client:
        about = (await client.get("/page/about.json")).json()
    assert about["samples"] == []


def test_the_folder_is_set_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_environment(GatewaySettings).samples == ""
    monkeypatch.setenv("SPLITWAY_SAMPLES", "/pictures")
    assert read_environment(GatewaySettings).samples == "/pictures"


async def test_the_page_asks_only_by_reading(gateway_before: Gateway) -> None:
    async with gateway_before() as client:
        reply = await client.post("/")
    assert (reply.status_code, reply.json()["code"]) == (405, "method_not_allowed")
    assert reply.json()["detail"] == "Method Not Allowed: POST /; it takes GET, HEAD"

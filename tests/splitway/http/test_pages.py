"""The pages that describe an app: from the package, under the page's policy, at relative addresses."""

from __future__ import annotations

import re
from urllib.parse import urljoin

import httpx
import pytest

from splitway.http.errors import install_error_handlers
from splitway.http.fast_routes import OPENAPI, FrontedApp
from splitway.skins.v2_rest import v2_error

_ADDRESSES = re.compile(r'(?:href|src)="([^"]*)"|url\("?([^")]*)"?\)')


def _client(*, described: bool) -> httpx.AsyncClient:
    app = FrontedApp("service", described=described)
    install_error_handlers(app, lambda _, error: v2_error(error))
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(transport=transport, base_url="http://service")


@pytest.fixture
def client() -> httpx.AsyncClient:
    return _client(described=True)


def _addresses(text: str) -> list[str]:
    return [found[1] or found[2] for found in _ADDRESSES.finditer(text)]


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_all_that_a_page_loads_is_below_its_prefix_and_there(client: httpx.AsyncClient, path: str) -> None:
    page = await client.get(path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    addresses = _addresses(page.text)
    assert len(addresses) >= 4
    for address in addresses:
        below = urljoin(f"http://h/ml{path}", address)
        assert below.startswith("http://h/ml/")
        assert (await client.get(below.removeprefix("http://h/ml"))).status_code == 200


async def test_images_of_the_style_sheet_are_files_beside_it(client: httpx.AsyncClient) -> None:
    style = (await client.get("/docs/swagger-ui.css")).text
    assert "data:" not in style
    images = _addresses(style)
    assert len(images) > 10
    replies = [await client.get(f"/docs/{image}") for image in images]
    assert {reply.headers["content-type"] for reply in replies} == {"image/svg+xml", "image/png", "image/jpeg"}
    pictures = [reply.content for reply in replies if reply.headers["content-type"] == "image/svg+xml"]
    assert all(b'xmlns="http://www.w3.org/2000/svg"' in picture for picture in pictures)
    assert replies[-1].content[:4] in {b"<svg", b"\x89PNG", b"\xff\xd8\xff\xe1"}


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/docs.js", "/docs/swagger-ui-bundle.js", "/docs/icon.svg"])
async def test_all_is_under_the_pages_policy_and_asked_for_again(client: httpx.AsyncClient, path: str) -> None:
    reply = await client.get(path)
    assert reply.headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self';"
    )
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert (await client.get(path, headers={"if-none-match": reply.headers["etag"]})).status_code == 304


@pytest.mark.parametrize("path", ["/docs/nothing", "/docs/../pyproject.toml", "/docs/%2e%2e/assets.py", "/docs/"])
async def test_there_is_nothing_else(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_requests_are_tried_below_the_prefix_too(client: httpx.AsyncClient) -> None:
    assert (await client.get(OPENAPI)).json()["servers"] == [{"url": "."}]


async def test_an_app_without_a_description_has_no_page_of_it() -> None:
    client = _client(described=False)
    assert [(await client.get(path)).status_code for path in ("/docs", "/redoc", "/docs/docs.js")] == [404] * 3

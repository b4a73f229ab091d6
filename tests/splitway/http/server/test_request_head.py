from __future__ import annotations

import pytest

from splitway.http.server.request_head import (
    Refusal,
    RequestTarget,
    check_headers,
    check_target,
    read_target,
    without_upgrade,
)


@pytest.mark.parametrize(
    ("target", "read"),
    [
        (b"/", RequestTarget("/", b"/", b"", None)),
        (b"/a%20b?c=%ff#d".partition(b"#")[0], RequestTarget("/a b", b"/a%20b", b"c=%ff", None)),
        (b"//a/../b", RequestTarget("//a/../b", b"//a/../b", b"", None)),
        (b"*", RequestTarget("*", b"*", b"", None)),
        (b"http://A.b:80/c?d", RequestTarget("/c", b"/c", b"d", b"a.b")),
        (b"HTTPS://[::1]:443?d", RequestTarget("/", b"/", b"d", b"[::1]")),
        (b"http://a:8000", RequestTarget("/", b"/", b"", b"a:8000")),
    ],
)
def test_targets(target: bytes, read: RequestTarget) -> None:
    assert read_target(target) == read


@pytest.mark.parametrize("target", [b"", b"a", b"?a", b"a:80", b"ftp://a/", b"http:///a", b"http://a@b/", b"/a#b"])
def test_what_is_no_target(target: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read_target(target)
    assert refused.value.status == 400


@pytest.mark.parametrize("host", [b"a", b"A:", b"a:80"])
def test_the_same_host_in_other_words(host: bytes) -> None:
    check_target(read_target(b"http://a/"), b"GET", host, "http")


@pytest.mark.parametrize(("host", "scheme"), [(b"b", "http"), (b"a:443", "http"), (b"a:80", "https"), (b"a.", "http")])
def test_another_host(host: bytes, scheme: str) -> None:
    with pytest.raises(Refusal, match="another host"):
        check_target(read_target(b"http://a/"), b"GET", host, scheme)


def test_a_callers_expectation_is_told() -> None:
    headers = [(b"host", b"a"), (b"expect", b"100-Continue")]
    assert check_headers(headers, "1.1") == (b"a", True)
    assert check_headers(headers, "1.0") == (b"a", False)


def test_both_lengths_are_refused_whoever_reads_them_first() -> None:
    with pytest.raises(Refusal, match="both"):
        check_headers([(b"host", b"a"), (b"content-length", b"1"), (b"transfer-encoding", b"chunked")], "1.1")


def test_an_upgrade_is_left_out() -> None:
    headers = [(b"host", b"a"), (b"connection", b"Upgrade, close, x"), (b"upgrade", b"h2c"), (b"x", b"1"), (b"y", b"2")]
    head = b"GET /a HTTP/1.1\r\nhost: a\r\ny: 2\r\nconnection: close\r\n\r\n"
    assert without_upgrade(b"GET", b"/a", "1.1", headers) == head

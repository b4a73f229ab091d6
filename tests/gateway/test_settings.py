from __future__ import annotations

import pytest

from gateway.settings import GatewaySettings
from splitway.errors import SetupError
from splitway.wire.environment import read_environment


def test_addresses_are_read_in_order() -> None:
    settings = GatewaySettings(feature_extractor="http://a:1/, http://b:2", classifier="http://c")
    assert [(s.name, s.urls) for s in settings.chain] == [
        ("feature_extractor", ("http://a:1", "http://b:2")),
        ("classifier", ("http://c",)),
    ]


@pytest.mark.parametrize("text", ["", " , ", "a:1", "ftp://a", "http://", "http://[::1", "http://a:99999"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SetupError, match="SPLITWAY_CLASSIFIER"):
        _ = GatewaySettings(classifier=text).chain


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_MAX_BODY_BYTES", "lots")
    with pytest.raises(SetupError, match="SPLITWAY_MAX_BODY_BYTES=lots"):
        read_environment(GatewaySettings)

"""Whose request it is, and what stages are told of that."""

from __future__ import annotations

import pytest

from splitway.gateway.callers.caller import caller_of, pseudonym


@pytest.mark.parametrize("caller", ["127.0.0.1", "key-1", "2001:db8::/64", "schlüssel"])
def test_a_pseudonym_is_always_the_same_and_says_nothing(caller: str) -> None:
    word = pseudonym(caller)
    assert word == pseudonym(caller)
    assert caller not in word
    assert len(bytes.fromhex(word)) == 8


def test_callers_are_told_apart() -> None:
    assert len({pseudonym(f"10.0.0.{number}") for number in range(256)}) == 256


def test_an_address_is_the_caller_where_nobody_is_asked() -> None:
    assert caller_of({"client": ("10.1.2.3", 1)}) == "10.1.2.3"
    assert caller_of({"client": ("2001:db8::1", 1)}) == caller_of({"client": ("2001:db8::2", 1)})
    assert caller_of({}) == ""

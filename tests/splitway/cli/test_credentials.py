"""The user's key: read from where it is kept, shown to the gateway alone, never printed."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from splitway.cli.credentials import gateway_headers, refusal
from splitway.cli.status import PATH
from splitway.errors import SetupError
from testkit.support import one_line, splitway
from tests.splitway.cli.fake_gateway import Answer, Asked, fake_gateway, key_asked_for
from tests.splitway.cli.pipelines import URL, pipeline

KEY = "splitway_0123456789_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ"
COMMANDS = {
    "classify": ("classify", "cat.jpg"),
    "bench": ("bench", "cat.jpg", "--seconds", "0.2"),
    "explain": ("bench", "cat.jpg", "--explain", "--seconds", "0.2"),
    "top": ("top", "--once"),
}
every_command = pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a picture and a file with the key."""
    (tmp_path / "cat.jpg").write_bytes(b"a picture")
    (tmp_path / "key").write_text(f"  {KEY}\n")
    return tmp_path


def _answered(asked: Asked) -> Answer:
    return Answer(content=pipeline()) if asked.path == PATH else Answer()


@every_command
def test_every_command_shows_the_key_to_its_gateway_and_to_nobody_else(
    arguments: tuple[str, ...], folder: Path
) -> None:
    seen: list[Asked] = []
    with fake_gateway(of=_answered, seen=seen) as url:
        done = splitway(*arguments, "--url", url, cwd=folder, SPLITWAY_API_KEY_FILE="key")
    assert done.returncode == 0
    assert {asked.headers.get("authorization") for asked in seen} == {f"Bearer {KEY}"}
    assert KEY not in done.stdout + done.stderr


@every_command
def test_whoever_the_gateway_points_to_is_not_shown_the_key(arguments: tuple[str, ...], folder: Path) -> None:
    seen: list[Asked] = []
    with (
        fake_gateway(lambda _: Answer(content=pipeline()), seen=seen) as elsewhere,
        fake_gateway(of=lambda asked: Answer(307, headers={"location": f"{elsewhere}{asked.path}"})) as url,
    ):
        done = splitway(*arguments, "--url", url, cwd=folder, SPLITWAY_API_KEY=KEY)
    assert done.returncode == 1
    assert seen == []


@every_command
@pytest.mark.parametrize(("key", "says"), [("", "requires a key"), ("wrong", "does not accept the key in")])
def test_a_refusal_is_one_line_that_says_what_to_do(
    arguments: tuple[str, ...], key: str, says: str, folder: Path
) -> None:
    with fake_gateway(of=key_asked_for(KEY, Answer())) as url:
        done = splitway(*arguments, "--url", url, cwd=folder, SPLITWAY_API_KEY=key)
    told = " ".join((done.stdout if arguments[0] == "top" else one_line(done)).replace("│", "").split())
    assert f"{url} {says}" in told
    scope = "metrics" if arguments[0] == "top" else "infer"
    assert f"set SPLITWAY_API_KEY to a key with the scope {scope}" in told
    assert "wrong" not in done.stdout + done.stderr


def test_without_a_key_nothing_is_shown(folder: Path) -> None:
    seen: list[Asked] = []
    with fake_gateway(lambda _: Answer(content=pipeline()), seen=seen) as url:
        splitway("top", "--once", "--url", url, cwd=folder, SPLITWAY_API_KEY="")
    assert [asked.headers.get("authorization") for asked in seen] == [None]


@pytest.mark.parametrize("value", [KEY, f" {KEY}\n"], ids=["plain", "with a line end"])
def test_a_key_is_read_from_its_variable(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_API_KEY", value)
    assert gateway_headers() == {"authorization": f"Bearer {KEY}"}


BROKEN = ["one\ntwo", "one\r\nx-admin: yes", "Bearer one", "schlüssel"]


@pytest.mark.parametrize("key", BROKEN, ids=ascii)
def test_what_no_header_can_carry_is_refused_and_not_printed(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPLITWAY_API_KEY", key)
    with pytest.raises(SetupError, match="SPLITWAY_API_KEY must be one word") as caught:
        gateway_headers()
    assert not [part for part in key.split() if part != "one" and part in caught.value.detail]


@pytest.mark.parametrize("key", [*BROKEN, "o\0ne"], ids=ascii)
def test_nor_is_it_out_of_a_file(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text(key)
    monkeypatch.setenv("SPLITWAY_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SetupError, match=r"SPLITWAY_API_KEY.* must (be one word|hold exactly one line)") as caught:
        gateway_headers()
    assert not [part for part in key.split() if part != "one" and part in caught.value.detail]


@pytest.mark.parametrize(
    ("content", "says"), [(None, "cannot read .*: No such file"), ("", "must hold exactly one line")]
)
def test_a_file_without_a_key_is_one_line(content: str | None, says: str, folder: Path) -> None:
    if content is not None:
        (folder / "other").write_text(content)
    done = splitway("classify", "cat.jpg", cwd=folder, SPLITWAY_API_KEY_FILE="other")
    assert re.search(f"SPLITWAY_API_KEY_FILE: .*{says}", one_line(done))


def _reply(status: int, content: object, *, key: bool) -> httpx.Response:
    request = httpx.Request("GET", URL, headers={"authorization": f"Bearer {KEY}"} if key else {})
    return httpx.Response(status, request=request, json=content)


EXPIRED = {"code": "unauthorized", "detail": "key 0123456789 has expired; ask for a new one"}
FORBIDDEN = {"code": "forbidden", "detail": "this needs the scope 'infer'"}


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (_reply(401, {}, key=False), f"{URL} requires a key"),
        (_reply(401, ["a proxy's own"], key=False), f"{URL} requires a key"),
        (_reply(401, {"detail": "it is\x1b[2J unknown"}, key=True), r"SPLITWAY_API_KEY (it is\x1b[2J unknown)"),
        (
            _reply(403, FORBIDDEN, key=True),
            "does not permit this for the key in SPLITWAY_API_KEY (this needs the scope",
        ),
    ],
    ids=["no-key", "proxy", "wrong-key", "scope"],
)
def test_what_is_said_of_who_asks_is_a_sentence_and_an_advice(reply: httpx.Response, says: str) -> None:
    found = refusal(reply, URL, "infer")
    assert found is not None
    assert says in found.says
    assert found.do.endswith("splitway keys create NAME --scope infer makes one")


@pytest.mark.parametrize(
    "reply", [_reply(200, {}, key=True), _reply(403, {"detail": "a proxy's own"}, key=True), _reply(400, {}, key=False)]
)
def test_any_other_answer_is_not_about_who_asks(reply: httpx.Response) -> None:
    assert refusal(reply, URL, "infer") is None


@pytest.mark.parametrize("command", ["classify", "bench", "top"])
def test_help_says_where_the_key_goes_and_there_is_no_option_for_it(command: str) -> None:
    told = splitway(command, "--help", COLUMNS="200").stdout
    assert "SPLITWAY_API_KEY" in told
    assert "--api-key" not in told


NEW = "splitway keys create NAME --scope infer"


@pytest.mark.parametrize(
    ("content", "in_file", "do"),
    [
        (EXPIRED, False, f"make a new one with {NEW}, and set SPLITWAY_API_KEY to that"),
        (EXPIRED, True, f"make a new one with {NEW}, and write that into the file of SPLITWAY_API_KEY_FILE"),
        (
            {"detail": "the token has expired"},
            False,
            f"set SPLITWAY_API_KEY to a key with the scope infer; {NEW} makes",
        ),
        ({}, True, "write a key with the scope infer into the file of SPLITWAY_API_KEY_FILE; "),
    ],
    ids=["expired", "expired-in-a-file", "token", "in-a-file"],
)
def test_the_advice_is_about_the_key_and_where_it_comes_from(
    content: dict[str, str], in_file: bool, do: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = "SPLITWAY_API_KEY_FILE" if in_file else "SPLITWAY_API_KEY"
    monkeypatch.setenv(variable, "anything")
    refused = refusal(_reply(401, content, key=True), URL, "infer")
    assert refused is not None
    assert refused.says.partition(" (")[0].endswith(f" does not accept the key in {variable}")
    assert refused.do.startswith(do)


def test_a_key_of_a_file_that_is_none_is_said_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("two words")
    monkeypatch.setenv("SPLITWAY_API_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SetupError, match=r"^SPLITWAY_API_KEY_FILE must be one word"):
        gateway_headers()

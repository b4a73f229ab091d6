"""What is kept of a key, and what is not."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from splitway.cli.operate.keys import create, revoke
from splitway.errors import SetupError, Unauthorized
from splitway.security.callers.keys import KeyRing, change_keys, key_hash, key_id, make_key, read_keys
from testkit.support import splitway


class Hands:
    """Both clocks of a ring, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.date = datetime.now(UTC)

    def clock(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.date


def ring_of(path: Path, hands: Hands) -> KeyRing:
    return KeyRing(path, hands.clock, hands.now)


def test_a_key_has_256_random_bits_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    keys = [create(file, "shop", ["infer"], "90d")[0] for _ in range(3)]
    assert len(set(keys)) == 3
    for key in keys:
        assert re.fullmatch(r"splitway_[0-9a-f]{10}_[A-Za-z0-9_-]{43}", key)  # 43 characters of 6 bits: 32 bytes
        secret = key.split("_", 2)[2]
        assert secret not in file.read_text()
        assert key_hash(key) in file.read_text()


def test_each_key_opens_what_it_was_made_for(tmp_path: Path) -> None:
    file, hands = tmp_path / "keys.json", Hands()
    infer, _ = create(file, "shop", ["infer"], "never", cost_per_minute=60, concurrency=2)
    both, _ = create(file, "ops", ["admin", "metrics"], "never")
    ring = ring_of(file, hands)
    shop, ops = ring.verify(infer), ring.verify(both)
    assert shop.scopes == {"infer"}
    assert (shop.cost_per_minute, shop.concurrency) == (60, 2)
    assert ops.scopes == {"admin", "metrics"}
    assert shop.id == key_id(infer) != ops.id


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key[:-1],
        lambda key: key + "A",
        lambda key: key.replace("splitway_", ""),
        lambda key: "splitway_0123456789_" + key.split("_", 2)[2],
        key_hash,
        lambda key: key + "\x00",
        lambda _: "",
        lambda _: "ä" * 60,
    ],
    ids=["last", "short", "long", "bare", "another id", "its hash", "nul", "empty", "no ascii"],
)
def test_nothing_else_opens_anything(tmp_path: Path, spoil: object) -> None:
    file = tmp_path / "keys.json"
    key, _ = create(file, "shop", ["infer"], "90d")
    ring = KeyRing(file, Hands().clock)
    assert ring.verify(key)
    with pytest.raises(Unauthorized):
        ring.verify(spoil(key))  # type: ignore[operator]


def test_a_key_expires(tmp_path: Path) -> None:
    file, hands = tmp_path / "keys.json", Hands()
    key, record = create(file, "shop", ["infer"], "12h")
    assert record.expires is not None
    hands.date = record.expires - timedelta(seconds=1)
    ring = ring_of(file, hands)
    assert ring.verify(key)
    hands.date = record.expires
    with pytest.raises(Unauthorized, match=f"key {record.id} has expired"):
        ring.verify(key)
    with pytest.raises(Unauthorized, match="unknown key"):  # whoever only knows the id is told nothing of it
        ring.verify(key[:-1] + ("A" if key[-1] != "A" else "B"))


def test_a_running_ring_follows_its_file(tmp_path: Path) -> None:
    file, hands = tmp_path / "keys.json", Hands()
    first, record = create(file, "shop", ["infer"], "90d")
    ring = ring_of(file, hands)
    second, _ = create(file, "shop", ["infer"], "90d")
    with pytest.raises(Unauthorized):
        ring.verify(second)
    hands.seconds = 1.0
    assert ring.verify(second)
    revoke(file, record.id)
    hands.seconds = 2.0
    with pytest.raises(Unauthorized):
        ring.verify(first)


def test_what_has_become_of_the_keys_is_audited(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, hands = tmp_path / "keys.json", Hands()
    kept, gone, other = (create(file, name, ["infer"], "90d")[1].id for name in ("kept", "gone", "other"))
    ring = ring_of(file, hands)
    added = create(file, "added", ["infer"], "90d")[0]
    revoke(file, gone)
    longer = datetime(2100, 1, 1, tzinfo=UTC)
    keys = tuple(k.model_copy(update={"expires": longer}) if k.id == kept else k for k in read_keys(file).keys)
    change_keys(file, lambda content: content.model_copy(update={"keys": keys}))
    hands.seconds = 1.0
    assert ring.verify(added)
    (line,) = (record.__dict__ for record in caplog.records if record.name == "splitway.audit")
    assert (line["added"], line["gone"], line["changed"]) == ([key_id(added)], [gone], [kept])
    assert other not in str(line)


@pytest.mark.parametrize("content", [b"", b"{", b'{"keys": [1]}', None], ids=["empty", "half", "nonsense", "gone"])
def test_a_broken_file_changes_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    file, hands = tmp_path / "keys.json", Hands()
    key, _ = create(file, "shop", ["infer"], "90d")
    ring = ring_of(file, hands)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    for second in (1.0, 2.0, 3.0):
        hands.seconds = second
        assert ring.verify(key)
    assert len(caplog.records) == 1
    assert "stay in force" in caplog.text


def test_a_ring_does_not_begin_with_a_broken_file(tmp_path: Path) -> None:
    for content, says in ((b"{}x", "is no file of keys"), (None, "splitway keys create makes it")):
        file = tmp_path / "keys.json"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(SetupError, match=says):
            KeyRing(file, Hands().clock)


def test_two_keys_of_one_id_are_no_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create(file, "shop", ["infer"], "90d")
    content = orjson.loads(file.read_bytes())
    content["keys"] *= 2
    file.write_bytes(orjson.dumps(content))
    with pytest.raises(SetupError, match="same id"):
        read_keys(file)


def test_keys_made_at_once_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: create(file, f"n{n}", ["infer"], "1d")[1].id, range(24)))
    assert sorted(made) == sorted(record.id for record in read_keys(file).keys)


@pytest.mark.parametrize(
    ("name", "scopes", "expires", "says"),
    [
        ("shop", ["root"], "1d", "no scope root"),
        ("shop", ["infer"], "1y", "--expires takes"),
        ("shop", ["infer"], "0d", "--expires takes"),
        ("shop", ["infer"], "9999d", "--expires takes"),
        ("", ["infer"], "1d", "name"),
        ("a\x1b[2J", ["infer"], "1d", "text that can be shown"),
    ],
)
def test_what_cannot_be_made_is_said_and_changes_nothing(
    tmp_path: Path, name: str, scopes: list[str], expires: str, says: str
) -> None:
    file = tmp_path / "keys.json"
    with pytest.raises(SetupError, match=says):
        create(file, name, scopes, expires)
    assert not file.exists()


def test_revoking_nobody_is_said_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    key, _ = create(file, "shop", ["infer"], "1d")
    before = file.read_bytes()
    with pytest.raises(SetupError, match="give the id within it"):
        revoke(file, key)
    with pytest.raises(SetupError, match="no key of that id"):
        revoke(file, "0" * 10)
    id_ = key_id(key)
    with pytest.raises(SetupError, match=f"no key of that id; of that name there is {id_}: give the id"):
        revoke(file, "shop")
    with pytest.raises(SetupError, match="there is no file"):
        revoke(tmp_path / "other.json", "0" * 10)
    assert file.read_bytes() == before


def test_errors_never_show_a_hash() -> None:
    with pytest.raises(SetupError) as caught:
        make_key("x" * 81, ("infer",))
    assert "xxx" not in caught.value.detail


def test_each_key_is_a_line_of_a_narrow_terminal(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create(file, "web-shop", ["infer", "metrics", "admin"], "90d")
    create(file, "a name that is longer than others are", ["infer", "metrics", "admin"], "never")
    for width in ("80", "20"):
        lines = splitway("keys", "list", "--file", file, COLUMNS=width).stdout.splitlines()
        assert [line.split()[0] for line in lines] == ["id", *(record.id for record in read_keys(file).keys)]
    short = tmp_path / "short.json"
    _, record = create(short, "web-shop", ["infer", "metrics", "admin"], "90d", cost_per_minute=6000, concurrency=16)
    heading, line = splitway("keys", "list", "--file", short).stdout.splitlines()
    assert heading.rstrip().endswith("at once")
    assert len(line.rstrip()) <= 80
    assert f"{record.expires:%Y-%m-%d}" in line
    assert ":" not in line


def test_a_second_key_of_a_name_is_remarked_on(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    first = splitway("keys", "create", "shop", "--file", file)
    second = splitway("keys", "create", "shop", "--file", file)
    assert "more than one" not in first.stderr
    assert f"there is more than one key for shop now: {read_keys(file).keys[0].id} too" in second.stderr
    assert second.stdout.strip().startswith("splitway_")

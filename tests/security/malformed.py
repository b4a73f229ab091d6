"""Requests that are no valid HTTP/1.1, or that nobody who means well sends: many kinds, each of them in many forms.

All but those that are wrong in their body ask for a route that answers 200, so that one that gets through is seen.
"""

from __future__ import annotations

import random
from collections.abc import Callable

PATH = "/livez"
READER = "/the-route-that-reads-its-body"
"""To be replaced by a real one."""
Make = Callable[[random.Random], bytes]


def _word(dice: random.Random, longest: int = 12) -> str:
    return "".join(dice.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=dice.randint(1, longest)))


def _head(*lines: str, target: str = PATH, host: str | None = "localhost", version: str = "HTTP/1.1") -> bytes:
    hosts = [] if host is None else [f"Host: {host}"]
    return "\r\n".join([f"GET {target} {version}", *hosts, *lines, "", ""]).encode("latin-1")


def _old(*lines: str) -> bytes:
    return _head(*lines, version="HTTP/1.0") + b"0\r\n\r\n"


def _post(line: str, body: bytes) -> bytes:
    return b"POST " + _head(line, target=READER)[4:] + body


def _chunked(body: bytes) -> bytes:
    return _post("Transfer-Encoding: chunked", body)


def _framed(dice: random.Random, line: str) -> bytes:
    """A head with an ill-formed line about its body, and a body that could be taken for another request."""
    lines = [line, f"X-{_word(dice)}: {_word(dice)}"]
    dice.shuffle(lines)
    return _head(*lines) + b"0\r\n\r\n" + _head()


def _length(dice: random.Random) -> bytes:
    n = dice.randint(1, 99)
    form = dice.choice(["+{}", "-{}", "0x{}", "{} 0", "{},{}", "{}, {}", "", "{}.0", "{}e1", "²", "1{:030d}", '"{}"'])
    return _framed(dice, f"Content-Length: {form.format(n, n)}")


def _encoding(dice: random.Random) -> bytes:
    forms = ["xchunked", "chunked, identity", "identity", "gzip, chunked", "identity, chunked", "chunked;q=1", ""]
    forms += [",chunked", "chunked,", "\x0bchunked", '"chunked"', "chunked\x00", "chunked, chunked", "chun ked"]
    return _framed(dice, f"Transfer-Encoding: {dice.choice(forms)}")


def _both(dice: random.Random) -> bytes:
    lines = [f"Content-Length: {dice.randint(0, 99)}", "Transfer-Encoding: chunked"]
    dice.shuffle(lines)
    return _head(*lines) + b"0\r\n\r\n"


def _control(dice: random.Random) -> str:
    return chr(dice.choice([*range(9), 11, 12, *range(14, 32), 127]))


def _long_target(dice: random.Random) -> bytes:
    return _head(target=f"{PATH}?{_word(dice)}={'a' * dice.randint(8200, 60_000)}")


def _escape(dice: random.Random) -> str:
    return dice.choice(["%00", "%0d%0aX:%20y", "%zz", "%", "%f", "%ff", "%c3", "%ed%a0%80", "%c0%af", "%1b", "%7f"])


def _other_protocol(dice: random.Random) -> bytes:
    tls = bytes.fromhex("16030100c8010000c40303") + dice.randbytes(189)
    h2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")
    others = [b"SSH-2.0-OpenSSH_9.0\r\n", b"EHLO localhost\r\n", b"*1\r\n$4\r\nPING\r\n", b"\x05\x01\x00"]
    return dice.choice([tls, tls, h2, *others])


def _chunk(dice: random.Random) -> bytes:
    forms = ["zz\r\n", "-1\r\n", "0x1\r\na\r\n", f"{'f' * 17}\r\n", "1\na\n0\n\n", "1 \r\na\r\n", "1\r\nab\r\n", "\r\n"]
    forms += [";x\r\n", "1;a\nb\r\na\r\n", "1;a\x00b\r\na\r\n", "0\r\nno trailer\r\n\r\n", "0\r\nX: a\x00\r\n\r\n"]
    return _chunked(dice.choice(forms).encode() + b"0\r\n\r\n")


def _repeated(dice: random.Random) -> bytes:
    names = ["Authorization", "Content-Type", "Content-Encoding", "Inference-Header-Content-Length"]
    name = dice.choice([*names, "X-Service-Token", "X-Request-Timeout-Ms", "Expect"])
    values = ("100-continue",) * 2 if name == "Expect" else (_word(dice), _word(dice))
    return _head(*(f"{dice.choice([name, name.lower(), name.upper()])}: {value}" for value in values))


def _request_line(dice: random.Random) -> bytes:
    word = _word(dice)
    lines = [f"GET\t{PATH}\tHTTP/1.1", f"GET {PATH} HTTP/1.1 ", f"GET {PATH} {word} HTTP/1.1", "GET HTTP/1.1"]
    lines += [f" GET {PATH} HTTP/1.1", f"{PATH} HTTP/1.1", word, f"GET {PATH} HTTP/1.1{word}"]
    return f"{dice.choice(lines)}\r\nHost: localhost\r\n\r\n".encode()


def _method(dice: random.Random) -> bytes:
    method = dice.choice(["get", "FOO", "G\xc3T", "GETT", "G\x00T", _word(dice).upper() + "X", "GET\x0b"])
    return f"{method} {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("latin-1")


def _version(dice: random.Random) -> bytes:
    versions = ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/2", "HTTP/3", "http/1.1", "HTTPS/1.1", "HTTP/11", "HTTP/1,1"]
    return _head(version=dice.choice([*versions, "HTTP/-1.1", "HTTP/1.1.1", "FTP/1.1", ""]))


def _bare(dice: random.Random) -> bytes:
    """One line end of the head is not what it has to be."""
    head = _head(f"X-A: {_word(dice)}", f"X-B: {_word(dice)}")[:-4]
    ends = [position for position in range(len(head)) if head.startswith(b"\r\n", position)]
    at = dice.choice(ends)
    return head[:at] + dice.choice([b"\n", b"\r", b"\r\r\n"]) + head[at + 2 :] + b"\r\n\r\n"


KINDS: dict[str, Make] = {
    "both a content-length and a transfer-encoding": _both,
    "two equal content-lengths": lambda dice: _head(*(["Content-Length: 1"] * dice.randint(2, 5))) + b"a",
    "two different content-lengths": lambda dice: _head("Content-Length: 1", f"Content-Length: {dice.randint(2, 9)}"),
    "ill-formed content-length": _length,
    "obfuscated transfer-encoding": _encoding,
    "repeated transfer-encoding": lambda dice: _framed(dice, "Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
    "transfer-encoding on HTTP/1.0": lambda dice: _old(f"X: {_word(dice)}", "Transfer-Encoding: chunked"),
    "bare line ends": _bare,
    "bare CR in a value": lambda dice: _head(f"X: {_word(dice)}\r{_word(dice)}"),
    "space before the colon": lambda dice: _head(f"{dice.choice(['X', 'Content-Length', 'Host'])}{' ' * 2}: 1"),
    "folded header": lambda dice: _head(f"X: a\r\n{dice.choice([' ', chr(9)])}{_word(dice)}"),
    "folded first header": lambda dice: f"GET {PATH} HTTP/1.1\r\n X: {_word(dice)}\r\nHost: a\r\n\r\n".encode(),
    "control character in a value": lambda dice: _head(f"X: {_word(dice)}{_control(dice)}{_word(dice)}"),
    "control character in a name": lambda dice: _head(f"X{_control(dice)}: a"),
    "name that is no token": lambda dice: _head(f"{dice.choice(['(x)', 'é', '', 'a b', 'x[', 'x@', '{'])}: a"),
    "header without a colon": lambda dice: _head(_word(dice)),
    "no Host": lambda dice: _head(f"X: {_word(dice)}", host=None),
    "two Hosts": lambda dice: _head(f"Host: {dice.choice(['localhost', _word(dice)])}"),
    "ill-formed Host": lambda dice: _head(
        host=dice.choice(["", "a b", "a/b", "a@b", "a, b", "a:b", "[::1", "é", "a?b"])
    ),
    "target of another host": lambda dice: _head(target=f"http://{_word(dice)}.example{PATH}"),
    "target of another scheme": lambda dice: _head(
        target=f"{dice.choice(['ftp', 'file', 'gopher'])}://localhost{PATH}"
    ),
    "target with a user": lambda dice: _head(target=f"http://{_word(dice)}@localhost{PATH}"),
    "target that is no path": lambda dice: _head(target=dice.choice(["livez", "localhost:80", "?a", "*", "\\livez"])),
    "fragment in the target": lambda dice: _head(target=f"{PATH}#{_word(dice)}"),
    "escape that decodes to nothing good": lambda dice: _head(target=f"{PATH}{_escape(dice)}"),
    "raw bytes in the target": lambda dice: _head(target=f"{PATH}{dice.choice(['é', chr(0), chr(1), chr(255), '?é'])}"),
    "target too long": _long_target,
    "header too long": lambda dice: _head(f"X: {'a' * dice.randint(16_400, 90_000)}"),
    "name too long": lambda dice: _head(f"{'X' * dice.randint(16_400, 90_000)}: a"),
    "too many headers": lambda dice: _head(*(f"X-{n}: {_word(dice)}" for n in range(dice.randint(101, 500)))),
    "unknown expectation": lambda dice: _head(f"Expect: {dice.choice(['', '100-continue, '])}{_word(dice)}x"),
    "ill-formed request line": _request_line,
    "unknown method": _method,
    "unknown version": _version,
    "CONNECT": lambda dice: f"CONNECT {_word(dice)}.example:443 HTTP/1.1\r\nHost: a:443\r\n\r\n".encode(),
    "another protocol": _other_protocol,
    "random bytes": lambda dice: dice.randbytes(dice.randint(20, 400)) + b"\r\n\r\n",
    "ill-formed chunks": _chunk,
    "endless chunk extension": lambda dice: _chunked(b"1;" + b"a" * dice.randint(400_000, 900_000)),
    "endless trailer": lambda dice: _chunked(b"0\r\nX: " + b"a" * dice.randint(400_000, 900_000)),
    "repeated header that may stand once": _repeated,
    "blank lines without end": lambda dice: b"\r\n" * dice.randint(200_000, 400_000),
}
"""Each is answered with a 4xx."""

CUT_SHORT: dict[str, Make] = {
    "head cut short": lambda dice: _head("X: a")[: dice.randint(1, 30)],
    "body cut short": lambda dice: _post(f"Content-Length: {dice.randint(10, 99)}", b"a" * dice.randint(0, 9)),
    "chunk cut short": lambda dice: _chunked(b"ff\r\n" + b"a" * dice.randint(0, 9)),
    "nothing": lambda _: b"",
}
"""Hung up in the middle: nobody is there any more to be answered, so the connection is closed without a word."""

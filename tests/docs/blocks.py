"""The command blocks of a page, and what the comments in front of them say of running them.

A mark is an HTML comment on a line of its own, directly in front of a block:

* `<!-- not run: needs a registry -->` the block cannot run here; with a command, `<!-- not run `make test`: ... -->`,
  this command of it alone;
* `<!-- given: flowers.keras, pets/ -->` what the reader brings, and `tests/docs/given.py` makes;
* `<!-- file: train.py -->` the reader saves the block, of any language, under this name;
* `<!-- shows: Egyptian cat, espresso -->` the block's commands print these words;
* `<!-- after: 3 s -->` the reader needs so long to get here.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

SHELLS = ("sh", "console")
_MARKS = ("not run", "given", "file", "shows", "after")
_NAMES = "|".join(_MARKS)
_MARK = re.compile(rf"^\s*<!-- ({_NAMES})(?: `([^`]+)`)?: (.+?) -->\s*$")
_COMMENT = re.compile(rf"^\s*<!-- ((?:{_NAMES})\b.*?)-->\s*$")
_FENCE = re.compile(r"^( *)```(\w*)\s*$")
_STARTS = re.compile(r"(^|[\s/])(make up|splitway up|splitway serve|docker compose\b.* up)\b")
_STARTS_NOTHING = re.compile(r"\s(--help|-h)\b|docker compose\b.* (exec|run)\b")
_RETURNS = re.compile(r"\s(-d|--detach)\b")


class PageError(Exception):
    """A page cannot be run as it is written; the text says where and why."""


@dataclass(frozen=True)
class Command:
    """One complete command of a block, over one line or several."""

    line: int
    """Of the page, from 1."""
    text: str
    not_run: str | None = None
    """Why it cannot run here."""

    @property
    def starts(self) -> bool:
        """Whether it starts a pipeline, so that what stayed before must have ended."""
        return bool(_STARTS.search(self._words)) and not _STARTS_NOTHING.search(self._words)

    @property
    def stays(self) -> bool:
        """Whether it runs until Ctrl-C, as a reader's other terminal does."""
        return self.starts and not _RETURNS.search(self._words)

    @property
    def _words(self) -> str:
        """The command without its remark."""
        return re.sub(r"\s#.*$", "", self.text)

    @property
    def needs_docker(self) -> bool:
        return bool(re.search(r"(^|[\s;&|])docker\s", self.text))


@dataclass(frozen=True)
class Block:
    """A block of commands, or a file that the page has the reader save."""

    line: int
    """Of its first line of text."""
    text: str
    commands: tuple[Command, ...] = ()
    not_run: str | None = None
    given: tuple[str, ...] = ()
    file: str | None = None
    shows: tuple[str, ...] = ()
    after_s: float = 0.0


@dataclass
class _Marks:
    """The comments in front of a block."""

    found: dict[tuple[str, str | None], str] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        return self.found.get((name, None))

    def names(self, name: str) -> tuple[str, ...]:
        return tuple(part.strip() for part in (self.one(name) or "").split(", ") if part.strip())

    @property
    def after_s(self) -> float:
        return float((self.one("after") or "0 s").removesuffix(" s"))

    def commands(self) -> dict[str, str]:
        return {command: why for (name, command), why in self.found.items() if name == "not run" and command}


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a page that a reader types or saves, in its order. Raises PageError for a wrong mark."""
    return list(_blocks(text.splitlines()))


def _blocks(lines: list[str]) -> Iterator[Block]:
    marks, number = _Marks(), 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if mark := _MARK.match(line):
            marks.found[mark[1], mark[2]] = mark[3]
        elif comment := _COMMENT.match(line):
            raise PageError(f"line {number}: {comment[1]!r} is no mark; it is one of {', '.join(_MARKS)}, then a colon")
        elif fence := _FENCE.match(line):
            end = next((at for at in range(number, len(lines)) if lines[at].strip() == "```"), None)
            if end is None:
                raise PageError(f"line {number}: the block has no end")
            body = [each.removeprefix(fence[1]) for each in lines[number:end]]
            if fence[2] in SHELLS or marks.one("file"):
                yield _block(number + 1, fence[2], body, marks)
            elif marks.found:
                raise PageError(f"line {number}: a mark belongs to a block of {' or '.join(SHELLS)}, or names a file")
            marks, number = _Marks(), end + 1
        elif line.strip() and marks.found:
            raise PageError(f"line {number}: a mark stands directly in front of a block")


def _block(line: int, language: str, body: list[str], marks: _Marks) -> Block:
    text = "\n".join(body)
    not_run, given, shows = marks.one("not run"), marks.names("given"), marks.names("shows")
    if (file := marks.one("file")) is not None:
        return Block(line, f"{text}\n", not_run=not_run, given=given, file=file)
    typed = _typed(body) if language == "console" else list(enumerate(body))
    commands = [Command(line + offset, command) for offset, command in _complete(typed)]
    refused = marks.commands()
    for command, why in refused.items():
        if not any(each.text.startswith(command) for each in commands):
            raise PageError(f"line {line}: no command of the block begins with {command!r}, which is not run: {why}")
    told = (
        Command(c.line, c.text, next((w for n, w in refused.items() if c.text.startswith(n)), None)) for c in commands
    )
    return Block(line, text, tuple(told), not_run, given, shows=shows, after_s=marks.after_s)


def _typed(body: list[str]) -> list[tuple[int, str]]:
    """What is typed at a prompt: lines behind `$`, and those behind `>` that go on."""
    return [(number, line[2:]) for number, line in enumerate(body) if line.startswith(("$ ", "> "))]


def _complete(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Put lines together until the shell takes them for a whole command: quotes, here-documents, backslashes."""
    pending: list[str] = []
    first = 0
    for number, line in lines:
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        first = first if pending else number
        pending.append(line)
        if _is_whole("\n".join(pending)):
            yield first, "\n".join(pending)
            pending = []
    if pending:
        yield first, "\n".join(pending)


def _is_whole(command: str) -> bool:
    if command.endswith("\\"):
        return False
    looked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True, check=False)
    return looked.returncode == 0 and not looked.stderr

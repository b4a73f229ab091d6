"""Run the command blocks of pages in the order of each page, in an empty clone of the repository: `make test-docs`.

    python -m tests.docs.run README.md docs/tutorial.md [--fresh]

Each page has a clone of HEAD of its own, with `make setup`. The default bundles are those of this folder where there
are any; with --fresh the clone makes its own. `tests/docs/blocks.py` says what can be marked in a page.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.docs.blocks import Block, Command, PageError, blocks_of
from tests.docs.given import bring
from tests.docs.shell import CommandFailed, Shell, refuse_taken_port

ROOT = Path(__file__).parents[2]
_OF_OURS = ("SPLITWAY_", "COMPOSE_", "MAKE", "MFLAGS", "VIRTUAL_ENV", "PYTHONPATH")
"""Beginnings of variables that a reader does not have."""


def main() -> None:
    """Run the pages one after the other; exit with 1 where a command failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", help="pages, as seen from the root, such as docs/tutorial.md")
    parser.add_argument("--fresh", action="store_true", help="make the default bundles anew")
    options = parser.parse_args()
    if sum([not passes(page, fresh=options.fresh) for page in options.pages]):
        sys.exit(1)


def passes(page: str, *, fresh: bool) -> bool:
    """Run one page in a clone; say what is run, and whether all of it went well."""
    began_s = time.monotonic()
    try:
        refuse_taken_port()
        with cloned() as folder, tempfile.TemporaryDirectory(prefix="splitway-docs-") as scratch:
            set_up(folder, fresh=fresh)
            with run_page(page, Shell(folder, Path(scratch), environment(folder))):
                pass
            _refuse_what_is_left(folder)
    except (PageError, CommandFailed) as error:
        print(f"FAILED  {error}", flush=True)
        return False
    print(f"passed  {page}  {time.monotonic() - began_s:.0f} s", flush=True)
    return True


@contextmanager
def run_page(page: str, shell: Shell) -> Iterator[None]:
    """Do what a page says; what stays at its end stays for the body of the `with`.

    Raises PageError, which names page and line, for the first command that fails.
    """
    try:
        for block in blocks_of((shell.folder / page).read_text(encoding="utf-8")):
            _run_block(page, block, shell)
        yield
        shell.end_beside()
    except CommandFailed as error:
        raise PageError(f"{page}, at its end: {error}") from error
    except PageError as error:
        raise PageError(str(error) if str(error).startswith(page) else f"{page}: {error}") from error
    finally:
        with suppress(CommandFailed):
            shell.end_beside()


def _run_block(page: str, block: Block, shell: Shell) -> None:
    if block.not_run is not None:
        print(f"  {page}:{block.line}  not run: {block.not_run}", flush=True)
        return
    time.sleep(block.after_s)
    for name in block.given:
        bring(name, shell)
    if block.file is not None:
        (shell.folder / block.file).write_text(block.text, encoding="utf-8")
        return
    printed = "".join(_run(page, command, shell) for command in block.commands)
    for words in block.shows:
        if words not in printed:
            raise PageError(f"{page}, line {block.line}: the block does not print {words!r} but\n{printed}")


def _run(page: str, command: Command, shell: Shell) -> str:
    where, first = f"{page}:{command.line}", command.text.splitlines()[0]
    if command.not_run is not None:
        print(f"  {where}  not run: {first}: {command.not_run}", flush=True)
        return ""
    if command.needs_docker and not _engine_answers():
        print(f"  {where}  not run: {first}: no Docker engine answers", flush=True)
        return ""
    began_s = time.monotonic()
    try:
        if command.starts:
            shell.end_beside()
        printed = shell.run_beside(command.text) if command.stays else shell.run(command.text)
    except CommandFailed as error:
        raise PageError(f"{page}, line {command.line}: {command.text}\n{error}") from error
    print(f"  {where}  {time.monotonic() - began_s:5.1f} s  {first}", flush=True)
    return printed


def _engine_answers() -> bool:
    with suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode == 0
    return False


def environment(folder: Path) -> dict[str, str]:
    """Return what a reader has in a clone: `splitway` is that of its .venv, and no setting of ours is there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OF_OURS)}
    return {**kept, "PATH": f"{folder / '.venv' / 'bin'}{os.pathsep}{kept['PATH']}"}


@contextmanager
def cloned() -> Iterator[Path]:
    """A clone of HEAD, whose compose project is its own, and goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="splitway-docs-"))
    try:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        yield folder
    finally:
        _end_all_in(folder)
        _end_containers_of(folder.name)
        shutil.rmtree(folder, ignore_errors=True)


def set_up(folder: Path, *, fresh: bool) -> None:
    """Make the clone's environment, and unless it is to make them itself, put the default bundles there."""
    made = subprocess.run(
        ["make", "setup"], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise CommandFailed(f"make setup in {folder}\n{made.stdout}{made.stderr}")
    if not fresh and (ROOT / "models").is_dir():
        for name in ("feature_extractor", "classifier"):
            shutil.copytree(ROOT / "models" / name / "1", folder / "models" / name / "1")


def _processes_in(folder: Path) -> Iterator[tuple[int, str]]:
    """Processes whose program or folder lies in a clone, and what they were started with."""
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            if int(each.name) != os.getpid() and (str(folder) in words or (each / "cwd").readlink() == folder):
                yield int(each.name), words


def _refuse_what_is_left(folder: Path) -> None:
    if left := [words for _, words in _processes_in(folder)]:
        raise CommandFailed(f"the page leaves processes running: {', '.join(left)}")


def _end_all_in(folder: Path) -> None:
    for pid, _ in _processes_in(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _end_containers_of(project: str) -> None:
    """Remove containers, volumes, networks and images of a compose project, where there is an engine."""
    if not shutil.which("docker") or not _engine_answers():
        return
    label = f"label=com.docker.compose.project={project}"
    _remove(["docker", "ps", "--all", "--quiet", "--filter", label], ["docker", "rm", "--force"])
    for kind in ("volume", "network"):
        _remove(["docker", kind, "ls", "--quiet", "--filter", label], ["docker", kind, "rm"])
    _remove(["docker", "images", "--quiet", "--filter", f"reference={project}*/*"], ["docker", "rmi", "--force"])


def _remove(listing: list[str], removing: list[str]) -> None:
    if found := sorted(set(subprocess.run(listing, capture_output=True, text=True, check=False).stdout.split())):
        subprocess.run([*removing, *found], capture_output=True, check=False)


if __name__ == "__main__":
    main()

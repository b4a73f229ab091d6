"""Install Splitway into an empty venv outside the repository, and use it there as its users do.

`python -m tests.package.run` (`make test-package`) installs from the package index, and TensorFlow takes minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.package.every_command import every_command, furnish

ROOT = Path(__file__).parent.parent.parent
MOST_NEED = {"build", "inspect", "split", "serve", "up", "demo"}
"""Commands that can do nothing without an extra."""
READY_WITHIN_S = 120.0
LOAD = """
from pathlib import Path
import splitway
pipeline = splitway.load("models")
probabilities = pipeline({"image": [Path("cat.jpg").read_bytes()]})["classifier"]["probabilities"]
print(splitway.__file__, pipeline.labels["classifier"][probabilities[0].argmax()], probabilities.max())
"""
WITHOUT_KERAS = """
import splitway
try:
    splitway.split("model.keras")
except splitway.SplitwayError as error:
    print(error.detail)
"""


class Elsewhere:
    """A folder outside the repository with a venv of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.environment: Mapping[str, str] = {
            name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
        }
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
        shutil.copy(ROOT / "samples" / "cat.jpg", folder)

    def command(self, name: str, *arguments: str) -> list[str]:
        return [str(self._folder / "venv" / "bin" / name), *arguments]

    def install(self, *extras: str) -> None:
        """Install from the repository's folder, as from any other; what it needs comes from the index."""
        what = f"[{','.join(extras)}]" if extras else ""
        say(f"pip install .{what}")
        self.run("pip", "install", "--quiet", "--disable-pip-version-check", f"{ROOT}{what}")

    def check_without_extras(self) -> None:
        """Call every command. Ends with a sentence if one fails with more than a line, or does not end."""
        furnish(self._folder)
        for words in every_command():
            ended = subprocess.run(
                self.command("splitway", *words),
                cwd=self._folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            last = (ended.stderr.strip().splitlines() or [""])[-1]
            print(f"{ended.returncode}  splitway {' '.join(words)}: {last}")
            if "Traceback" in ended.stderr or (words[0] in MOST_NEED and "pip install 'splitway[" not in last):
                raise SystemExit(f"splitway {' '.join(words)} does not say what to install:\n{ended.stderr}")

    def run(self, name: str, *arguments: str) -> str:
        """Return what a command of the venv prints; what it says on stderr is shown. Raises CalledProcessError."""
        command = self.command(name, *arguments)
        env = dict(self.environment)
        done = subprocess.run(command, cwd=self._folder, env=env, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def serve_and_ask(self) -> str:
        """Return what `splitway classify` prints while `splitway up` runs."""
        run_file = self._folder / ".splitway" / "run.json"
        command = self.command("splitway", "up", "--port", "0")
        up = subprocess.Popen(command, cwd=self._folder, env=dict(self.environment), stdout=subprocess.DEVNULL)
        try:
            gives_up_s = time.monotonic() + READY_WITHIN_S
            while not _is_ready(run_file):
                if up.poll() is not None or time.monotonic() > gives_up_s:
                    raise SystemExit("splitway up does not get ready")
                time.sleep(0.2)
            said = self.run("splitway", "classify", "cat.jpg")
        finally:
            up.send_signal(signal.SIGINT)
            code = up.wait(60)
        if code != 0:
            raise SystemExit(f"splitway up ended with {code}")
        return said


def _is_ready(run_file: Path) -> bool:
    """Whether the gateway that the run file names can answer."""
    try:
        url = json.loads(run_file.read_text())["gateway"]["url"]
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as reply:  # noqa: S310 - our own run file
            return bool(reply.status == 200)
    except (OSError, ValueError):
        return False


def say(step: str) -> None:
    """Name the step that begins."""
    print(step, file=sys.stderr, flush=True)


def expect(found: str, wanted: str) -> None:
    """End with a sentence unless one text is in the other."""
    print(found.strip())
    if wanted not in found:
        raise SystemExit(f"that does not say {wanted!r}")


def main() -> None:
    """Install, build, load, serve and ask."""
    with tempfile.TemporaryDirectory(prefix="splitway-package-") as name:
        elsewhere = Elsewhere(Path(name))
        elsewhere.install()
        elsewhere.check_without_extras()
        expect(elsewhere.run("python", "-m", "splitway", "--version"), "splitway ")
        elsewhere.install("serve", "gateway")
        expect(elsewhere.run("splitway", "--help"), "classify")
        expect(elsewhere.run("python", "-c", WITHOUT_KERAS), "pip install 'splitway[split]'")
        elsewhere.install("serve", "gateway", "split")
        say("splitway build")
        expect(elsewhere.run("splitway", "build", "--samples", "."), "feature space")
        say("splitway.load")
        expect(elsewhere.run("python", "-c", LOAD), "Egyptian cat")
        say("splitway up, splitway classify")
        expect(elsewhere.serve_and_ask(), "Egyptian cat")


if __name__ == "__main__":
    main()

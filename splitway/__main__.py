"""`python -m splitway` is the command `splitway`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it quietly, also while it is imported."""
    try:
        from splitway.cli.main import app  # noqa: PLC0415 - a third of a second, in which Ctrl-C may come

        app(prog_name="splitway")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

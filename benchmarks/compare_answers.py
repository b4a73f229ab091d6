"""Whether the gateways of two commits answer alike: `python -m benchmarks.compare_answers --before REV`.

Starts pipelines of each commit's own code, sends the same requests to both (benchmarks/answers/requests.py) and
compares status, headers and content of what comes back. Times, ids, places, Splitway's version and the sentences of
errors are set aside. Ends with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.answers.recorded import Recorded
from benchmarks.answers.requests import all_requests
from benchmarks.answers.setups import SETUPS, make_models, started
from benchmarks.earlier import tree_of
from testkit.answers import Answer, differences, essence, exchange

ROOT = Path(__file__).parent.parent


def answers(tree: Path, requests: Sequence[Recorded], models: Path, folder: Path) -> list[Answer]:
    """What the pipelines of a tree answer, in the requests' order."""
    found: dict[int, Answer] = {}
    for name, setup in SETUPS.items():
        with started(tree, setup, models, folder / name) as addresses:
            for number, request in enumerate(requests):
                if request.setup == name:
                    is_head = request.method == "HEAD"
                    found[number] = exchange(addresses[request.to], request.encoded(number), is_head=is_head)
    return [found[number] for number in range(len(requests))]


def compare(requests: Sequence[Recorded], before: Sequence[Answer], after: Sequence[Answer]) -> dict[str, list[str]]:
    """The differences by request; without those that are answered alike."""
    compared = zip(requests, before, after, strict=True)
    found = {request.name: differences(essence(one), essence(other)) for request, one, other in compared}
    return {name: several for name, several in found.items() if several}


def _tell(found: dict[str, list[str]], before: Sequence[Answer], *, shown: bool, requests: Sequence[Recorded]) -> None:
    if shown:
        for request, answer in zip(requests, before, strict=True):
            print(f"{answer.status}  {request.name}")
    for name, several in found.items():
        print(name)
        for difference in several:
            print(f"    {difference}")
    statuses = sorted({answer.status for answer in before})
    alike = len(before) - len(found)
    print(f"{alike} of {len(before)} requests are answered alike; {len(found)} are not. Statuses: {statuses}")


def main() -> int:
    """Ask both, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", required=True, help="a commit")
    parser.add_argument("--after", help="another; this work tree, with what is not committed, if not given")
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="the default bundles, which both serve")
    parser.add_argument("--only", default="", help="the requests whose name has this in it")
    parser.add_argument("--list", action="store_true", help="print how each request was answered before")
    options = parser.parse_args()
    requests = [request for request in all_requests() if options.only in request.name]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="answers-")))
        make_models(options.models, folder / "models")
        trees = [
            ROOT if revision is None else stack.enter_context(tree_of(revision))
            for revision in (options.before, options.after)
        ]
        before, after = (
            answers(tree, requests, folder / "models", folder / name)
            for name, tree in zip(("before", "after"), trees, strict=True)
        )
    found = compare(requests, before, after)
    _tell(found, before, shown=options.list, requests=requests)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

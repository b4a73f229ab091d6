"""Fuzz one target under atheris: what `tests.fuzz.run` starts.

python -m tests.fuzz.one SELF TARGET [options of libFuzzer] FOLDER ...

SELF is a program that does the same, by which libFuzzer starts itself again while it merges.
"""

from __future__ import annotations

import sys
import time
from random import Random

import atheris  # type: ignore[import-untyped]

_FOLLOWED = ("splitway", "starlette.requests", "starlette.formparsers", "starlette.datastructures")

with atheris.instrument_imports(include=[*_FOLLOWED, "python_multipart", "PIL"]):
    from tests.fuzz.json_mutation import mutated_json
    from tests.fuzz.target import load

    itself, name, *options = sys.argv[1:]
    target = load(name)

MAX_CPU_S = 1.0
SEEDS = list(target.seeds())


def run(data: bytes) -> None:
    """Read one input; what takes a second of the processor is as bad as what fails."""
    started_s = time.process_time()
    target.run(data)
    assert time.process_time() - started_s < MAX_CPU_S, "too slow"


def mutated(data: bytes, max_size: int, seed: int) -> bytes:
    """Change an input: as bytes, or its JSON so that it stays JSON; now and then another one than the fuzzer wants,
    who sees no difference between those that one of the readers in C takes."""
    random = Random(seed)
    if target.json_at is None or random.random() < 0.3:
        return bytes(atheris.Mutate(data, max_size))
    if random.random() < 0.3:
        data = random.choice(SEEDS)
    start, end = target.json_at(data)
    return (data[:start] + mutated_json(data[start:end], random, atheris.Mutate) + data[end:])[:max_size]


if __name__ == "__main__":
    atheris.Setup([itself, *options], run, custom_mutator=mutated)
    atheris.Fuzz()

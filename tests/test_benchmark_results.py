"""The tree holds the newest result of each benchmark, and documents cite no other. Git keeps the older ones."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def test_each_benchmark_has_its_newest_result_alone() -> None:
    names = [path.name.split("-", 1)[0] for path in RESULTS.glob("*.json")]
    assert names
    assert len(names) == len(set(names)), "remove the older result"


def test_documents_cite_results_that_are_there() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")]
    cited = {name for page in pages for name in re.findall(r"benchmarks/results/([\w.-]+\.json)", page.read_text())}
    assert cited <= {path.name for path in RESULTS.iterdir()}

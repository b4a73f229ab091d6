"""The documents keep their order: headings, links, the index of decisions, plain words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("[0-9]*.md"))
HEADINGS = ["Quickstart", "API", "Deploy", "Security", "Observability", "Performance", "Development"]
NOT_THERE = ("deploy/helm/", "templates/", "docs/adr/NNNN-title.md")
"""What CONTRIBUTING names that is to come, lies in such a folder, or stands for many."""
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
_PERSONS = re.compile(r"\b(whoever|nobody|somebody|whom|he|his)\b", re.IGNORECASE)
MOST_PERSONS = 9
"""Lines with one of these words; git grep finds 16 more, in the bytes of the pictures in docs/."""


def _anchors(document: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_has_the_headings_that_readers_look_for_and_stays_short() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    assert len(text.splitlines()) < 200


def test_contributing_names_files_that_are_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", text)) - {*NOT_THERE}
    assert "gateway/wiring.py" in named
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for name, anchor in _LINK.findall(document.read_text(encoding="utf-8")):
        target = document.parent / name if name else document
        assert target.exists(), name
        assert not anchor or anchor in _anchors(target), f"{name}#{anchor}"


def test_the_index_of_decisions_has_each_with_its_title_status_and_date() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| \[(.*?)\]\((.*?)\) \| (.*) \| (\S+) \|$", index, re.MULTILINE)
    heads = [re.match(r"# (\d+)\. (.*)\n\n(.*), (\d{4}-\d\d-\d\d)\.\n", file.read_text("utf-8")) for file in DECISIONS]
    assert rows == [
        (head[1], head[2], file.name, head[3], head[4]) for file, head in zip(DECISIONS, heads, strict=True) if head
    ]
    assert len(rows) == len(DECISIONS)


def test_sentences_name_their_subject() -> None:
    folders = [ROOT / name for name in ("gateway", "splitway", "services", "docs")]
    files = [file for folder in folders for kind in ("py", "js", "html", "md") for file in folder.rglob(f"*.{kind}")]
    lines = [line for file in [*files, ROOT / "README.md"] for line in file.read_text("utf-8").splitlines()]
    found = [line for line in lines if _PERSONS.search(line)]
    assert len(found) <= MOST_PERSONS, found

"""Loading an engine leaves the process as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from splitway.bundle import load_bundle
from splitway.errors import BundleError
from splitway.runtime.engines.load import load_engine
from tests.bundles import make_bundle


def test_matplotlib_can_be_imported_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    make_bundle(tmp_path, "classifier", 1, "head", "a")
    with pytest.raises(BundleError):
        load_engine("tensorflow", load_bundle(tmp_path / "classifier" / "1"), 1)
    assert "matplotlib" not in sys.modules

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from splitway.security.identities.certificates import Certificates


@pytest.fixture
def identities(tmp_path: Path) -> Path:
    Certificates(tmp_path, lambda: datetime.now(UTC), lambda: None).create(("gateway", "classifier"))
    return tmp_path

"""The gateway's Locust user. By itself: `PYTHONPATH=. locust -f tests/load/gateway.py --host URL`."""

from __future__ import annotations

from tests.load.user import CheckedUser


class GatewayUser(CheckedUser):
    """Has a JPEG picture classified by the whole chain."""

    service = "gateway"

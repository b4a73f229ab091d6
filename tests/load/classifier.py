"""The classifier's Locust user. By itself: `PYTHONPATH=. locust -f tests/load/classifier.py --host URL`."""

from __future__ import annotations

from tests.load.user import CheckedUser


class ClassifierUser(CheckedUser):
    """Has features of the right feature space classified by one replica."""

    service = "classifier"

"""The extractor's Locust user. By itself: `PYTHONPATH=. locust -f tests/load/feature_extractor.py --host URL`."""

from __future__ import annotations

from tests.load.user import CheckedUser


class FeatureExtractorUser(CheckedUser):
    """Has a JPEG picture turned into features by one replica."""

    service = "feature_extractor"

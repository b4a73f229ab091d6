"""Expressions that several dashboards need."""

from __future__ import annotations

from deploy.grafana.source.model import Query

RATE = "$__rate_interval"
JOBS = 'job=~"gateway|feature_extractor|classifier|body"'


def per_second(metric: str, by: str = "", where: str = "") -> str:
    """How often something happens a second."""
    return f"sum{_by(by)} (rate({metric}{_where(where)}[{RATE}]))"


def share(part: str, whole: str) -> str:
    """A part of a whole; 0 where there is nothing, so that a quiet hour is no gap."""
    return f"{part} / clamp_min({whole}, 1e-9)"


def mean(histogram: str, by: str = "", where: str = "") -> str:
    """The mean of a histogram's values; 0 where there were none."""
    return share(per_second(f"{histogram}_sum", by, where), per_second(f"{histogram}_count", by, where))


def quantiles(histogram: str, *levels: float, by: str = "", where: str = "") -> tuple[Query, ...]:
    """The values that these shares of a histogram's values stay below; no numbers where there were none."""
    buckets = per_second(f"{histogram}_bucket", f"le, {by}" if by else "le", where)
    name = f"{{{{{by.rpartition(', ')[2]}}}}} " if by else ""
    return tuple(Query(f"histogram_quantile({level}, {buckets})", f"{name}p{level * 100:g}") for level in levels)


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _where(matchers: str) -> str:
    return f"{{{matchers}}}" if matchers else ""

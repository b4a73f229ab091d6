"""When a release on trial is too bad, in virtual time."""

from __future__ import annotations

from splitway.gateway.rollout.record import ReleaseRecord, RollbackPolicy, too_bad

POLICY = RollbackPolicy(window_s=60, min_requests=20, error_share=0.1, disagreement=0.3)


def _record(requests: int = 0, failed: int = 0, at_s: float = 100.0) -> ReleaseRecord:
    made = ReleaseRecord(POLICY.window_s)
    for number in range(requests):
        made.ended(at_s, failed=number < failed)
    return made


def test_too_few_requests_decide_nothing() -> None:
    assert too_bad(_record(19, 19), _record(100), POLICY, 100) is None
    assert too_bad(_record(20, 20), _record(100), POLICY, 100) is not None


def test_errors_count_beyond_those_of_the_current_release() -> None:
    assert too_bad(_record(100, 10), _record(100), POLICY, 100) is None
    assert too_bad(_record(100, 50), _record(100, 45), POLICY, 100) is None
    reason = too_bad(_record(100, 31), _record(100, 20), POLICY, 100)
    assert reason is not None
    assert "31% of its 100 requests failed" in reason


def test_what_is_older_than_the_window_is_forgotten() -> None:
    trial = _record(50, 50)
    assert too_bad(trial, _record(), POLICY, 150) is not None
    assert too_bad(trial, _record(), POLICY, 161) is None
    assert trial.outcomes.counts(161).calls == 0


def test_disagreement_over_the_limit_is_too_bad() -> None:
    trial = _record(20)
    for number in range(20):
        trial.compared(100, agreed=number >= 6, drift=0.25)
    assert too_bad(trial, _record(), POLICY, 100) is None
    trial.compared(100, agreed=False, drift=0.25)
    reason = too_bad(trial, _record(), POLICY, 100)
    assert reason is not None
    assert "33% of 21 comparisons" in reason


def test_agreement_and_drift_are_of_the_window() -> None:
    made = ReleaseRecord(POLICY.window_s)
    assert (made.agreement(0), made.drift(0)) == (None, None)
    made.compared(100, agreed=False, drift=0.5)
    made.compared(140, agreed=True, drift=0.1)
    assert made.describe(140)["agreement"] == 0.5
    assert made.describe(140)["drift"] == 0.3
    assert made.describe(165) == {"requests": 0, "error_share": 0.0, "compared": 1, "agreement": 1.0, "drift": 0.1}

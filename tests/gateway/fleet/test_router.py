"""Whom a request may be sent to, against every way there is, tried one by one."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from splitway.gateway.fleet.inventory import ServedModel
from splitway.gateway.fleet.replica import ReplicaState
from splitway.gateway.fleet.replicas import ReplicaSet, StageConfig
from splitway.gateway.fleet.router import Pins, Router, Want
from splitway.names import Role
from splitway.releases import Release
from tests.gateway.resilience.support import Clock

LINKS: tuple[tuple[str, Role], ...] = (("feature_extractor", "extractor"), ("body_1", "body"), ("classifier", "head"))
SPACES = ("fs:a", "fs:b", "fs:c")
HEADS = ("one", "two")
Offers = Sequence[Sequence[Sequence[ServedModel]]]
"""Of each link, of each replica, what it serves."""


def _model(link: int, name: str, version: str, takes: str, gives: str) -> ServedModel:
    role = LINKS[link][1]
    spaces = {"extractor": (None, gives), "body": (takes, gives), "head": (takes, None)}
    return ServedModel(name, version, role, version == "1", "ready", *spaces[role], (), ())


def _pins(extractor: str, head: str, space: str, bodies: dict[str, str] | None = None) -> Pins:
    release = Release(extractor=extractor, heads={"one": head}, bodies=bodies or {}, feature_space=space, created="now")
    return Pins("r", release)


def _models(link: int) -> st.SearchStrategy[list[ServedModel]]:
    names = HEADS if link == 2 else (LINKS[link][0],)
    one = st.builds(
        _model,
        st.just(link),
        st.sampled_from(names),
        st.sampled_from(("1", "2", "3")),
        st.sampled_from(SPACES),
        st.sampled_from(SPACES),
    )
    return st.lists(one, max_size=4, unique_by=lambda model: model.offer)


OFFERS = st.tuples(*(st.lists(_models(link), min_size=1, max_size=2) for link in range(3)))
PINS = st.one_of(
    st.none(),
    st.builds(
        _pins,
        st.sampled_from(("1", "2")),
        st.sampled_from(("1", "2")),
        st.sampled_from(SPACES),
    ),
)


def _router(offers: Offers) -> Router:
    return Router(_links(offers))


def _links(offers: Offers) -> list[ReplicaSet]:
    links = []
    for (name, role), replicas in zip(LINKS, offers, strict=True):
        stage = StageConfig(name, role, tuple(f"http://{name}-{n}" for n in range(len(replicas))))
        made = ReplicaSet(stage, Clock(), random.Random(1).random)
        for replica, models in zip(made.replicas, replicas, strict=True):
            replica.serves({model.offer: model for model in models})
            replica.is_ready()
        links.append(made)
    return links


def _ways(offers: Offers, head: str, pins: Pins | None) -> list[tuple[ServedModel, ...]]:
    """Every chain that leads to a head, each stage taking what the one before gives."""
    flat = [[model for replica in replicas for model in replica] for replicas in offers]
    return [
        way
        for way in product(*flat)
        if way[2].name == head
        and way[0].gives == way[1].takes
        and way[1].gives == way[2].takes
        and (pins is None or all(pins.allow(model) for model in way))
    ]


def _offered(offers: Offers, link: int, target: Mapping[str, ServedModel]) -> bool:
    """Whether each replica of a target does offer what it is to be asked for."""
    return all(model in offers[link][int(url.rpartition("-")[2])] for url, model in target.items())


@given(OFFERS, PINS)
@settings(max_examples=400, deadline=None)
def test_a_head_is_reached_where_any_way_leads_to_it_and_only_on_such_a_way(offers: Offers, pins: Pins | None) -> None:
    router = _router(offers)
    for head in HEADS:
        want, ways = Want(frozenset({head}), pins), _ways(offers, head, pins)
        first = router.target(0, None, want)
        assert bool(first) == bool(ways)
        assert _offered(offers, 0, first)
        for extractor in first.values():
            second = router.target(1, str(extractor.gives), want)
            assert second
            assert _offered(offers, 1, second)
            for body in second.values():
                last = router.target(2, str(body.gives), want)
                assert last
                assert _offered(offers, 2, last)
                assert all((extractor, body, model) in ways for model in last.values())
    assert bool(router.why_not_ready(pins)) == (not any(_ways(offers, head, pins) for head in router.heads(pins)))


@given(OFFERS, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 4)), max_size=12), st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_remembered_is_what_would_be_found_anew(
    offers: Offers, changes: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    links = _links(offers)
    router = Router(links)
    for link, replica, change in changes:
        _change(links[link], replica, change, data.draw(_models(link)))
        assert _found(router) == _found(Router(links))


def _change(replicas: ReplicaSet, number: int, change: int, models: list[ServedModel]) -> None:
    """One of the things that happen to replicas."""
    if change == 0:
        urls = [replica.url for replica in replicas.replicas]
        replicas.update(urls[1:] if len(urls) > 1 else [*urls, f"{urls[0]}-new"])
        return
    replica = replicas.replicas[number % len(replicas.replicas)]
    if change == 1:
        replica.serves({model.offer: model for model in models})
    elif change == 2 and replica.models:
        replica.no_longer_serves(next(iter(replica.models)))
    elif change == 3:
        replica.is_not(ReplicaState.UNREACHABLE, "gone")
    else:
        replica.is_ready()


def _found(router: Router) -> list[object]:
    """All that is asked of a router."""
    both = Want(frozenset(HEADS))
    found: list[object] = [router.target(0, None, both), router.coverage(both), router.heads(None)]
    found += [router.target(1, space, both) for space in SPACES]
    found += [router.target(2, space, Want(frozenset({head}))) for head in HEADS for space in SPACES]
    return [*found, *(router.served_head(head, None) for head in HEADS), router.why_not_ready(None)]


@given(OFFERS)
@settings(max_examples=100, deadline=None)
def test_one_extraction_serves_as_many_heads_as_any_could(offers: Offers) -> None:
    router = _router(offers)
    want = Want(frozenset(HEADS))
    starts = [model for replica in offers[0] for model in replica]
    reached = [
        {head for head in HEADS for way in _ways(offers, head, None) if way[0].gives == start.gives} for start in starts
    ]
    assert len(router.coverage(want)) == max(map(len, reached), default=0)


def test_what_a_replica_no_longer_serves_is_not_asked_of_it() -> None:
    head = _model(2, "one", "1", "fs:b", "")
    offers = [
        [[_model(0, "feature_extractor", "1", "", "fs:a")]],
        [[_model(1, "body_1", "1", "fs:a", "fs:b")]],
        [[head]],
    ]
    router = _router(offers)
    assert router.coverage(Want(frozenset({"one"}))) == {"one"}
    (replica,) = router._links[2].replicas
    replica.no_longer_serves(head.offer)
    assert router.coverage(Want(frozenset({"one"}))) == set()
    replica.serves({head.offer: head})
    assert router.coverage(Want(frozenset({"one"}))) == {"one"}


def _chain_of_one(space: str = "fs:a") -> tuple[Router, list[ReplicaSet]]:
    """An extractor, a body and a head, each on two replicas."""
    one = [
        _model(0, "feature_extractor", "1", "", space),
        _model(1, "body_1", "1", space, "fs:b"),
        _model(2, "one", "1", "fs:b", ""),
    ]
    links = _links([[[model], [model]] for model in one])
    return Router(links), links


def test_where_no_ready_replica_leads_on_those_are_tried_that_cannot_be_reached() -> None:
    router, links = _chain_of_one()
    want = Want(frozenset({"one"}))
    for link, replicas in enumerate(links):
        both = {replica.url for replica in replicas.replicas}
        first, second = replicas.replicas
        first.is_not(ReplicaState.UNREACHABLE, "gone")
        targets = [router.target(0, None, want), router.target(1, "fs:a", want), router.target(2, "fs:b", want)]
        assert set(targets[link]) == {second.url}
        assert router.why_not_ready(None) == {}
        second.is_not(ReplicaState.UNREACHABLE, "gone")
        targets = [router.target(0, None, want), router.target(1, "fs:a", want), router.target(2, "fs:b", want)]
        assert all(targets)
        assert set(targets[link]) == both
        assert router.coverage(want) == {"one"}
        assert router.covered(want) == set()
        assert list(router.why_not_ready(None)) == [replicas.name]
        assert router.served_head("one", None) is not None
        second.is_not(ReplicaState.NOT_READY, "says no")
        first.is_not(ReplicaState.NOT_READY, "says no")
        assert router.coverage(want) == set()
        first.is_ready()
        second.is_ready()


def test_one_of_another_feature_space_is_not_tried() -> None:
    router, links = _chain_of_one()
    want = Want(frozenset({"one"}))
    foreign = _model(1, "body_1", "1", "fs:c", "fs:b")
    for replica in links[1].replicas:
        replica.serves({foreign.offer: foreign})
        replica.is_not(ReplicaState.UNREACHABLE, "gone")
    assert router.target(0, None, want) == router.target(1, "fs:a", want) == {}
    assert router.coverage(want) == set()


def test_a_release_whose_versions_only_a_lost_replica_has_is_tried_there() -> None:
    offers = [
        [[_model(0, "feature_extractor", v, "", "fs:a")] for v in ("1", "2")],
        [[_model(1, "body_1", "1", "fs:a", "fs:b")]],
        [[_model(2, "one", "1", "fs:b", "")]],
    ]
    links = _links(offers)
    router, pins = Router(links), _pins("1", "1", "fs:a", {"body_1": "1"})
    lost = links[0].replicas[0]
    lost.is_not(ReplicaState.UNREACHABLE, "gone")
    assert set(router.target(0, None, Want(frozenset({"one"})))) == {links[0].replicas[1].url}
    assert set(router.target(0, None, Want(frozenset({"one"}), pins))) == {lost.url}

"""Which proposal a member attests to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.attestation import ProposalView, choose

if TYPE_CHECKING:
    import random

ALL, LESS, OTHER = frozenset({0, 1, 2, 3}), frozenset({0, 1, 2}), frozenset({1, 2, 3})


def _view(
    name: str,
    accepted: frozenset[int] = ALL,
    attestations: int = 0,
    *,
    recomputes: bool = True,
    hides: bool = False,
) -> ProposalView:
    return ProposalView(name.encode().ljust(32, b"."), accepted, attestations, recomputes, hides)


def _digest(name: str) -> bytes:
    return name.encode().ljust(32, b".")


@pytest.mark.parametrize(
    ("proposals", "early", "late"),
    [
        pytest.param([], None, None, id="nothing proposed"),
        pytest.param([_view("a")], "a", "a", id="what recomputes"),
        pytest.param([_view("a", recomputes=False)], None, None, id="never what does not recompute"),
        pytest.param([_view("a", hides=True)], None, "a", id="what hides a payload only at the end"),
        pytest.param([_view("a", LESS), _view("b")], "b", "a", id="more accepted first; at the end a tie"),
        pytest.param([_view("a", LESS, 2), _view("b", ALL, 1)], "b", "a", id="most attested at the end"),
        pytest.param([_view("b", ALL, 1), _view("a", ALL, 1)], "a", "a", id="the lowest digest among equals"),
        pytest.param([_view("b", ALL, 2), _view("a", ALL, 1)], "b", "b", id="most attested among equals"),
        pytest.param(
            [_view("a", ALL, 3, recomputes=False), _view("b", LESS)], "b", "b", id="a crowd does not persuade"
        ),
        pytest.param(
            [_view("a", LESS, 2, hides=True), _view("b", ALL, 1)],
            "b",
            "a",
            id="a hider with a crowd, at the end",
        ),
    ],
)
def test_a_member_that_stands_by_nothing_attests_to(
    proposals: list[ProposalView], early: str | None, late: str | None
) -> None:
    chosen = [choose(proposals, None, last_quarter=quarter) for quarter in (False, True)]
    assert chosen == [None if name is None else _digest(name) for name in (early, late)]


@pytest.mark.parametrize(
    ("other", "early", "late"),
    [
        pytest.param(_view("b", ALL), True, True, id="more accepted"),
        pytest.param(_view("b", LESS, 3), False, False, id="as many accepted, and a crowd"),
        pytest.param(_view("b", OTHER, 3), False, False, id="other ones accepted"),
        pytest.param(_view("b", frozenset({0}), 3), False, False, id="fewer accepted"),
        pytest.param(
            _view("b", ALL, 3, recomputes=False), False, False, id="more, but it does not recompute"
        ),
        pytest.param(_view("b", ALL, 3, hides=True), False, True, id="more, but it hides a payload"),
    ],
)
def test_a_member_that_stands_by_a_proposal_moves_only_to(
    other: ProposalView, early: bool, late: bool
) -> None:
    standing = _view("a", LESS)
    moves = [choose([standing, other], standing, last_quarter=quarter) for quarter in (False, True)]
    assert moves == [other.digest if move else None for move in (early, late)]


def test_a_member_that_stands_by_what_does_not_recompute_chooses_anew() -> None:
    """It never chose that itself: somebody else held its key."""
    stolen = _view("s", ALL, 2, recomputes=False)
    for other in (_view("a", LESS), _view("b", LESS, hides=True)):
        chosen = [
            choose([stolen, other], stands_by, last_quarter=late)
            for stands_by in (stolen, None)
            for late in (False, True)
        ]
        assert chosen[:2] == chosen[2:]


def _views() -> st.SearchStrategy[list[ProposalView]]:
    view = st.builds(
        ProposalView,
        digest=st.binary(min_size=1, max_size=1),
        accepted=st.frozensets(st.integers(0, 4)),
        attestations=st.integers(0, 3),
        recomputes=st.booleans(),
        hides=st.booleans(),
    )
    return st.lists(view, max_size=6, unique_by=lambda v: v.digest)


@given(_views(), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_proposals_decides_nothing(
    views: list[ProposalView], stands: bool, last_quarter: bool, shuffler: random.Random
) -> None:
    standing = views[0] if stands and views else None
    shuffled = views.copy()
    shuffler.shuffle(shuffled)
    expected = choose(views, standing, last_quarter=last_quarter)
    assert choose(shuffled, standing, last_quarter=last_quarter) == expected


@given(_views(), st.booleans(), st.booleans())
def test_what_is_chosen_was_proposed_and_recomputes(
    views: list[ProposalView], stands: bool, last_quarter: bool
) -> None:
    standing = views[0] if stands and views else None
    chosen = choose(views, standing, last_quarter=last_quarter)
    assert chosen is None or any(v.digest == chosen and v.recomputes for v in views)


@given(_views(), st.booleans())
def test_a_member_that_stands_by_something_gains_accepted_updates_and_loses_none(
    views: list[ProposalView], last_quarter: bool
) -> None:
    for standing in (v for v in views if v.recomputes):
        chosen = choose(views, standing, last_quarter=last_quarter)
        accepted = {v.digest: v.accepted for v in views}
        assert chosen is None or accepted[chosen] > standing.accepted


@given(_views())
def test_before_the_last_quarter_nobody_joins_what_hides_a_payload(views: list[ProposalView]) -> None:
    chosen = choose(views, None, last_quarter=False)
    assert not any(v.hides for v in views if v.digest == chosen)


@given(_views(), st.lists(st.booleans(), min_size=6, max_size=6))
def test_in_the_last_quarter_members_end_on_one_digest_whatever_was_hidden_from_whom(
    views: list[ProposalView], hidden: list[bool]
) -> None:
    """Payloads that one has and another has not make proposals hide for one alone; that counts no longer."""
    others = [
        ProposalView(v.digest, v.accepted, v.attestations, v.recomputes, hides)
        for v, hides in zip(views, hidden, strict=False)
    ]
    mine, yours = (choose(seen, None, last_quarter=True) for seen in (views, others))
    assert mine == yours
    assert (mine is None) == (not any(v.recomputes for v in views))

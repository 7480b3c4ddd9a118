"""The proposals by length."""

from __future__ import annotations

import pytest
from torch import Tensor

from gnnreloc.data import Features
from gnnreloc.errors import InputError
from gnnreloc.models import LongestProposal


def test_order_is_that_of_length(query: Features, reference: Features, proposals: Tensor) -> None:
    moments = LongestProposal().localize(query, reference, proposals)
    assert moments.segments.tolist() == [[0.0, 7.0], [5.0, 10.0], [1.0, 3.0], [2.0, 4.0]]
    assert moments.scores.tolist() == [7.0, 5.0, 2.0, 2.0]


def test_proposals_are_needed(
    query: Features, reference: Features, no_proposals: Tensor | None
) -> None:
    with pytest.raises(InputError, match="no proposals"):
        LongestProposal().localize(query, reference, no_proposals)

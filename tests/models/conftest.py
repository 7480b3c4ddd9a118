"""A question whose features tell nothing, for systems that do not look at them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gnnreloc.data import Features


@pytest.fixture
def query() -> Features:
    return Features(torch.zeros(3, 2), step=0.5)


@pytest.fixture
def reference() -> Features:
    return Features(torch.zeros(20, 2), step=0.5)


@pytest.fixture
def proposals() -> Tensor:
    segments = [[1.0, 3.0], [0.0, 7.0], [2.0, 4.0], [5.0, 10.0]]
    return torch.tensor(segments, dtype=torch.float64)


@pytest.fixture(params=["none", "empty"])
def no_proposals(request: pytest.FixtureRequest) -> Tensor | None:
    return None if request.param == "none" else torch.empty(0, 2, dtype=torch.float64)

"""The choice of a back end: what must never be chosen, and the clear cases."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.nn.backend_choice import Size, choose_backend
from gnnreloc.nn.edge_weighting import Weighting

WEIGHTINGS = st.builds(
    Weighting,
    st.sampled_from(["none", "relu", "shift"]),
    st.sampled_from(["all", "cross", "intra"]),
    st.none() | st.integers(1, 10_000),
    st.none() | st.floats(-1, 1),
    st.booleans(),
    st.sampled_from(["none", "row", "sym"]),
) | st.builds(Weighting, st.just("softmax"))


@given(
    st.integers(12_000, 1_000_000),
    st.integers(1, 1024),
    WEIGHTINGS,
    st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
)
def test_no_huge_matrix_is_built(
    nodes: int, width: int, weighting: Weighting, flags: tuple[bool, bool, bool, bool]
) -> None:
    linear, bipartite, training, sparsity = flags
    chosen = choose_backend(
        Size(1, nodes, nodes, width, width),
        weighting,
        linear=linear,
        bipartite=bipartite,
        training=training,
        sparsity=sparsity,
    )
    assert chosen in ("blocked", "lowrank") if linear else chosen == "blocked"


def test_clear_cases() -> None:
    def choose(nodes: int, *, linear: bool = False, activation: str = "relu") -> str:
        size = Size(1, nodes, nodes, 64, 64)
        weighting = Weighting(activation)
        return choose_backend(size, weighting, linear=linear, bipartite=False, training=True)

    assert choose(40) == "dense"
    assert choose(40, linear=True, activation="none") == "dense"
    assert choose(100_000) == "blocked"
    assert choose(100_000, linear=True, activation="none") == "lowrank"

"""The choice of a back end: what must never be chosen, and the clear cases."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.nn.backend_choice import Size, choose_backend
from gnnreloc.nn.edge_weighting import Weighting

COUNT = st.integers(0, 1 << 20)


@given(
    st.builds(Size, COUNT, COUNT, COUNT, COUNT, COUNT),
    st.builds(
        Weighting,
        st.sampled_from(["none", "relu", "shift", "softmax"]),
        st.sampled_from(["all", "cross", "intra"]),
        st.none() | st.integers(1, 100),
        st.none() | st.floats(-1, 1),
        st.booleans(),
    ),
    st.booleans(),
    st.booleans(),
)
def test_lowrank_is_chosen_for_linear_weights_alone(
    size: Size, weighting: Weighting, bipartite: bool, training: bool
) -> None:
    chosen = choose_backend(size, weighting, linear=False, bipartite=bipartite, training=training)
    assert chosen in ("dense", "blocked")


def test_clear_cases() -> None:
    def choose(nodes: int, *, linear: bool = False, activation: str = "relu") -> str:
        size = Size(1, nodes, nodes, 64, 64)
        weighting = Weighting(activation)
        return choose_backend(size, weighting, linear=linear, bipartite=False, training=True)

    assert choose(40) == "dense"
    assert choose(40, linear=True, activation="none") == "dense"
    assert choose(100_000) == "blocked"
    assert choose(100_000, linear=True, activation="none") == "lowrank"

"""Features that are changed when they are asked for: when, how often, and what stays."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from gnnreloc.data import ChangedFeatureStore, Features, FeatureStore, InMemoryFeatureStore
from gnnreloc.data.changed_features import rows_of_each
from gnnreloc.data.disturbed_features import _Drop
from gnnreloc.data.feature_store import MissingVideoError
from gnnreloc.errors import InputError

VALUES = torch.arange(24.0).reshape(12, 2)
VIDEO = Features(VALUES, step=0.5, offset=2.0, metadata={"backbone": "c3d"})


class Negative:
    """Turns the signs of feature rows and notes for which videos."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, video: str, values: Tensor) -> Tensor:
        self.asked.append(video)
        return -values


class Files(FeatureStore):
    """The same features for every name, read anew each time, as from a file."""

    def __getitem__(self, video: str) -> Features:
        return Features(VALUES.clone(), step=0.5)

    def __contains__(self, video: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(["a", "b"])

    def __len__(self) -> int:
        return 2


class OtherHash(str):
    """A text whose hash is another one, as that of every text is in another process."""

    def __hash__(self) -> int:
        return 7


def test_values_change_and_the_rest_stays() -> None:
    store = ChangedFeatureStore(InMemoryFeatureStore({"a": VIDEO}), Negative())
    changed = store["a"]
    assert torch.equal(changed.values, -VALUES) and torch.equal(VIDEO.values, VALUES)
    assert (changed.step, changed.offset, changed.metadata) == (0.5, 2.0, {"backbone": "c3d"})
    assert str(store) == "ChangedFeatureStore(InMemoryFeatureStore(1 videos))"


def test_nothing_is_read_to_look_up_names() -> None:
    change = Negative()
    store = ChangedFeatureStore(InMemoryFeatureStore({"a": VIDEO, "b": VIDEO}), change)
    assert (len(store), list(store)) == (2, ["a", "b"])
    assert "a" in store and "c" not in store and store.get("c") is None
    assert change.asked == []
    with pytest.raises(MissingVideoError, match="'c'"):
        _ = store["c"]


def test_kept_in_memory_only_where_the_source_is() -> None:
    for source, times in ((InMemoryFeatureStore({"a": VIDEO}), 1), (Files(), 2)):
        outer, inner = Negative(), Negative()
        store = ChangedFeatureStore(ChangedFeatureStore(source, inner), outer)
        for _ in range(2):
            assert torch.equal(store["a"].values, VALUES)  # the sign is turned twice
        assert len(outer.asked) == len(inner.asked) == times


def test_pickle() -> None:
    store = ChangedFeatureStore(InMemoryFeatureStore({"a": VIDEO}), _Drop(0.5, 0))
    again = pickle.loads(pickle.dumps(store))
    assert torch.equal(again["a"].values, store["a"].values)


def test_what_the_change_makes_is_checked() -> None:
    store = ChangedFeatureStore(Files(), lambda _, values: values / 0.0)
    with pytest.raises(InputError, match=r"video 'a': row 0 .* wanted a finite number"):
        _ = store["a"]


def test_lost_rows_do_not_depend_on_the_hash_of_a_name() -> None:
    # Python draws the hashes of texts anew in each process.
    name = OtherHash("walk-0001")
    assert name == "walk-0001" and hash(name) != hash("walk-0001")
    store = ChangedFeatureStore(Files(), _Drop(0.5, 0))
    assert torch.equal(store[name].values, store["walk-0001"].values)
    assert not torch.equal(store["walk-0001"].values, VALUES)


def test_rows_of_another_width_name_the_video() -> None:
    features = {"a": VIDEO, "b": Features(torch.ones(3, 5), step=0.5)}
    assert [len(rows) for rows in rows_of_each(["a", "a"], features)] == [12, 12]
    with pytest.raises(InputError, match="video 'b': found 5 channels per row, wanted 2"):
        list(rows_of_each(["a", "b"], features))

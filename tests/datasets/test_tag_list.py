"""Lists of TAG proposals: a list by hand, lists that are broken, the published list."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gnnreloc.data import Features
from gnnreloc.data.overlap import best_overlap
from gnnreloc.datasets.tag_list import read_tag_list
from gnnreloc.errors import InputError
from gnnreloc.evaluation.metrics import recall_at_k
from gnnreloc.models import create_model

TEXT = """\
# 1
first
1
1
2
58 0.0000 0.9728
3 0.5000 0.5000
2
58 0.9684 0.9996 0.0000 0.9414
58 0.1 0.2 0.25 0.5
# 2
second
1
1
0
0
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "list.txt"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_list_by_hand(write: Callable[[str], Path]) -> None:
    for text in (TEXT, TEXT.replace("\n", "\r\n"), TEXT + "\n\n", TEXT.rstrip()):
        entries = read_tag_list(write(text))
        assert list(entries) == ["first", "second"]
        first, second = entries.values()
        assert first.classes == (58, 3)
        assert first.moments.tolist() == [[0.0, 0.9728], [0.5, 0.5]]
        assert first.proposals.tolist() == [[0.0, 0.9414], [0.25, 0.5]]
        assert first.proposals.dtype == torch.float64
        assert second.moments.shape == second.proposals.shape == (0, 2)


@pytest.mark.parametrize(
    ("old", "new", "line", "wanted"),
    [
        ("# 2\n", "2\n", 11, "a block that starts with '#'"),
        ("second", "first", 12, "not in the list yet"),
        ("# 1\nfirst\n1\n", "# 1\nfirst\n120.5\n", 3, "the length 1"),
        ("first\n1\n1\n2\n", "first\n1\n30\n2\n", 4, "the frame rate 1"),
        ("1\n1\n2\n58", "1\n1\nx\n58", 5, "the number of lines 'class start end'"),
        ("1\n1\n2\n58", "1\n1\n-1\n58", 5, "the number of lines 'class start end'"),
        ("1\n1\n2\n58", "1\n1\n1.5\n58", 5, "the number of lines 'class start end'"),
        ("58 0.0000 0.9728", "58 0.0000", 6, "'class start end'"),
        ("0.1 0.2 0.25 0.5", "0.1 0.2 0.5 0.25", 10, "0 <= start < end <= 1"),
        ("0.1 0.2 0.25 0.5", "0.1 0.2 0.5 0.5", 10, "0 <= start < end <= 1"),
        ("0.1 0.2 0.25 0.5", "0.1 0.2 0.25 1.5", 10, "0 <= start < end <= 1"),
        ("0.1 0.2 0.25 0.5", "0.1 0.2 nan 0.5", 10, "'class tIoU overlap start end'"),
        ("0\n0\n", "0\n1\n", 17, "found 'the end of the file'"),
    ],
)
def test_a_broken_list_names_file_and_line(
    write: Callable[[str], Path], old: str, new: str, line: int, wanted: str
) -> None:
    assert old in TEXT
    with pytest.raises(InputError) as caught:
        read_tag_list(write(TEXT.replace(old, new)))
    assert f"list.txt: line {line}: wanted" in str(caught.value)
    assert wanted in str(caught.value)


def test_an_empty_or_binary_list_is_named(write: Callable[[str], Path]) -> None:
    with pytest.raises(InputError, match=r"list\.txt: found no block"):
        read_tag_list(write("\n"))
    path = write("")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"list\.txt: cannot be read as text"):
        read_tag_list(path)


@pytest.fixture(scope="module")
def published(real_data: Callable[[str], Path]) -> tuple[dict[str, Any], Any]:
    """The published list and the moments of the annotations, unchecked."""
    module = importlib.import_module("gnnreloc.datasets.activitynet12")
    root = real_data("activitynet12")
    return read_tag_list(module.PROPOSALS.at(root)), module.read_annotations(root)


def test_the_published_list(published: tuple[dict[str, Any], Any]) -> None:
    entries, table = published
    assert len(entries) == 2383
    assert sum(len(entry.proposals) for entry in entries.values()) == 120_148
    assert set(entries) == set(table.loc[table["official"] == "validation", "video"])
    # Class k is the k-th name in alphabetical order.
    names = sorted(table["label"].unique())
    labels = table.groupby("video")["label"].agg(set)
    for video, entry in entries.items():
        assert {names[number - 1] for number in entry.classes} == labels[video]


def test_what_the_published_list_allows_without_a_query(
    published: tuple[dict[str, Any], Any],
) -> None:
    # The published figures: one item a video, the best tIoU with any of its moments counts. Videos
    # are taken as 1 s long: a tIoU does not depend on the unit of time.
    entries, _ = published
    reference = Features(torch.zeros(1, 1), step=1.0)
    wanted = {
        "oracle": (0.966, 0.879, 0.575),
        "longest_proposal": (0.665, 0.505, 0.277),
        "whole_reference": (0.643, 0.471, 0.230),
    }
    for name, figures in wanted.items():
        system: Any = create_model(name)
        overlaps = []
        for entry in entries.values():
            if name != "whole_reference" and len(entry.proposals) == 0:
                overlaps.append(torch.zeros(0))  # nothing to choose from is a miss
                continue
            system.targets = entry.moments
            found = system.localize(reference, reference, entry.proposals).segments[:1]
            overlaps.append(best_overlap(found, entry.moments))
        found_figures = [recall_at_k(overlaps, 1, threshold) for threshold in (0.5, 0.7, 0.9)]
        assert found_figures == pytest.approx(figures, abs=0.005), name

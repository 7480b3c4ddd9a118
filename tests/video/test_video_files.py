"""Names and folders of videos: what cannot be read is told, whatever it is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.errors import InputError
from gnnreloc.video.video_files import check_file, feature_name, find_videos, unreadable_folders

PARTS = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)


@pytest.fixture
def close(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Makes a folder one that may not be listed, also for root."""
    scandir = os.scandir

    def close(folder: Path) -> None:
        def scan(path: Any) -> Any:
            if Path(path) == folder:
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", scan)

    return close


def test_a_folder_that_cannot_be_listed_is_among_the_videos(
    tmp_path: Path, close: Callable[[Path], None]
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.mp4").touch()
    close(tmp_path / "closed")
    videos = find_videos(tmp_path)
    assert videos == {"a.mp4": tmp_path / "a.mp4", "closed/": tmp_path / "closed"}
    assert unreadable_folders(videos) == ("closed/",)
    with pytest.raises(InputError, match="closed: the folder cannot be read: no permission"):
        check_file(tmp_path / "closed")
    with pytest.raises(InputError, match="closed: cannot be read: Permission denied"):
        find_videos(tmp_path / "closed")


def test_links_that_lead_nowhere_and_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to("nowhere.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert list(find_videos([tmp_path, tmp_path])) == ["link.mp4", "pipe.mp4"]
    with pytest.raises(InputError, match="pipe.mp4: is a pipe or a device"):
        check_file(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="link.mp4: found no such file"):
        check_file(tmp_path / "link.mp4")
    with pytest.raises(InputError, match="is a folder, wanted a video file"):
        check_file(tmp_path)
    with pytest.raises(InputError, match="cannot be read: File name too long"):
        find_videos(tmp_path / ("long" * 80))
    with pytest.raises(InputError, match="cannot be read: .*null"):
        find_videos("a\0.mp4")


@given(st.lists(PARTS, min_size=1, max_size=3), st.lists(PARTS, min_size=1, max_size=3))
def test_names_of_features_are_short_plain_and_apart(one: list[str], other: list[str]) -> None:
    for repeat in (1, 60):
        first, second = ("/".join(parts * repeat) for parts in (one, other))
        names = [feature_name(first), feature_name(second)]
        assert (names[0] == names[1]) == (first == second)
        for name in names:
            assert len(os.fsencode(name)) <= 205
            assert not name.startswith(".") and not set("/\\\0") & set(name)

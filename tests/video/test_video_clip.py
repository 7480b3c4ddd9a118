"""Parts of videos, as they are written on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnnreloc.errors import InputError
from gnnreloc.video import VideoClip

SECONDS = st.integers(0, 10**7).map(lambda thousandths: thousandths / 1000)


@pytest.mark.parametrize(
    ("text", "path", "start", "end"),
    [
        ("a.mp4", "a.mp4", 0, None),
        ("a.mp4#t=3,7.5", "a.mp4", 3, 7.5),
        ("a.mp4#t=npt:3,7.5", "a.mp4", 3, 7.5),
        ("a.mp4#t=3", "a.mp4", 3, None),
        ("a.mp4#t=,7.5", "a.mp4", 0, 7.5),
        ("/b c/take #2.mp4#t=.5,1e1", "/b c/take #2.mp4", 0.5, 10),
        ("take#2.mp4", "take#2.mp4", 0, None),
        ("a#t=1/b.mp4", "a#t=1/b.mp4", 0, None),
        ("a.mp4#t=1,2#t=3,4", "a.mp4#t=1,2", 3, 4),
        ("a.mp4#t=x#t=0", "a.mp4#t=x", 0, None),
    ],
)
def test_parse(text: str, path: str, start: float, end: float | None) -> None:
    assert VideoClip.parse(text) == VideoClip(Path(path), start, end)


@pytest.mark.parametrize(
    ("text", "culprit"),
    [
        ("a.mp4#t=7,3", "ends at 3 s, wanted an end after its start at 7 s"),
        ("a.mp4#t=3,3", "ends at 3 s"),
        ("a.mp4#t=-1,3", "starts at -1 s"),
        ("a.mp4#t=nan,3", "starts at nan s"),
        ("a.mp4#t=1,inf", "ends at inf s"),
        ("a.mp4#t=", "found #t=, wanted seconds such as"),
        ("a.mp4#t=3,", "found #t=3,, wanted"),
        ("a.mp4#t=,", "found #t=,, wanted"),
        ("a.mp4#t=1,2,3", "found #t=1,2,3, wanted"),
        ("a.mp4#t=00:01", "found #t=00:01, wanted"),
        ("a.mp4#t=1_0", "found #t=1_0, wanted"),
        ("a.mp4#t=٣,٧", "found #t=٣,٧, wanted"),
        ("a.mp4#t=x", "if that is the name of a file, add #t=0"),
        ("#t=1,2", "found no path"),
        ("", "found no path"),
    ],
)
def test_what_is_no_clip(text: str, culprit: str) -> None:
    with pytest.raises(InputError) as caught:
        VideoClip.parse(text)
    assert culprit in str(caught.value)


@given(SECONDS, st.none() | SECONDS.filter(bool))
def test_text_gives_the_clip_back(start: float, length: float | None) -> None:
    clip = VideoClip(Path("v.mp4"), start, None if length is None else start + length)
    again = VideoClip.parse(str(clip))
    assert again.start == clip.start
    assert again.end == clip.end if length is None else again.end == pytest.approx(clip.end)
    assert clip.is_whole == (str(clip) == "v.mp4")


def test_a_name_that_looks_like_a_part() -> None:
    clip = VideoClip(Path("a.mp4#t=1,2"))
    assert str(clip) == "a.mp4#t=1,2#t=0" and VideoClip.parse(str(clip)) == clip


def test_of_takes_texts_paths_and_clips() -> None:
    clip = VideoClip(Path("a#t=1"), 2, 3)
    assert VideoClip.of(clip) is clip
    assert VideoClip.of(Path("a#t=1")) == VideoClip(Path("a#t=1"))
    assert VideoClip.of("a#t=1") == VideoClip(Path("a"), 1)


def test_within_a_video() -> None:
    whole = VideoClip(Path("v.mp4")).within(9.5)
    assert (whole.start, whole.end) == (0, 9.5)
    assert VideoClip(Path("v.mp4"), 3, 9.55).within(9.5).end == 9.5
    for start, end, late in ((3, 9.7, "end at 9.7 s"), (9.5, None, "start at 9.5 s")):
        with pytest.raises(
            InputError, match=rf"v.mp4: the clip's {late} is beyond the end, 9.50 s"
        ):
            VideoClip(Path("v.mp4"), start, end).within(9.5)

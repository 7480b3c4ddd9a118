"""Moment table: every rule by hand, and the whole check against a plain loop over rows."""

from __future__ import annotations

import json
import math
import warnings

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnreloc.data.annotations import MOMENT_COLUMNS, SUBSETS, read_moments, validate_moments
from gnnreloc.errors import InputError

GOOD = {
    "video": "v",
    "start": 1.0,
    "end": 4.0,
    "label": "jump",
    "subset": "train",
    "duration": 10.0,
}


def moments(*rows: dict[str, object]) -> pd.DataFrame:
    """A table in which every row is ``GOOD`` but for the given entries."""
    return pd.DataFrame([{**GOOD, **row} for row in rows])


def test_good_table_keeps_order_and_extra_columns_and_gets_types():
    table = moments({"video": 17, "start": "5", "end": 6, "clip": "b"}, {"duration": 10})
    table.index = [3, 3]
    before = table.copy()
    valid = validate_moments(table)
    assert valid["video"].tolist() == ["17", "v"]
    assert valid["start"].tolist() == [5.0, 1.0]
    assert valid[["start", "end", "duration"]].dtypes.eq("float64").all()
    assert valid["clip"].iloc[0] == "b"
    assert valid.index.tolist() == [0, 1]
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"video": " "}, "video is empty"),
        ({"video": math.nan}, "video is missing"),
        ({"label": ""}, "label is empty"),
        ({"label": math.nan}, "label is missing"),
        ({"subset": "testing"}, "subset must be one of"),
        ({"start": -0.5}, "start must be at least 0"),
        ({"start": "soon"}, "start is missing or not readable"),
        ({"start": math.nan}, "start is missing or not readable"),
        ({"end": math.inf}, "end is not finite"),
        ({"duration": -math.inf}, "duration is not finite"),
        ({"start": 4.0}, "start must lie before end"),
        ({"start": 5.0}, "start must lie before end"),
        ({"end": 11.5}, "end must not exceed duration"),
        ({"start": 10.0, "end": 10.5}, "start must lie before duration"),
        ({"video": "w"}, "repeats an earlier row"),
    ],
)
def test_bad_row_names_source_row_values_and_reason(entries, reason):
    table = moments({"video": "w"}, entries, {"video": "x"})
    with pytest.raises(InputError, match=reason) as caught:
        validate_moments(table, source="gold.csv")
    message = str(caught.value)
    assert message.startswith("gold.csv: row 2: ")
    name, value = next(iter(entries.items()))
    assert f"{name}={value!r}" in message
    assert "more bad" not in message


def test_further_bad_rows_are_counted():
    table = moments({}, {"end": 0.5}, {"label": ""}, {"video": ""})
    with pytest.raises(InputError, match=r"row 2: .*\(and 2 more bad rows\)"):
        validate_moments(table)


@pytest.mark.parametrize(
    ("end", "tolerance", "expected"), [(11.0, 1.0, 10.0), (10.0, 0.0, 10.0), (10.25, 0.25, 10.0)]
)
def test_end_within_tolerance_is_moved_to_the_duration(end, tolerance, expected):
    valid = validate_moments(moments({"end": end}), tolerance=tolerance)
    assert valid["end"].tolist() == [expected]


def test_rows_that_become_equal_by_moving_their_end_are_duplicates():
    with pytest.raises(InputError, match="row 2: the moment repeats an earlier row"):
        validate_moments(moments({"end": 10.2}, {"end": 10.4}))


def test_drop_warns_once_with_counts():
    table = moments({"end": 0.5}, {"label": ""}, {"end": 0.25}, {}, {"clip": "kept", "end": 5.0})
    with pytest.warns(UserWarning) as caught:
        valid = validate_moments(table, source="gold.csv", on_bad="drop")
    assert [str(warning.message) for warning in caught] == [
        "gold.csv: dropped 3 of 5 moments: start must lie before end (2), label is empty (1)"
    ]
    assert valid["end"].tolist() == [4.0, 5.0]
    assert valid.index.tolist() == [0, 1]


def test_drop_of_a_good_table_is_silent_and_of_a_bad_one_an_error():
    assert len(validate_moments(moments({}), on_bad="drop")) == 1
    with pytest.raises(InputError, match="no good row is left"):
        validate_moments(moments({"end": 0.0}), on_bad="drop")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (moments({}).drop(columns=["label", "end"]), r"no column \['end', 'label'\]"),
        (moments({}).iloc[:0], "no rows"),
        (pd.DataFrame(), "no rows"),
        (pd.concat([moments({}), moments({})[["end"]]], axis=1), r"\['end'\] more than once"),
    ],
)
def test_unusable_table(table, reason):
    with pytest.raises(InputError, match=f"^gold.csv: .*{reason}"):
        validate_moments(table, source="gold.csv")


@pytest.mark.parametrize("options", [{"tolerance": -1.0}, {"tolerance": math.nan}, {"on_bad": "?"}])
def test_unusable_option(options):
    with pytest.raises(InputError, match=next(iter(options))):
        validate_moments(moments({}), **options)


def good_rows(rows: list[dict[str, object]], tolerance: float) -> list[tuple[object, ...]]:
    """The rules again, one row at a time."""
    kept, seen = [], set()
    for row in rows:
        start, end, duration = row["start"], row["end"], row["duration"]
        if duration < end <= duration + tolerance:
            end = duration
        key = (row["video"], start, end, row["label"])
        repeated, named = key in seen, row["video"] != "" and row["label"] != ""
        seen.add(key)
        if named and row["subset"] in SUBSETS and not repeated and 0 <= start < end <= duration:
            if math.isfinite(duration):
                kept.append((row["video"], start, end, row["label"], row["subset"], duration))
    return kept


TIMES = st.sampled_from([-1.0, 0.0, 1.0, 2.0, 2.5, 3.0, math.nan, math.inf])
ROWS = st.fixed_dictionaries(
    {
        "video": st.sampled_from(["a", "b", ""]),
        "start": TIMES,
        "end": TIMES,
        "label": st.sampled_from(["x", "y"]),
        "subset": st.sampled_from([*SUBSETS, "all"]),
        "duration": TIMES,
    }
)


@given(st.lists(ROWS, min_size=1, max_size=8), st.sampled_from([0.0, 0.5]))
@settings(max_examples=30, deadline=None)
def test_drop_keeps_what_a_plain_loop_keeps(rows, tolerance):
    expected = good_rows(rows, tolerance)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            valid = validate_moments(pd.DataFrame(rows), on_bad="drop", tolerance=tolerance)
        except InputError:
            assert not expected
            return
    found = valid[list(MOMENT_COLUMNS)].itertuples(index=False, name=None)
    assert list(found) == expected


def test_read_csv_with_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "gold.csv"
    text = "video,start,end,label,subset,duration,clip\r\n007,1,2.5,NA,test,9,3\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    valid = read_moments(path)
    assert valid.iloc[0].to_dict() == {
        "video": "007",
        "start": 1.0,
        "end": 2.5,
        "label": "NA",
        "subset": "test",
        "duration": 9.0,
        "clip": 3,
    }


def test_read_json_records(tmp_path):
    path = tmp_path / "gold.json"
    path.write_text(json.dumps([GOOD, {**GOOD, "video": "w", "end": 10.5}]), encoding="utf-8-sig")
    assert read_moments(path)["end"].tolist() == [4.0, 10.0]
    with pytest.raises(InputError, match=r"gold.json: row 2: end must not exceed"):
        read_moments(path, tolerance=0.0)
    with pytest.warns(UserWarning, match="gold.json: dropped 1 of 2"):
        assert len(read_moments(path, tolerance=0.0, on_bad="drop")) == 1


HEADER = b"video,start,end,label,subset,duration\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("missing.csv", None),
        ("empty.csv", b""),
        ("header.csv", HEADER),
        ("blank_time.csv", HEADER + b"v,,2,x,test,9\n"),
        ("short_row.csv", HEADER + b"v,1,2,x\n"),
        ("long_row.csv", HEADER + b"v,1,2,x,test,9,8,7\n"),
        ("latin.csv", HEADER + "v,1,2,\xe9,test,9\n".encode("latin-1")),
        ("broken.json", b"[{"),
        ("object.json", b'{"video": "v"}'),
        ("numbers.json", b"[1, 2]"),
        ("none.json", b"[]"),
        ("gold.xlsx", b""),
    ],
)
def test_unreadable_file_is_named(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_moments(tmp_path / name)

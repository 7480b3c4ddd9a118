"""The moment table: which action happens when in which video, checked once, where it enters."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pandera.pandas as pa

from gnnreloc.errors import InputError

MOMENT_COLUMNS = ("video", "start", "end", "label", "subset", "duration")
SUBSETS = ("train", "validation", "test")

_TEXT = ("video", "label", "subset")
_SECONDS = ("start", "end", "duration")
_KEY = ["video", "start", "end", "label"]


def _seconds_column(name: str, *checks: pa.Check) -> pa.Column:
    return pa.Column(float, [pa.Check(np.isfinite, error=f"{name} is not finite"), *checks])


def _text_column(check: pa.Check) -> pa.Column:
    return pa.Column(str, check, coerce=True)


def _not_blank(text: pd.Series[str]) -> pd.Series[bool]:
    return text.str.strip() != ""


# The error of a check is the reason that the user reads.
MOMENT_SCHEMA = pa.DataFrameSchema(
    {
        "video": _text_column(pa.Check(_not_blank, error="video is empty")),
        "start": _seconds_column("start", pa.Check.ge(0, error="start must be at least 0")),
        "end": _seconds_column("end"),
        "label": _text_column(pa.Check(_not_blank, error="label is empty")),
        "subset": _text_column(pa.Check.isin(SUBSETS, error=f"subset must be one of {SUBSETS}")),
        "duration": _seconds_column("duration"),
    },
    checks=[
        pa.Check(lambda t: t["start"] < t["duration"], error="start must lie before duration"),
        pa.Check(lambda t: t["start"] < t["end"], error="start must lie before end"),
        pa.Check(lambda t: t["end"] <= t["duration"], error="end must not exceed duration"),
        pa.Check(lambda t: ~t.duplicated(_KEY), error="the moment repeats an earlier row"),
    ],
)
"""What holds for every moment table (pandera); other columns are allowed and left as they are.

================  ============================================================================
``video``         name of the video, not empty
``start``         seconds from the beginning of the video, ``0 <= start < end``
``end``           seconds, ``end <= duration``
``label``         name of the action, not empty
``subset``        ``train``, ``validation`` or ``test``
``duration``      length of the video in seconds
================  ============================================================================

All times are finite, and no two rows share video, start, end and label.
"""


def validate_moments(
    table: pd.DataFrame,
    *,
    source: str = "moment table",
    on_bad: Literal["raise", "drop"] = "raise",
    tolerance: float = 1.0,
) -> pd.DataFrame:
    """Check a moment table and bring its columns to the types of ``MOMENT_SCHEMA``.

    An end that lies at most ``tolerance`` seconds after the end of its video is moved to it:
    published annotations round both times. Rows keep their order; extra columns are kept.

    Example:
        >>> table = pd.DataFrame(
        ...     {"video": ["v"], "start": [1], "end": [9.5], "label": ["jump"],
        ...      "subset": ["test"], "duration": [9]}
        ... )
        >>> validate_moments(table)[["start", "end", "duration"]].values.tolist()
        [[1.0, 9.0, 9.0]]

    Args:
        table: One row a moment, with the columns ``MOMENT_COLUMNS``; times in seconds.
        source: What the table is called in messages, usually its file.
        on_bad: What to do about a bad row: raise, or drop it and warn once with counts.
        tolerance: Seconds by which an end may exceed the duration.

    Returns:
        A new table, with the index 0, 1, 2, ...

    Raises:
        InputError: If a column is missing, the table is empty, no good row is left, or, with
            ``on_bad="raise"``, for the first bad row. Rows count from 1.

    Warns:
        UserWarning: With ``on_bad="drop"``, if rows were dropped.
    """
    if not (math.isfinite(tolerance) and tolerance >= 0):
        raise InputError(f"tolerance: found {tolerance}, wanted at least 0 seconds")
    if on_bad not in ("raise", "drop"):
        raise InputError(f"on_bad: found {on_bad!r}, wanted 'raise' or 'drop'")
    _check_columns(table, source)
    table = table.reset_index(drop=True)
    times = table[list(_SECONDS)].apply(pd.to_numeric, errors="coerce").astype(float)
    end, duration = times["end"], times["duration"]
    late = (end > duration) & (end <= duration + tolerance)
    moments = table.assign(**times.assign(end=end.mask(late, duration)))
    try:
        return MOMENT_SCHEMA.validate(moments, lazy=True)
    except pa.errors.SchemaErrors as error:
        reasons = _reasons(error.failure_cases)
    if on_bad == "raise":
        raise InputError(_describe(table, reasons, source))
    if len(reasons) == len(table):
        raise InputError(f"{_describe(table, reasons, source)}; no good row is left")
    counts = ", ".join(f"{reason} ({n})" for reason, n in reasons.value_counts().items())
    warnings.warn(
        f"{source}: dropped {len(reasons)} of {len(table)} moments: {counts}", stacklevel=2
    )
    return MOMENT_SCHEMA.validate(moments.drop(index=reasons.index).reset_index(drop=True))


def read_moments(
    path: Path | str, *, on_bad: Literal["raise", "drop"] = "raise", tolerance: float = 1.0
) -> pd.DataFrame:
    """Read a moment table from a file and check it with :func:`validate_moments`.

    Args:
        path: A ``.csv`` file with a header (comma, UTF-8), or a ``.json`` file that holds a list of
            objects. A byte order mark and Windows line ends do no harm.
        on_bad: What to do about a bad row: raise, or drop it and warn once with counts.
        tolerance: Seconds by which an end may exceed the duration.

    Raises:
        InputError: If the file cannot be read, or for what :func:`validate_moments` finds in it.
    """
    table = read_table(path)
    return validate_moments(table, source=str(path), on_bad=on_bad, tolerance=tolerance)


def read_table(path: Path | str) -> pd.DataFrame:
    """Read the rows of a moment table as they stand in its file, unchecked.

    Args:
        path: As for :func:`read_moments`.

    Raises:
        InputError: If the file cannot be read as a table.
    """
    path = Path(path)
    readers = {".csv": _read_csv, ".json": _read_json}
    if path.suffix not in readers:
        raise InputError(f"{path}: found suffix {path.suffix!r}, wanted .csv or .json")
    try:
        return readers[path.suffix](path)
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise InputError(f"{path}: cannot be read as a moment table: {error}") from error


def _read_csv(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        # Rows longer than the header: without this, pandas drops their last fields.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        # "NA" and "null" are names here, and "007" is not a number.
        return pd.read_csv(
            path,
            dtype=dict.fromkeys(_TEXT, str),
            keep_default_na=False,
            index_col=False,
            encoding="utf-8-sig",
        )


def _read_json(path: Path) -> pd.DataFrame:
    records = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise ValueError("wanted a list of objects")
    return pd.DataFrame(records)


def _check_columns(table: pd.DataFrame, source: str) -> None:
    missing = [name for name in MOMENT_COLUMNS if name not in table.columns]
    if missing and len(table.columns):
        raise InputError(f"{source}: found no column {missing}, only {list(table.columns)}")
    if table.empty:
        raise InputError(f"{source}: found no rows, wanted at least one moment")
    repeated = table.columns[table.columns.duplicated()].tolist()
    if repeated:
        raise InputError(f"{source}: found column {repeated} more than once")


def _reasons(failures: pd.DataFrame) -> pd.Series[str]:
    """The first reason against each bad row, by row; rules of one column come first."""
    missing = failures["column"] + " is missing or not readable"
    failures = failures.assign(
        reason=failures["check"].astype(object).mask(failures["check"] == "not_nullable", missing)
    )
    # "Column" sorts before "DataFrameSchema".
    failures = failures.sort_values(["index", "schema_context"], kind="stable")
    return failures.drop_duplicates("index").set_index("index")["reason"]


def _describe(table: pd.DataFrame, reasons: pd.Series[str], source: str) -> str:
    position = int(reasons.index[0])
    row = table.iloc[position][list(MOMENT_COLUMNS)].to_dict()
    found = ", ".join(f"{name}={value!r}" for name, value in row.items())
    others = len(reasons) - 1
    more = f" (and {others} more bad row{'s' * (others > 1)})" if others else ""
    return f"{source}: row {position + 1}: {reasons.iloc[0]}, found {found}{more}"

"""The tables of an index in LanceDB: its videos, and the vectors of their proposals."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gnnreloc.errors import InputError

#: Proposals up to which all are compared with a query; above, an inverted file of n^.5 / 4 cells is
#: asked: more of them would take long to learn.
EXACT_UP_TO = 200_000
_CELLS = 0.25
#: Share of the cells that are looked at. On a million proposals of generated videos, the most alike
#: one is in these for 39 of 40 queries, and 92 % of the first 200.
PROBED = 0.4
#: Proposals of each cell, and turns, from which the cells are learned.
_LEARNED_FROM, _TURNS = 64, 10
#: Share of the proposals that may lie in small parts, and number of parts, before they are joined.
_SCATTERED, _PARTS = 0.5, 512
#: Versions that are older may be forgotten: no search takes as long.
_KEPT = timedelta(hours=1)


class StoredVideo(NamedTuple):
    """A video of an index.

    Attributes:
        video: its name.
        path: its file.
        source: SHA-256 of the file.
        rows: number of its feature rows.
        proposals: number of its proposals.
    """

    video: str
    path: str
    source: str
    rows: int
    proposals: int


@dataclass(frozen=True)
class Candidate:
    """A proposal that looks like the query.

    Attributes:
        video: name of its video.
        start: seconds.
        end: seconds.
        score: product of its vector with that of the query.
    """

    video: str
    start: float
    end: float
    score: float


class IndexTables:
    """The tables of an index. Any number of processes may read while one writes.

    A video has its row in the table of videos when all its proposals are in their table; and each
    table changes in one step from the proposals of a video to others.

    Args:
        folder: of the index.
        width: length of the vectors; makes the tables where they are missing. By default they must
            be there.
        channels: width of a feature row, likewise.

    Raises:
        InputError: if LanceDB is not installed, or there are no tables and none are to be made.
    """

    def __init__(self, folder: Path, width: int | None = None, channels: int | None = None) -> None:
        database: Any = import_lancedb().connect(folder)
        #: Videos that a table may hold: looked up once, as one process writes.
        self._written: dict[str, set[str]] = {}
        if width is None or channels is None:
            present = set(database.list_tables().tables)
            if not {"proposals", "videos"} <= present:
                raise InputError(f"{folder} holds no videos yet: let gnnreloc index finish")
            self._proposals = database.open_table("proposals")
            self._videos = database.open_table("videos")
        else:
            schemas = _schemas(width, channels)
            self._proposals, self._videos = (
                database.create_table(name, schema=schemas[name], exist_ok=True)
                for name in ("proposals", "videos")
            )

    def refresh(self) -> None:
        """See what another process has written since."""
        self._videos.checkout_latest()
        self._proposals.checkout_latest()

    def videos(self) -> dict[str, StoredVideo]:
        """The videos by name, sorted."""
        columns = list(StoredVideo._fields)
        rows = self._videos.search().select(columns).to_arrow().to_pylist()
        return {row["video"]: StoredVideo(**row) for row in sorted(rows, key=_video)}

    def means(self, videos: Sequence[str]) -> dict[str, tuple[int, Tensor]]:
        """Number of feature rows, and their mean ``[C]``, of those videos that are there."""
        found = (
            self._videos.search()
            .where(f"video IN ({_quoted(videos)})")
            .select(["video", "rows", "mean"])
            .to_arrow()
        )
        means = torch.from_numpy(_matrix(found["mean"], len(found)))
        names, rows = found["video"].to_pylist(), found["rows"].to_pylist()
        return {name: (count, mean) for name, count, mean in zip(names, rows, means, strict=True)}

    def count_proposals(self) -> int:
        """Number of proposals of all videos."""
        return int(self._proposals.count_rows())

    def put(self, video: StoredVideo, mean: Tensor, segments: Tensor, vectors: Tensor) -> None:
        """Write a video in the place of what there is of it.

        Args:
            video: what is told of it.
            mean: of its feature rows, ``[C]``.
            segments: its proposals in seconds, float64 ``[m, 2]``.
            vectors: of the proposals, ``[m, width]``.
        """
        count = len(segments)
        columns = {
            "video": [video.video] * count,
            "number": np.arange(count, dtype=np.int32),
            "start": segments[:, 0].numpy(),
            "end": segments[:, 1].numpy(),
            "length": (segments[:, 1] - segments[:, 0]).numpy(),
            "vector": _vectors(vectors, self._proposals.schema),
        }
        rows = _arrow().table(columns, schema=self._proposals.schema)
        self._write(self._proposals, ["video", "number"], rows, video.video)
        told: dict[str, Any] = {name: [value] for name, value in video._asdict().items()}
        told["mean"] = _vectors(mean.unsqueeze(0), self._videos.schema, "mean")
        row = _arrow().table(told, schema=self._videos.schema)
        self._write(self._videos, ["video"], row, video.video)

    def _write(self, table: Any, key: list[str], rows: Any, video: str) -> None:
        """Rows of a video into a table in one step, those that were there out."""
        if table.name not in self._written:
            names = table.search().select(["video"]).to_arrow()["video"]
            self._written[table.name] = set(names.unique().to_pylist())
        if video not in self._written[table.name]:
            self._written[table.name].add(video)
            table.add(rows)
            return
        merge = table.merge_insert(key).when_matched_update_all().when_not_matched_insert_all()
        old = f"video = {_quoted([video])}"
        merge.when_not_matched_by_source_delete(old).execute(rows)

    def remove_proposals(self, video: str) -> None:
        """Forget the proposals of a video; its row stays, see :meth:`remove_row`."""
        self._proposals.delete(f"video = {_quoted([video])}")

    def remove_row(self, video: str) -> None:
        """Forget a video."""
        self._videos.delete(f"video = {_quoted([video])}")

    def tidy(self) -> None:
        """Join what was written in small parts, and forget old versions.

        Joining writes all anew, and what was there stays on the disk for an hour. So a table that
        grows is joined only when it has about doubled; one with an inverted file always, as later
        proposals are put into its cells then.
        """
        for table in (self._proposals, self._videos):
            if table.list_indices() or _is_scattered(table.stats()):
                table.optimize(cleanup_older_than=_KEPT)

    def build_inverted_file(self) -> None:
        """Sort the proposals into cells, if they are many, so that few need to be looked at."""
        count = self.count_proposals()
        if count <= EXACT_UP_TO:
            return
        found = [index for index in self._proposals.list_indices() if index.columns == ["vector"]]
        if found:
            # Later proposals go into the cells of before, which fit until there are many more.
            built = self._proposals.index_stats(found[0].name)
            if built is not None and count <= 2 * built.num_indexed_rows:
                return
        how = importlib.import_module("lancedb.index").IvfFlat(
            distance_type="dot",
            num_partitions=_cells(count),
            max_iterations=_TURNS,
            sample_rate=_LEARNED_FROM,
        )
        self._proposals.optimize(cleanup_older_than=_KEPT)
        self._proposals.create_index("vector", config=how, replace=True)

    def nearest(
        self, vector: Tensor, count: int, lengths: tuple[float, float] | None, *, exact: bool
    ) -> list[Candidate]:
        """The proposals whose vectors have the highest product with one.

        Args:
            vector: of the query.
            count: how many.
            lengths: shortest and longest proposal to take, in seconds; ``None`` for any.
            exact: compare with every proposal, however many there are.
        """
        probes = max(1, round(PROBED * _cells(self.count_proposals())))
        query = self._proposals.search(vector.numpy()).distance_type("dot").nprobes(probes)
        if exact:
            query = query.bypass_vector_index()
        if lengths is not None:
            low, high = lengths
            query = query.where(f"length >= {low!r} AND length <= {high!r}", prefilter=True)
        found = query.limit(count).select(["video", "start", "end", "_distance"]).to_arrow()
        return [
            Candidate(row["video"], row["start"], row["end"], 1.0 - row["_distance"])
            for row in found.to_pylist()
        ]

    def live_bytes(self) -> int:
        """Bytes of the proposals and videos as they are now, without what older versions keep."""
        return sum(int(table.stats()["total_bytes"]) for table in (self._proposals, self._videos))

    def all_proposals(self) -> Any:
        """All rows of the table of proposals, by video and number, as an Arrow table."""
        return self._proposals.to_arrow().sort_by([("video", "ascending"), ("number", "ascending")])


def import_lancedb() -> Any:
    """LanceDB.

    Raises:
        InputError: if it is not installed.
    """
    # It tells of empty cells, which are no harm, on standard error.
    os.environ.setdefault("LANCEDB_LOG", "error")
    try:
        return importlib.import_module("lancedb")
    except ImportError as error:
        raise InputError(
            "an index needs the extra 'search': pip install 'gnnreloc[search]'"
        ) from error


def _arrow() -> Any:
    """PyArrow, which has no types."""
    return importlib.import_module("pyarrow")


def _schemas(width: int, channels: int) -> dict[str, Any]:
    pyarrow = _arrow()

    text, whole, seconds = pyarrow.string(), pyarrow.int32(), pyarrow.float64()
    proposals = {
        "video": text,
        "number": whole,
        "start": seconds,
        "end": seconds,
        "length": seconds,
        # In half precision: products of unit vectors differ by less than a thousandth.
        "vector": pyarrow.list_(pyarrow.float16(), width),
    }
    videos = {
        "video": text,
        "path": text,
        "source": text,
        "rows": whole,
        "proposals": whole,
        "mean": pyarrow.list_(pyarrow.float32(), channels),
    }
    return {
        name: pyarrow.schema(list(fields.items()))
        for name, fields in {"proposals": proposals, "videos": videos}.items()
    }


def _vectors(values: Tensor, schema: Any, name: str = "vector") -> Any:
    """A matrix as a column of lists of one length, with the numbers of a schema."""
    pyarrow = _arrow()
    kind = schema.field(name).type.value_type.to_pandas_dtype()
    flat = pyarrow.array(values.contiguous().float().numpy().astype(kind).reshape(-1))
    return pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _cells(proposals: int) -> int:
    """Cells of an inverted file of so many proposals."""
    return max(1, round(_CELLS * math.sqrt(proposals)))


def _is_scattered(stats: Any) -> bool:
    """Whether much of a table lies in small parts."""
    fragments = stats["fragment_stats"]
    rest = stats["num_rows"] - fragments["lengths"]["max"]
    return bool(rest >= _SCATTERED * stats["num_rows"] or fragments["num_fragments"] > _PARTS)


def _matrix(column: Any, rows: int) -> Any:
    """A column of lists of one length as a matrix."""
    if not rows:
        return np.empty((0, 0), dtype=np.float32)
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(rows, -1).copy()


def _quoted(texts: Sequence[str]) -> str:
    """Texts as SQL writes them."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def _video(row: dict[str, Any]) -> str:
    return str(row["video"])

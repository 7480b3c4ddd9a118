"""Tables that grow video by video: they are joined seldom, and hold what was put in last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("lancedb", reason="the extra 'search' is not installed")

import lancedb.table

from gnnreloc.search.index_tables import IndexTables, StoredVideo

VIDEOS = 40


def put(tables: IndexTables, name: str, proposals: int = 5, seed: int = 0) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(seed)
    vectors = torch.nn.functional.normalize(torch.randn(proposals, 8, generator=drawn), dim=1)
    start = torch.arange(proposals, dtype=torch.float64).unsqueeze(1)
    row = StoredVideo(name, f"/{name}", "sum", 20, proposals)
    tables.put(row, torch.full((3,), float(seed)), torch.cat([start, start + 2], 1), vectors)
    return vectors


def test_a_growing_table_is_joined_when_it_has_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[str] = []
    optimize = lancedb.table.LanceTable.optimize

    def counted(table: Any, **options: Any) -> Any:
        joined.append(table.name)
        return optimize(table, **options)

    monkeypatch.setattr(lancedb.table.LanceTable, "optimize", counted)
    tables = IndexTables(tmp_path, 8, 3)
    for number in range(VIDEOS):
        put(tables, f"v{number}", seed=number)
        tables.tidy()
    assert tables.count_proposals() == 5 * VIDEOS
    # 1, 2, 4, 8, 16 and 32 videos.
    assert 4 <= joined.count("proposals") <= 6
    # Bytes of vectors and times, less than the versions that are kept for a while.
    live = tables.live_bytes()
    files = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert 5 * VIDEOS * 8 * 2 < live < files


def test_a_video_is_replaced_by_the_same_process_and_by_another(tmp_path: Path) -> None:
    tables = IndexTables(tmp_path, 8, 3)
    put(tables, "it's", proposals=6, seed=1)
    put(tables, "other", seed=2)
    for writer, proposals, seed in ((tables, 3, 3), (IndexTables(tmp_path, 8, 3), 4, 4)):
        vectors = put(writer, "it's", proposals=proposals, seed=seed)
        rows = writer.all_proposals().to_pylist()
        mine = [row for row in rows if row["video"] == "it's"]
        assert len(mine) == proposals and len(rows) == proposals + 5
        # Half precision.
        stored = torch.tensor([[float(x) for x in row["vector"]] for row in mine])
        assert torch.allclose(stored, vectors, atol=1e-3)
        assert writer.videos()["it's"].proposals == proposals
        assert writer.means(["it's"])["it's"][1].tolist() == [seed] * 3
    tables.refresh()
    tables.remove_proposals("it's")
    tables.remove_row("it's")
    put(tables, "it's", proposals=2, seed=5)
    assert tables.count_proposals() == 7 and set(tables.videos()) == {"it's", "other"}


def test_a_product_is_told_as_the_vectors_have_it(tmp_path: Path) -> None:
    tables = IndexTables(tmp_path, 8, 3)
    vectors = put(tables, "a", proposals=9, seed=1)
    query = vectors[4] + 0.1 * vectors[0]
    found = tables.nearest(query, 9, None, exact=False)
    wanted = (vectors @ query).sort(descending=True)
    assert [int(one.start) for one in found] == wanted.indices.tolist()
    assert [one.score for one in found] == pytest.approx(wanted.values.tolist(), abs=2e-3)

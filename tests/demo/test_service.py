"""What the page does: limits, moments, clips, edges and frames."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from gnnreloc.demo import Found
from gnnreloc.demo import service as module
from gnnreloc.errors import InputError
from gnnreloc.models import GraphRelocalizer, SavedModel
from gnnreloc.search import FoundMoment
from gnnreloc.search.feature_cache import FeatureCache
from gnnreloc.video import VideoClip, probe


def ask(demo, **options):
    clip = demo.service.clip(str(demo.query), 1.0, 3.0)
    return demo.service.localize(clip, str(demo.reference), progress=lambda _: None, **options)


def test_the_moment_is_found_and_progress_told(demo):
    told: list[float] = []
    clip = demo.service.clip(str(demo.query), 1.0, 3.0)
    found = demo.service.localize(clip, str(demo.reference), top=2, progress=told.append)
    best = found.moments[0]
    assert min(best.end, 6) - max(best.start, 4) >= 0.5 * (max(best.end, 6) - min(best.start, 4))
    assert found.duration == pytest.approx(8.0, abs=0.1) and found.names[0] == "r.mp4"
    assert told and max(told) == pytest.approx(8.0, abs=0.5)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (None, "no reference was chosen"),
        ("text.mp4", "text.mp4"),
        ("large.mp4", "large.mp4 is too large: 2 MB, at most 1 are taken"),
        ("gone.mp4", "gone.mp4"),
    ],
)
def test_what_cannot_be_searched_is_told_by_its_name_alone(demo, tmp_path, path, message):
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "large.mp4").write_bytes(bytes(2_000_000))
    with pytest.raises(InputError) as raised:
        demo.service.check(None if path is None else str(tmp_path / path), "reference")
    assert message in str(raised.value)
    assert str(tmp_path) not in str(raised.value)


def test_a_long_video_and_an_empty_query_are_told(demo):
    demo.service.limits = module.Limits(seconds=5.0)
    with pytest.raises(InputError, match=r"r.mp4 is too long: 8 s, at most 5 are taken"):
        demo.service.check(str(demo.reference), "reference")
    for start, end in ((3.0, 3.0), (3.0, 1.0), (9.0, 12.0), (-1.0, 2.0)):
        with pytest.raises(InputError, match="the query must end after it starts"):
            demo.service.clip(str(demo.query), start, end)
    assert demo.service.clip(str(demo.query), 1.0, 99.0).end == pytest.approx(4.0, abs=0.1)


def test_a_clip_is_as_long_as_its_moment_and_old_ones_go(demo, monkeypatch):
    monkeypatch.setattr(module, "_MOST_CLIPS", 2)
    moment = FoundMoment(str(demo.reference), 1.0, 2.5, 1.0)
    files = [demo.service.cut(moment) for _ in range(4)]
    assert probe(files[-1]).duration == pytest.approx(1.5, abs=0.1)
    assert files[-1].is_file() and len(list(demo.service.folder.iterdir())) == 2


def test_cosines_where_nothing_is_trained(demo):
    found = ask(demo)
    moment = found.moments[0]
    edges = demo.service.edges(found, 0)
    assert not edges.learned
    assert edges.values.shape == (len(edges.query), len(edges.moment)) == (8, len(edges.moment))
    assert edges.values.abs().max() <= 1.0 + 1e-6
    assert edges.query[0] == pytest.approx(1.125) and edges.query[-1] == pytest.approx(2.875)
    assert moment.start < edges.moment[0] < edges.moment[-1] < moment.end
    # The same action in step: the diagonal is brighter than the rest.
    size = min(edges.values.shape)
    assert edges.values.diagonal().mean() > edges.values[:size, :size].mean()


def test_learned_edges_with_their_seconds(demo):
    torch.manual_seed(0)
    network = GraphRelocalizer(192, hidden_channels=8, timesteps=6, context=0.25).eval()
    saved = SavedModel(network, "dynamic", {}, windows=(2.0,))
    demo.service.engine.model, demo.service.engine.system = saved, network
    query = VideoClip(demo.query, 1.0, 3.0)
    moment = FoundMoment(str(demo.reference), 4.0, 6.0, 1.0)
    clip = demo.service.engine.encode_query(query)
    edges = demo.service.edges(Found(query, clip, [moment], ["r.mp4"], 8.0), 0)
    assert edges.learned and edges.values.shape == (6, 6)
    assert edges.values.sum(dim=1) == pytest.approx(torch.ones(6).numpy(), abs=1e-5)
    middles = (np.arange(6) + 0.5) / 6
    assert edges.query == pytest.approx(1.0 + 2.0 * middles)
    assert edges.moment == pytest.approx(3.5 + 3.0 * middles)
    features = demo.service.engine.cache[VideoClip(demo.reference)]
    graphs = network.pair_graphs(clip, features, torch.tensor([[4.0, 6.0]], dtype=torch.float64))
    with torch.no_grad():
        assert torch.allclose(edges.values, network.edges(graphs)["learned"][0])


@pytest.mark.parametrize("time", [-3.0, 0.0, 2.0, 7.99, 1e6])
def test_a_frame_at_any_second(demo, time):
    image = demo.service.frame(demo.reference, time)
    assert image.shape == (120, 160, 3) and image.dtype == np.uint8


def test_two_users_at_once_get_what_one_gets(demo):
    alone = [(m.start, m.end, m.score) for m in ask(demo).moments]
    answers: list[object] = []

    def user() -> None:
        answers.append([(m.start, m.end, m.score) for m in ask(demo).moments])

    users = [threading.Thread(target=user) for _ in range(4)]
    for each in users:
        each.start()
    for each in users:
        each.join()
    assert answers == [alone] * 4


def test_no_library(demo):
    clip = demo.service.clip(str(demo.query), 1.0, 3.0)
    with pytest.raises(InputError, match="start the page with --index"):
        demo.service.search(clip, progress=lambda _: None)


def test_moments_of_a_library_are_files(demo, videos: Path, tmp_path: Path, monkeypatch):
    pytest.importorskip("lancedb", reason="the extra 'search' is not installed")
    from gnnreloc.search import Library
    from gnnreloc.search.index import update_index

    backbone = demo.service.engine.cache.backbone
    update_index(videos, tmp_path / "index", backbone=backbone)
    demo.service.library = Library(tmp_path / "index", backbone=backbone)
    clip = demo.service.clip(str(demo.query), 1.0, 3.0)
    found = demo.service.search(clip, top=3, progress=lambda _: None)
    assert found.duration == 0.0
    assert {Path(moment.video).name for moment in found.moments} <= {"r.mp4", "q.mp4"}
    assert all(Path(moment.video).is_file() for moment in found.moments)
    assert demo.service.cut(found.moments[0]).is_file()
    # Their edges are those of the rows in the library: no video is read for them.
    monkeypatch.setattr(FeatureCache, "__getitem__", lambda _, clip: pytest.fail(f"reads {clip}"))
    edges = demo.service.edges(found, 0)
    best = found.moments[0]
    assert edges.values.shape == (8, len(edges.moment))
    assert best.start < edges.moment[0] < edges.moment[-1] < best.end
    with pytest.raises(InputError, match=r"index holds no video 'gone.mp4'"):
        demo.service.library.features("gone.mp4")

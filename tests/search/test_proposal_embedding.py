"""The vectors of proposals: what they compare, and what they overlook."""

from __future__ import annotations

import pytest
import torch

from gnnreloc.data.features import Features
from gnnreloc.data.scaled_features import FeatureScaling
from gnnreloc.errors import InputError
from gnnreloc.models import create_model
from gnnreloc.models.saved_model import SavedModel
from gnnreloc.search.proposal_embedding import ProposalEmbedding, fit_embedding


def video_of(seed: int, rows: int, channels: int = 24) -> Features:
    random = torch.Generator().manual_seed(seed)
    return Features(torch.randn(rows, channels, generator=random).cumsum(dim=0), 0.25)


def saved_model(scaling: FeatureScaling | None = None, **options: object) -> SavedModel:
    torch.manual_seed(0)
    model = create_model("dynamic", in_channels=24, timesteps=6, hidden_channels=8, **options)
    return SavedModel(model, "dynamic", {}, scaling=scaling)  # type: ignore[arg-type]


def test_vectors_are_means_of_cosines() -> None:
    video = video_of(0, 100)
    mean = video.values.mean(dim=0)
    embedding = ProposalEmbedding(mean, torch.eye(24), timesteps=2)
    segments = torch.tensor([[2.0, 4.0], [10.0, 18.0]])
    vectors = embedding.embed_proposals(video, mean, segments)
    assert vectors.shape == (2, embedding.width)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(2))
    query = video.slice(2.0, 4.0)
    found = vectors @ embedding.embed_query(query)
    rows = video.values - mean
    halves = [(rows[8:12].mean(0), rows[40:56].mean(0)), (rows[12:16].mean(0), rows[56:72].mean(0))]
    cosines = [torch.cosine_similarity(own, other, dim=0) for own, other in halves]
    wanted = torch.stack([torch.tensor(1.0), torch.stack(cosines).mean()])
    assert torch.allclose(found, wanted, atol=1e-5)


def test_learned_directions_hold_most_of_what_moves() -> None:
    videos = [video_of(seed, 100) for seed in range(3)]
    embedding = fit_embedding(videos, channels=8)
    directions = embedding.directions
    assert torch.allclose(directions.T @ directions, torch.eye(8), atol=1e-5)
    centred = torch.cat([video.values - video.values.mean(dim=0) for video in videos])
    # No 8 directions hold more: those of the singular value decomposition.
    best = torch.linalg.svdvals(centred.double())[:8].square().sum()
    assert float((centred @ directions).square().sum()) == pytest.approx(float(best), rel=1e-4)
    means = torch.stack([video.values.mean(dim=0) for video in videos])
    assert torch.allclose(embedding.mean, means.mean(dim=0), atol=1e-5)


def test_the_directions_of_a_model_are_what_its_first_layer_reads() -> None:
    random = torch.Generator().manual_seed(1)
    scaling = FeatureScaling(torch.randn(24, generator=random), 1 + torch.rand(24))
    model = saved_model(scaling)
    videos = [video_of(seed, 40) for seed in range(2)]
    embedding = fit_embedding(videos, model=model)
    assert embedding.directions.shape == (24, 8)
    # What the layer gives for two rows differs as their products with the directions do.
    one, other = videos[0].values[3], videos[0].values[20]
    layer = model.model.projection[0]  # type: ignore[index, union-attr]
    rows = scaling.apply(Features(torch.stack([one, other]), 0.25)).values
    read = layer(rows).detach()  # type: ignore[operator, misc]
    assert torch.allclose(read[0] - read[1], (one - other) @ embedding.directions, atol=1e-4)


def test_a_model_without_such_a_layer_leaves_the_directions_as_they_are() -> None:
    videos = [video_of(seed, 40) for seed in range(2)]
    plain = fit_embedding(videos)
    model = saved_model(project_input=False)
    assert torch.equal(fit_embedding(videos, model=model).directions, plain.directions)


def test_a_model_of_other_features_is_refused() -> None:
    with pytest.raises(InputError, match="the model reads 24 feature channels, the videos have 5"):
        fit_embedding([video_of(0, 40, channels=5)], model=saved_model())

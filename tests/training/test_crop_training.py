"""``sampling="crops"`` of the trainer: which models, which samples, and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from gnnreloc.data import Corpus, CropSet, evaluation_pairs
from gnnreloc.datasets import synthetic
from gnnreloc.errors import InputError
from gnnreloc.evaluation import evaluate
from gnnreloc.models import GraphRelocalizer, create_model
from gnnreloc.models.trainable import TrainableRelocalizer
from gnnreloc.training import OptimizerOptions, Trainer


def build(**options: int) -> GraphRelocalizer:
    torch.manual_seed(0)
    return GraphRelocalizer(48, **{"hidden_channels": 16, "timesteps": 8, **options})


def test_the_samples_are_crops_as_the_model_wants_them(tiny_corpus: Corpus) -> None:
    trainer = Trainer(sampling="crops", samples=7, list_length=8, seed=4, device="cpu")
    data = trainer.training_set(build(), tiny_corpus)
    assert isinstance(data, CropSet) and len(data) == 7 and data.seed == 4
    assert (data.timesteps, data.context, data.composite) == (8, 0.25, trainer.composite)
    assert len(data[0]) == 8 and data[0][0].x.shape == (16, 48)


def test_it_learns_to_find_crops(tiny_corpus: Corpus, tmp_path: Path) -> None:
    trainer = Trainer(
        sampling="crops",
        epochs=6,
        samples=16,
        batch_size=4,
        list_length=8,
        composite=0.0,
        optimizers=[OptimizerOptions(lr=3e-3)],
        device="cpu",
    )
    log = trainer.fit(build(), tiny_corpus, folder=tmp_path)
    assert log["ranking"].iloc[-1] < log["ranking"].iloc[0]
    assert trainer.describe()["sampling"] == "crops"


def test_other_models_and_losses_are_refused(tiny_corpus: Corpus, tmp_path: Path) -> None:
    model = create_model("cross_gated_bilinear", in_channels=48)
    assert isinstance(model, TrainableRelocalizer)
    labels = [OptimizerOptions(losses={"labels": 1.0})]
    trainer = Trainer(sampling="crops", optimizers=labels, device="cpu")
    with pytest.raises(InputError, match="pair graphs: CrossGatedBilinear does not"):
        trainer.fit(model, tiny_corpus, folder=tmp_path)
    triplet = [OptimizerOptions(losses={"triplet": 1.0})]
    with pytest.raises(InputError, match="needs sampling='triplets', got 'crops'"):
        Trainer(sampling="crops", optimizers=triplet)


@pytest.mark.slow
def test_unseen_actions_are_found_better_after_training_without_labels(tmp_path: Path) -> None:
    corpus = synthetic(train_videos=60, test_videos=60)
    pairs = evaluation_pairs(corpus, "test", queries=80, references_per_query=1)
    model = build(hidden_channels=48, timesteps=16)
    trainer = Trainer(sampling="crops", epochs=10, samples=128, list_length=16, device="cpu")
    trainer.fit(model, corpus, folder=tmp_path)
    free, trained = (
        evaluate(system, corpus, pairs).summary["r1"]["0.5"]
        for system in (create_model("training_free"), model)
    )
    assert trained > free + 0.05

"""Data sets of ``node_classification.py``, with the nodes to train, to validate and to test."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from node_classifiers import Problem
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale
from torch import Tensor
from torch_geometric.datasets import Planetoid

from gnnreloc.errors import InputError


class Tabular(NamedTuple):
    """A data set without a graph.

    Attributes:
        load: from scikit-learn.
        scaled: features to mean 0 and deviation 1; otherwise they are only divided by the largest.
        train: number of labelled nodes to train.
        validation: number of labelled nodes to validate.
        split_seeds: splits that runs take in turn; without them the seed of a run is that of its
            split, too.
    """

    load: Callable[[], Any]
    scaled: bool
    train: int
    validation: int
    split_seeds: tuple[int, ...] = ()


TABULAR = {
    "wine": Tabular(datasets.load_wine, True, 10, 20),
    "cancer": Tabular(datasets.load_breast_cancer, True, 10, 20),
    "digits": Tabular(datasets.load_digits, False, 50, 100),
}
#: The same on the splits of IDGL: the seeds in the configuration files that its authors gave out.
TABULAR |= {
    "wine_idgl": TABULAR["wine"]._replace(split_seeds=(6600, 6666, 4968, 2842, 4800)),
    "cancer_idgl": TABULAR["cancer"]._replace(split_seeds=(42,)),
    "digits_idgl": TABULAR["digits"]._replace(split_seeds=(7545,)),
}
#: Names of the data sets with a graph, as PyG knows them.
CITATION = {"cora": "Cora", "citeseer": "CiteSeer"}
DATASETS = (*TABULAR, *CITATION)


class Split(NamedTuple):
    """A problem, and what is kept from classifiers: test nodes and the classes of all nodes."""

    problem: Problem
    test: Tensor
    truth: Tensor


def load(dataset: str, seed: int, planetoid: Path | None) -> Split:
    """A data set with the split of a run; public splits are the same for every seed."""
    if dataset in CITATION:
        if planetoid is None:
            raise InputError(f"{dataset} needs --planetoid")
        return load_citation(dataset, planetoid)
    settings = TABULAR[dataset]
    seeds = settings.split_seeds or (seed,)
    bunch = settings.load()
    x = scale(bunch.data) if settings.scaled else bunch.data / bunch.data.max()
    train, validation, test = split_nodes(
        bunch.target,
        train=settings.train,
        validation=settings.validation,
        seed=seeds[seed % len(seeds)],
    )
    return hide_labels(torch.from_numpy(x).float(), bunch.target, train, validation, test)


def split_nodes(
    truth: np.ndarray, *, train: int, validation: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes to train, to validate and to test, each with the classes in about equal shares.

    Args:
        truth: class of each node.
        train: number of nodes to train.
        validation: number of nodes to validate; the rest is test.
        seed: of the split.
    """
    labelled, test = train_test_split(
        np.arange(len(truth)), train_size=train + validation, stratify=truth, random_state=seed
    )
    first, second = train_test_split(
        labelled, train_size=train, stratify=truth[labelled], random_state=seed
    )
    return first, second, test


def hide_labels(
    x: Tensor,
    truth: Any,
    train: Any,
    validation: Any,
    test: Any,
    edge_index: Tensor | None = None,
) -> Split:
    """A split whose problem holds the labels of training and validation nodes only."""
    truth, train, validation, test = map(torch.as_tensor, (truth, train, validation, test))
    labels = torch.full_like(truth, -1)
    for nodes in (train, validation):
        labels[nodes] = truth[nodes]
    classes = int(truth.max()) + 1
    sparse = x.to_sparse().coalesce()
    return Split(Problem(sparse, labels, train, validation, classes, edge_index), test, truth)


def load_citation(dataset: str, planetoid: Path) -> Split:
    """Cora or Citeseer with the public split; features of a node sum to one."""
    raw = planetoid / dataset / "raw"
    for part in ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index"):
        if not (raw / f"ind.{dataset}.{part}").is_file():
            raise InputError(f"--planetoid: wanted the file {raw}/ind.{dataset}.{part}")
    with tempfile.TemporaryDirectory() as folder:
        # PyG writes beside the raw files, which may be read-only, and looks for a name of its own.
        place = Path(folder) / CITATION[dataset]
        place.mkdir()
        (place / "raw").symlink_to(raw.resolve())
        with redirect_stderr(StringIO()):  # "Processing..."
            data = Planetoid(folder, CITATION[dataset])[0]
    x = data.x / data.x.sum(dim=-1, keepdim=True).clamp(min=1.0)
    masks = (data.train_mask, data.val_mask, data.test_mask)
    train, validation, test = (mask.nonzero().view(-1) for mask in masks)
    return hide_labels(x, data.y, train, validation, test, data.edge_index)

"""The training loop."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch.utils.tensorboard import SummaryWriter
from torch_geometric.loader import DataLoader
from tqdm import tqdm

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.training_set import Negatives, Sampling, TrainingSet
from gnnreloc.errors import InputError
from gnnreloc.models.graph_relocalizer import GraphRelocalizer
from gnnreloc.training.checkpoint import load_checkpoint, save_checkpoint
from gnnreloc.training.losses import compute_losses
from gnnreloc.training.optimizers import OptimizerOptions, RoutedOptimizers

Validate = Callable[[GraphRelocalizer], Mapping[str, float]]


class Trainer:
    """Trains a :class:`~gnnreloc.models.GraphRelocalizer` on the training moments of a corpus.

    Same seed, same numbers on the CPU, whether a run goes through or is killed and resumed: the
    samples depend on seed and epoch alone, and the last epoch's checkpoint holds the state of the
    model, of all optimisers and schedules and of the random generator.

    Args:
        epochs: number of epochs.
        samples: samples (lists or triplets) an epoch.
        batch_size: samples a step.
        sampling: ``lists`` (ours) or ``triplets`` (the paper).
        list_length: proposals in a list.
        negatives: of the triplets.
        optimizers: one entry an optimiser; ``None`` is one AdamW on everything.
        margin: of the triplet loss.
        target_temperature: of the ranking loss.
        positive_overlap: tIoU from which a proposal trains the regression.
        beta: of the regression loss, see :func:`~gnnreloc.training.regression_loss`.
        validate_every: epochs between validations; 0 is never.
        workers: processes that prepare batches.
        device: ``auto``, ``cpu``, ``cuda`` or another accelerator of lightning-fabric.
        devices: number of devices (processes).
        precision: ``32-true``, ``bf16-mixed`` or ``64-true``.
        seed: seed of the weights, the samples and the dropout.
    """

    def __init__(
        self,
        *,
        epochs: int = 10,
        samples: int = 320,
        batch_size: int = 16,
        sampling: Sampling = "lists",
        list_length: int = 24,
        negatives: Negatives = "other_class",
        optimizers: Sequence[OptimizerOptions] | None = None,
        margin: float = 0.5,
        target_temperature: float = 0.2,
        positive_overlap: float = 0.5,
        beta: float = 0.1,
        validate_every: int = 1,
        workers: int = 0,
        device: str = "auto",
        devices: int = 1,
        precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true",
        seed: int = 0,
    ) -> None:
        for name, value in (("epochs", epochs), ("samples", samples), ("batch_size", batch_size)):
            if value < 1:
                raise InputError(f"{name} must be at least 1, got {value}")
        self.epochs = epochs
        self.samples = samples
        self.batch_size = batch_size
        self.sampling: Sampling = sampling
        self.list_length = list_length
        self.negatives: Negatives = negatives
        self.optimizers = [OptimizerOptions()] if optimizers is None else list(optimizers)
        self.loss_options = {
            "margin": margin,
            "target_temperature": target_temperature,
            "positive_overlap": positive_overlap,
            "beta": beta,
        }
        self.validate_every = validate_every
        self.workers = workers
        self.seed = seed
        self.fabric = _fabric(device, devices, precision)

    def fit(
        self,
        model: GraphRelocalizer,
        corpus: Corpus,
        *,
        folder: str | Path,
        resume: bool = False,
        validate: Validate | None = None,
        identity: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Train; afterwards the model is on the CPU, in evaluation mode.

        Args:
            model: the model, with its initial weights.
            corpus: the corpus.
            folder: gets ``checkpoint/last.pt``, ``log.csv`` and TensorBoard events.
            resume: go on from ``checkpoint/last.pt`` if it is there.
            validate: figures of the model to be logged, for example on validation classes.
            identity: what makes a run this run (options, data set, seed); a checkpoint with another
                identity is refused.

        Returns:
            The log, one row an epoch.

        Raises:
            InputError: if the checkpoint to resume is damaged or of another run.
            FloatingPointError: if a loss or gradient is not finite; names epoch and step, and the
                last checkpoint stays as it was.
        """
        folder = Path(folder)
        path = folder / "checkpoint" / "last.pt"
        fabric = self.fabric
        fabric.launch()
        known = {"trainer": self.describe(), **(identity or {})}
        data = TrainingSet(
            corpus,
            sampling=self.sampling,
            samples=self.samples,
            list_length=self.list_length,
            negatives=self.negatives,
            timesteps=model.timesteps,
            resampling=model.resampling,
            seed=self.seed,
            transform=model.transform if model.backend == "edge" else None,
        )
        loader: Any = fabric.setup_dataloaders(
            DataLoader(data, batch_size=self.batch_size, num_workers=self.workers)
        )
        model = model.to(fabric.device)
        if fabric._precision.precision == "64-true":
            model = model.double()
        optimizers = RoutedOptimizers(
            model.parameter_groups(), self.optimizers, self.epochs * len(loader), fabric
        )
        torch.manual_seed(self.seed)
        rows: list[dict[str, float]] = []
        if resume and path.is_file():
            rows = self._restore(path, model, optimizers, known)
        with SummaryWriter(str(folder), purge_step=len(rows)) as writer:
            for epoch in range(len(rows), self.epochs):
                data.epoch = epoch
                row = self._epoch(model, loader, optimizers, epoch)
                last = epoch + 1 == self.epochs
                if (
                    validate
                    and self.validate_every
                    and (last or (epoch + 1) % self.validate_every == 0)
                ):
                    row |= {f"validation_{name}": v for name, v in validate(model).items()}
                rows.append(row)
                if fabric.is_global_zero:
                    for name, value in row.items():
                        writer.add_scalar(name, value, epoch)
                    save_checkpoint(
                        path,
                        {
                            "identity": known,
                            "model": model.state_dict(),
                            "random": torch.get_rng_state(),
                            "rows": rows,
                            **optimizers.state_dict(),
                        },
                    )
                    pd.DataFrame(rows).to_csv(folder / "log.csv", index=False)
        model.cpu().float().eval()
        return pd.DataFrame(rows)

    def describe(self) -> dict[str, Any]:
        """All that decides the numbers of a run, as plain data."""
        return {
            "epochs": self.epochs,
            "samples": self.samples,
            "batch_size": self.batch_size,
            "sampling": self.sampling,
            "list_length": self.list_length,
            "negatives": self.negatives,
            "optimizers": [asdict(options) for options in self.optimizers],
            "seed": self.seed,
            **self.loss_options,
        }

    def _epoch(
        self, model: GraphRelocalizer, loader: Any, optimizers: RoutedOptimizers, epoch: int
    ) -> dict[str, float]:
        model.train()
        began = time.perf_counter()
        totals: dict[str, float] = {}
        batches = tqdm(loader, desc=f"epoch {epoch + 1}/{self.epochs}", disable=None, leave=False)
        for step, batch in enumerate(batches):
            with self.fabric.autocast():
                out = model(batch)
                losses = compute_losses(optimizers.loss_names, out, batch, **self.loss_options)
            try:
                optimizers.step(losses)
            except (FloatingPointError, RuntimeError) as error:
                if "finite" in str(error) or isinstance(error, FloatingPointError):
                    message = f"epoch {epoch + 1}, step {step + 1}: {error}"
                    raise FloatingPointError(message) from error
                raise
            for name, loss in losses.items():
                totals[name] = totals.get(name, 0.0) + loss.item()
        rates = optimizers.learning_rates()
        names = ["lr"] if len(rates) == 1 else [f"lr_{number}" for number in range(len(rates))]
        return {
            "epoch": epoch + 1,
            **{name: total / len(loader) for name, total in totals.items()},
            **dict(zip(names, rates, strict=True)),
            "seconds": time.perf_counter() - began,
        }

    def _restore(
        self,
        path: Path,
        model: GraphRelocalizer,
        optimizers: RoutedOptimizers,
        known: Mapping[str, Any],
    ) -> list[dict[str, float]]:
        saved = load_checkpoint(path)
        for name in known:
            if saved["identity"].get(name) != known[name]:
                raise InputError(
                    f"checkpoint {path} is of another run: its {name} is "
                    f"{saved['identity'].get(name)}, this run's is {known[name]}"
                )
        model.load_state_dict(saved["model"])
        optimizers.load_state_dict(saved)
        torch.set_rng_state(saved["random"])
        rows: list[dict[str, float]] = saved["rows"]
        return rows


def seed_everything(seed: int) -> None:
    """Seed every random generator and choose deterministic algorithms."""
    random.seed(seed)
    np.random.default_rng(seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)


def _fabric(device: str, devices: int, precision: str) -> Fabric:
    try:
        return Fabric(accelerator=device, devices=devices, precision=precision)  # type: ignore[arg-type]
    except (ValueError, RuntimeError) as error:
        raise InputError(f"device {device!r} x {devices}, {precision}: {error}") from error

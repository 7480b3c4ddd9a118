"""The training loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from torch.utils.tensorboard import SummaryWriter
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from tqdm import tqdm

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.sampled_set import SampledSet
from gnnreloc.data.training_set import Negatives
from gnnreloc.errors import InputError
from gnnreloc.models.trainable import TrainableRelocalizer
from gnnreloc.training.checkpoint import check_identity, load_checkpoint, save_checkpoint
from gnnreloc.training.crop_training import crop_set
from gnnreloc.training.devices import open_fabric
from gnnreloc.training.losses import compute_losses
from gnnreloc.training.one_ahead import one_ahead
from gnnreloc.training.optimizers import OptimizerOptions, RoutedOptimizers
from gnnreloc.training.time_left import time_left

Log = Sequence[Mapping[str, float]]
#: What ``Trainer`` takes; ``crops`` is a training set of its own.
TrainerSampling = Literal["lists", "triplets", "crops"]
Validate = Callable[[TrainableRelocalizer], Mapping[str, float]]


class Trainer:
    """Trains a :class:`~gnnreloc.models.TrainableRelocalizer` on a corpus.

    Same seed and number of threads, same numbers on the CPU, whether a run goes through or is
    killed and resumed: the samples depend on seed and epoch alone, and the last epoch's checkpoint
    holds the state of the model, of all optimisers and schedules and of the random generator.

    With several devices each process trains on every ``n``-th sample (the first ones again where
    they cannot be shared evenly), and gradients are averaged in every step. Ranking loss and
    sparsity are means over samples of one size, so that ``n`` processes are one with ``n`` times
    the batch, up to dropout, which each draws anew; the regression loss is a mean over those
    candidates of a process that overlap, the labels loss over its steps, which is nearly that; the
    triplet loss is a sum, of which ``n`` processes give the ``n``-th part. They are started by
    ``devices``, or by ``torchrun`` or ``fabric run``, which also reach over several machines; the
    first one validates and writes.

    Args:
        epochs: number of epochs.
        samples: samples (lists or triplets) an epoch.
        batch_size: samples a step, of each process.
        sampling: ``lists`` (ours) or ``triplets`` (the paper); or ``crops``, lists that need no
            labels, for networks that score pair graphs (:class:`~gnnreloc.data.CropSet`).
        list_length: proposals in a list.
        negatives: of the triplets.
        partial: share of the lists that ask for a part of an action, see
            :class:`~gnnreloc.data.TrainingSet`.
        composite: share of the lists that ask for a made-up action, see there.
        optimizers: one entry an optimiser; ``None`` is one AdamW on everything.
        margin: of the triplet loss.
        target_temperature: of the ranking loss.
        positive_overlap: tIoU from which a proposal trains the regression.
        beta: of the regression loss, see :func:`~gnnreloc.training.regression_loss`.
        validate_every: epochs between validations; 0 is never.
        workers: processes that prepare batches.
        device: ``auto``, ``cpu``, ``cuda`` or another accelerator of lightning-fabric.
        devices: number of devices (processes) of this machine.
        precision: ``32-true``, ``bf16-mixed`` or ``64-true``.
        seed: seed of the weights, the samples and the dropout.
    """

    def __init__(
        self,
        *,
        epochs: int = 10,
        samples: int = 320,
        batch_size: int = 16,
        sampling: TrainerSampling = "lists",
        list_length: int = 24,
        negatives: Negatives = "other_class",
        partial: float = 0.5,
        composite: float = 0.8,
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
        for name, value, least in (
            ("epochs", epochs, 1),
            ("samples", samples, 1),
            ("batch_size", batch_size, 1),
            ("validate_every", validate_every, 0),
            ("workers", workers, 0),
            ("beta", beta, 0.0),
            ("margin", margin, 0.0),
        ):
            if not value >= least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        if not target_temperature > 0:
            raise InputError(f"target_temperature must be above 0, got {target_temperature}")
        if not 0 <= positive_overlap <= 1:
            raise InputError(f"positive_overlap must be from 0 to 1, got {positive_overlap}")
        self.epochs = epochs
        self.samples = samples
        self.batch_size = batch_size
        self.sampling: TrainerSampling = sampling
        self.list_length = list_length
        self.negatives: Negatives = negatives
        self.partial = partial
        self.composite = composite
        self.optimizers = [OptimizerOptions()] if optimizers is None else list(optimizers)
        self.loss_options = {
            "margin": margin,
            "target_temperature": target_temperature,
            "positive_overlap": positive_overlap,
            "beta": beta,
        }
        self.validate_every = validate_every
        self.workers = workers
        self.precision = precision
        self.seed = seed
        if sampling != "triplets" and any("triplet" in o.losses for o in self.optimizers):
            raise InputError(f"the triplet loss needs sampling='triplets', got {sampling!r}")
        self.fabric = open_fabric(device, devices, precision)
        # "fabric run" says so; its processes have joined by now.
        self._launched = os.environ.get("LT_CLI_USED") == "1"

    def launch(self) -> None:
        """Start the other processes, if there are any; done by :meth:`fit` where it was not before.

        With several devices every process runs the whole script up to here.
        """
        if not self._launched:
            self.fabric.launch()
            self._launched = True

    def fit(
        self,
        model: TrainableRelocalizer,
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
            validate: figures of the model to be logged, for example on validation classes; asked of
                the first process.
            identity: what makes a run this run (options, data set, seed); a checkpoint with another
                identity is refused.

        Returns:
            The log, one row an epoch.

        Raises:
            InputError: if the features have another width than the model was made for, the model
                lacks a loss, or the checkpoint to resume is damaged or of another run.
            FloatingPointError: if a loss or gradient is not finite; names epoch and step, and the
                last checkpoint stays as it was.
        """
        folder = Path(os.path.expanduser(folder))  # pandas does so, and the others do not
        path = folder / "checkpoint" / "last.pt"
        fabric = self.fabric
        self.launch()
        if corpus.num_channels != model.in_channels:
            raise InputError(
                f"{corpus.name}: the features have {corpus.num_channels} channels, the model was "
                f"made for {model.in_channels}"
            )
        for loss in (name for option in self.optimizers for name in option.losses):
            if loss not in model.losses:
                raise InputError(
                    f"{type(model).__name__} has no loss {loss!r}; it has: "
                    + ", ".join(model.losses)
                )
        known = {"trainer": self.describe(), **(identity or {})}
        data = self.training_set(model, corpus)
        loader = self.loader(data)
        going_on = fabric.broadcast(resume and path.is_file())
        began = time.perf_counter()
        if not going_on:
            model.prepare(corpus, seed=self.seed)
        prepared = time.perf_counter() - began
        if fabric.world_size > 1:
            model.load_state_dict(fabric.broadcast(model.state_dict()))
        model = model.to(fabric.device)
        if self.precision == "64-true":
            model = model.double()
        optimizers = RoutedOptimizers(
            model.parameter_groups(), self.optimizers, self.epochs * len(loader), fabric
        )
        torch.manual_seed(self.seed)
        rows: list[dict[str, float]] = []
        if going_on:
            rows = self._restore(path, model, optimizers, known)
        events: AbstractContextManager[SummaryWriter | None] = nullcontext()
        if fabric.is_global_zero:
            events = SummaryWriter(str(folder), purge_step=len(rows))
        with events as writer:
            for epoch in range(len(rows), self.epochs):
                data.epoch = epoch
                if fabric.world_size > 1:  # each process its own dropout, also after a resumption
                    draw = np.random.SeedSequence([self.seed, epoch, fabric.global_rank])
                    torch.manual_seed(int(draw.generate_state(1)[0]))
                row = self._epoch(model, loader, optimizers, rows)
                if epoch == 0:
                    row["seconds"] += prepared
                last = epoch + 1 == self.epochs
                if (
                    validate
                    and self.validate_every
                    and (last or (epoch + 1) % self.validate_every == 0)
                ):
                    # The first process asks, while the others wait; the log is theirs as well.
                    figures = fabric.broadcast(validate(model) if fabric.is_global_zero else {})
                    row |= {f"validation_{name}": float(v) for name, v in figures.items()}
                rows.append(row)
                if writer is not None:
                    for name, value in row.items():
                        writer.add_scalar(name, value, epoch)
                    # Before the checkpoint: a run killed between the two writes this row again.
                    pd.DataFrame(rows).to_csv(folder / "log.csv", index=False)
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
        fabric.barrier()  # what the first process wrote is there for all
        if self.precision == "64-true":
            model.float()
        model.cpu().eval()
        return pd.DataFrame(rows)

    def training_set(self, model: TrainableRelocalizer, corpus: Corpus) -> SampledSet:
        """What the model is trained on."""
        if self.sampling == "crops":
            options = {"samples": self.samples, "seed": self.seed, "composite": self.composite}
            return crop_set(model, corpus, list_length=self.list_length, **options)
        return model.training_set(
            corpus,
            samples=self.samples,
            seed=self.seed,
            sampling=self.sampling,
            list_length=self.list_length,
            negatives=self.negatives,
            partial=self.partial,
            composite=self.composite,
        )

    def loader(self, data: SampledSet) -> Any:
        """The batches of an epoch, on the device."""
        return self.fabric.setup_dataloaders(
            DataLoader(
                data,
                batch_size=self.batch_size,
                num_workers=self.workers,
                persistent_workers=self.workers > 0,
                # Its own: the seeds of workers are not drawn from the random stream of the dropout.
                generator=torch.Generator(),
            )
        )

    def ahead(self, batches: Iterable[Data]) -> Generator[Data, None, None]:
        """The same batches, made while the one before is trained on, where a core is free."""
        # Workers do so on their own; and a process that a thread of a pool starts cannot end well.
        # Where training takes all cores of the CPU, a thread would only be in its way.
        fed = getattr(batches, "num_workers", 0) > 0
        busy = torch.get_num_threads() >= (os.cpu_count() or 1)
        if fed or (busy and self.fabric.device.type == "cpu"):
            return (batch for batch in batches)
        return one_ahead(batches)

    def describe(self) -> dict[str, Any]:
        """All that decides the numbers of a run, as plain data."""
        return {
            "epochs": self.epochs,
            "samples": self.samples,
            "batch_size": self.batch_size,
            "sampling": self.sampling,
            "list_length": self.list_length,
            "negatives": self.negatives,
            "partial": self.partial,
            "composite": self.composite,
            "optimizers": [asdict(options) for options in self.optimizers],
            "devices": self.fabric.world_size,
            "precision": self.precision,
            "seed": self.seed,
            **self.loss_options,
        }

    def _epoch(
        self, model: TrainableRelocalizer, loader: Any, optimizers: RoutedOptimizers, rows: Log
    ) -> dict[str, float]:
        """Train one epoch more than there are rows; its row."""
        model.train()
        began = time.perf_counter()
        totals: dict[str, float] = {}
        epoch = len(rows)
        title = f"epoch {epoch + 1}/{self.epochs}{time_left(rows, self.epochs)}"
        with closing(self.ahead(loader)) as batches:
            hidden = None if self.fabric.is_global_zero else True  # None: where no one looks
            bar = tqdm(batches, title, len(loader), disable=hidden, leave=False)
            for step, batch in enumerate(bar):
                with self.fabric.autocast():
                    out = model(batch)
                    losses = compute_losses(optimizers.loss_names, out, batch, **self.loss_options)
                try:
                    told = optimizers.step(losses)
                except FloatingPointError as error:
                    message = f"epoch {epoch + 1}, step {step + 1}: {error}"
                    raise FloatingPointError(message) from error
                for name, loss in told.items():
                    totals[name] = totals.get(name, 0.0) + loss
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
        model: TrainableRelocalizer,
        optimizers: RoutedOptimizers,
        known: Mapping[str, Any],
    ) -> list[dict[str, float]]:
        saved = load_checkpoint(path)
        check_identity(path, saved.get("identity"), known)
        try:
            model.load_state_dict(saved["model"])
            optimizers.load_state_dict(saved)
            torch.set_rng_state(saved["random"])
            return list(saved["rows"])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(f"checkpoint {path} is of another model: {reason}") from error

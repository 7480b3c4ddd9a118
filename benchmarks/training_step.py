"""What a training step of the relocalizer costs beyond its matrix products and its LSTM.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --models dynamic complete --workers 0

A step is: take a batch from PyG's DataLoader, forward, losses, backward, optimiser. Its bare matrix
work is what is left when all but the matrix products and the LSTM is taken away: the same calls on
random tensors of the same shapes, forward and backward, one after the other. Sizes are those of the
recipe ``tuned``, data is the data set ``synthetic``. Writes ``results/training_step.json``. Exit
status: 0, or 2 for bad input.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import Case, Limits, Run, Session
from matrix_work import Call, MatrixWork, bare_work
from record import check, common_parser, environment, fail, print_checks, set_up, write_results
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch_geometric.data import Data

from gnnreloc.data import Corpus
from gnnreloc.datasets import synthetic
from gnnreloc.errors import InputError
from gnnreloc.models import GraphRelocalizer, create_model
from gnnreloc.training import RoutedOptimizers, Trainer
from gnnreloc.training.losses import compute_losses

MODELS = ("dynamic", "khop_n1_k1", "khop_n1_k123", "complete")
#: Largest ratio of a step of the learned graph to its bare matrix work (issue 4).
LIMIT = 1.3


class TrainingStep:
    """A model, its optimiser and its data, as ``Trainer`` joins them by default.

    Args:
        name: of the model.
        corpus: the corpus.
        device: where to train.
        seed: of the samples and the weights.
        options: of the model and of ``Trainer``, by these names.
    """

    def __init__(
        self,
        name: str,
        corpus: Corpus,
        *,
        device: torch.device,
        seed: int,
        options: Mapping[str, Mapping[str, Any]],
    ) -> None:
        torch.manual_seed(seed)
        model = create_model(name, in_channels=corpus.num_channels, **options.get("model", {}))
        if not isinstance(model, GraphRelocalizer):
            raise InputError(f"{name} has no graph")
        self.trainer = Trainer(device=device.type, seed=seed, **options.get("trainer", {}))
        self.fabric = self.trainer.fabric
        self.model = model.to(self.fabric.device).train()
        self.data = self.trainer.training_set(model, corpus)
        # So many steps that the rate of learning hardly changes from run to run.
        groups = model.parameter_groups()
        self.optimizers = RoutedOptimizers(groups, self.trainer.optimizers, 10**6, self.fabric)

    def loader(self, workers: int) -> Any:
        """The batches of one pass."""
        self.trainer.workers = workers
        return self.trainer.loader(self.data)

    def losses(self, batch: Data) -> dict[Any, Tensor]:
        """Forward pass and losses."""
        names = self.optimizers.loss_names
        return compute_losses(names, self.model(batch), batch, **self.trainer.loss_options)

    def train(self, batches: Any) -> None:
        """One pass over batches, as the training loop does it."""
        with closing(self.trainer.ahead(batches)) as coming:
            for batch in coming:
                losses = self.losses(batch)
                self.optimizers.step(losses)
                for loss in losses.values():
                    loss.item()  # for the log

    def calls(self, batch: Data) -> list[Call]:
        """Matrix products and LSTMs of the forward and the backward pass over a batch."""
        with MatrixWork() as work:
            torch.stack(list(self.losses(batch).values())).sum().backward()
        self.model.zero_grad(set_to_none=True)
        return list(work.calls)


def cases_of(step: TrainingStep, name: str, workers: Sequence[int]) -> list[Case]:
    """The steps of one model with so many workers, and their bare matrix work."""
    batches = list(step.loader(0))
    pairs = [int(batch.pair.numel()) for batch in batches]
    # Lists are shorter where a video has few proposals: the batch of middling size stands for all.
    middle = sorted(range(len(pairs)), key=lambda number: pairs[number])[len(pairs) // 2]
    calls = step.calls(batches[middle])
    setting = {"model": name, "backend": step.model.backend}

    def training(number: int) -> Run:
        loader = step.loader(number)
        return lambda: step.train(loader)

    def repeated() -> Run:
        once = bare_work(calls, step.fabric.device)
        return lambda: [once() for _ in range(len(batches))]

    figures = {"steps": len(batches), "pairs": sum(pairs)}
    bare = {"steps": len(batches), "pairs": pairs[middle] * len(batches), "products": len(calls)}
    return [
        Case("bare", setting, repeated, figures=bare),
        *(
            Case(f"workers_{number}", setting, partial(training, number), figures=figures)
            for number in workers
        ),
    ]


def pair_seconds(result: Mapping[str, Any]) -> float:
    """Seconds that one pair graph takes."""
    return float(result["seconds"]["median"] / result["figures"]["pairs"])


def checks_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The step of the learned graph, with the better number of workers, against its bare work."""
    times = {(r["setting"]["model"], r["case"]): pair_seconds(r) for r in results}
    fed = [time for (name, case), time in times.items() if name == "dynamic" and "workers" in case]
    if not fed:
        return []
    ratio = min(fed) / times["dynamic", "bare"]
    return [check("dynamic: step with loading / bare matrix work", ratio, "at most", LIMIT)]


def print_results(results: Sequence[Mapping[str, Any]], console: Console) -> None:
    """A table of all models."""
    table = Table(title="training step of the relocalizer", title_justify="left", box=None)
    for name in ("model", "back end", "case"):
        table.add_column(name)
    for name in ("ms a step", "IQR", "pairs/s", "x bare"):
        table.add_column(name, justify="right")
    bare = {r["setting"]["model"]: pair_seconds(r) for r in results if r["case"] == "bare"}
    for result in results:
        setting, steps = result["setting"], result["figures"]["steps"]
        seconds = pair_seconds(result)
        table.add_row(
            *(setting["model"], setting["backend"], result["case"]),
            f"{result['seconds']['median'] / steps * 1e3:.1f}",
            f"{result['seconds']['iqr'] / steps * 1e3:.1f}",
            f"{1 / seconds:.0f}",
            f"{seconds / bare[setting['model']]:.2f}",
        )
    console.print(table, "")


def quick_options() -> tuple[Corpus, dict[str, dict[str, Any]]]:
    """A tiny corpus, a tiny model, and few steps."""
    corpus = synthetic(train_videos=6, validation_videos=2, test_videos=2)
    options = {
        "model": {"timesteps": 4, "hidden_channels": 8},
        "trainer": {"samples": 4, "batch_size": 2, "list_length": 3},
    }
    return corpus, options


def write_report(
    path: Path,
    name: str,
    step: TrainingStep,
    session: Session,
    *,
    seed: int,
    started: dict[str, Any],
    checks: list[dict[str, Any]],
) -> None:
    """Print the checks, and write what was measured with a step and how."""
    print_checks(checks)
    write_results(
        path,
        name,
        started=started,
        options={
            "steps": step.data.samples // step.trainer.batch_size,
            "seed": seed,
            "data": step.data.corpus.settings,
            "trainer": step.trainer.describe(),
            **session.describe(),
        },
        results=session.results,
        checks=checks,
    )
    print(path)


def main(arguments: Sequence[str]) -> None:
    """Measure, print and write."""
    parser = common_parser(__doc__, "training_step")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1], help="of the DataLoader")
    try:
        options = parser.parse_args(list(arguments))
        if min(options.workers) < 0:
            raise InputError(f"--workers must be at least 0, got {min(options.workers)}")
        device = set_up(options)
        started = environment(device)
        corpus, sizes = quick_options() if options.quick else (synthetic(), {})
        # A run is a whole pass over the data: none is so long that it would be measured only once.
        seconds = 0.02 if options.quick else 5.0
        session = Session(device, Limits(seconds=seconds, long=60.0))
        cases = []
        for name in options.models:
            step = TrainingStep(name, corpus, device=device, seed=options.seed, options=sizes)
            cases += cases_of(step, name, options.workers)
        session.measure(cases)
        console = Console(width=None if Console().is_terminal else 110)
        print_results(session.results, console)
        write_report(
            options.out,
            "training_step",
            step,
            session,
            seed=options.seed,
            started=started,
            checks=checks_of(session.results),
        )
    except InputError as error:
        fail(error)


if __name__ == "__main__":
    main(sys.argv[1:])

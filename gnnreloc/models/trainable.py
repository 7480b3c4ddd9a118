"""What a system must offer to be trained."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.sampled_set import SampledSet
from gnnreloc.data.training_set import Negatives, Sampling
from gnnreloc.models.relocalizer import Relocalizer


class TrainableRelocalizer(torch.nn.Module, Relocalizer):
    """A system with weights, trained by :class:`gnnreloc.training.Trainer`.

    A subclass writes :meth:`training_set`, ``forward`` (batch of samples to what its losses read,
    see :func:`gnnreloc.training.compute_losses`) and ``localize``.

    Args:
        in_channels: width C of the features.
    """

    #: Names of the losses that its output serves, see :func:`gnnreloc.training.compute_losses`.
    losses: tuple[str, ...] = ()

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.in_channels = in_channels

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode without gradients; afterwards the mode is what it was."""
        training = self.training
        self.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.train(training)

    def parameter_groups(self) -> dict[str, list[torch.nn.Parameter]]:
        """Name of each group of parameters that an optimiser may be given, to the group."""
        return {"rest": list(self.parameters())}

    def prepare(self, corpus: Corpus, *, seed: int) -> None:
        """Train what is trained on its own, before the training loop; nothing unless overridden.

        Args:
            corpus: the corpus; only its training moments may be looked at.
            seed: the same seed gives the same weights.
        """

    @abstractmethod
    def training_set(
        self,
        corpus: Corpus,
        *,
        samples: int,
        seed: int,
        sampling: Sampling,
        list_length: int,
        negatives: Negatives,
        partial: float,
        composite: float,
    ) -> SampledSet:
        """The samples that this system learns from; the options are those of the ``Trainer``."""

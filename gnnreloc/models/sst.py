"""Proposals of a network that knows no query, re-ranked by the distance to the query."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnreloc.data.corpus import Corpus
from gnnreloc.data.features import Features, ResampleMode, require_channels
from gnnreloc.models.relocalizer import Moments
from gnnreloc.models.video_level import VideoLevel
from gnnreloc.proposals import SSTNetwork, train_sst


class SST(VideoLevel):
    """Propose moments by SST, rank them by the video-level distance.

    A row of the tables of Feng et al., "Video Re-localization" (2018): the proposal network of Buch
    et al., "SST: Single-Stream Temporal Action Proposals" (2017), says where any action may be, and
    the video-level baseline (:class:`~gnnreloc.models.video_level.VideoLevel`) which of the places
    is closest to the query.

    The two are trained one after the other: :meth:`prepare` trains the proposal network, the
    training loop the distance, on the proposals of the corpus. The weights of both are in
    ``state_dict``. Proposals given to :meth:`localize` are ignored.

    Args:
        in_channels: width C of the features.
        hidden_channels: width d of the hidden state of the video-level network.
        timesteps: number of timesteps T of a clip.
        resampling: how a clip is brought to T timesteps.
        dropout: probability to drop a feature value in training the distance.
        scale: factor of the distance, see :class:`~gnnreloc.models.video_level.VideoLevel`.
        max_proposals: most proposals of a reference.
        proposal_channels: width of the proposal network.
        anchors: number of anchor lengths of the proposal network.

    Raises:
        ValueError: if an option is out of range.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        hidden_channels: int = 128,
        timesteps: int = 24,
        resampling: ResampleMode = "linear",
        dropout: float = 0.0,
        scale: float = 1.0,
        max_proposals: int = 100,
        proposal_channels: int = 128,
        anchors: int = 32,
    ) -> None:
        super().__init__(
            in_channels,
            hidden_channels=hidden_channels,
            timesteps=timesteps,
            resampling=resampling,
            dropout=dropout,
            scale=scale,
        )
        if max_proposals < 1:
            raise ValueError(f"max_proposals: at least 1 is needed, got {max_proposals}")
        self.max_proposals = max_proposals
        self.proposer = SSTNetwork(in_channels, proposal_channels, anchors).requires_grad_(False)

    def parameter_groups(self) -> dict[str, list[torch.nn.Parameter]]:
        """The weights of the distance alone: :meth:`prepare` has trained the others."""
        return {"rest": list(self.lstm.parameters())}

    def prepare(self, corpus: Corpus, *, seed: int) -> None:
        """Train the proposal network on the training moments, whatever their class.

        Raises:
            InputError: if no anchor fits any training moment.
        """
        trained = train_sst(
            corpus.moments,
            corpus.features,
            seed=seed,
            hidden=self.proposer.hidden,
            anchors=self.proposer.anchors,
        )
        self.proposer.load_state_dict(trained.state_dict())

    @torch.no_grad()
    def localize(
        self, query: Features, reference: Features, proposals: Tensor | None = None
    ) -> Moments:
        """Propose moments of the reference and rank them by their distance to the query.

        Raises:
            InputError: if the features have another width.
            FloatingPointError: if a score is NaN, as after training with too high a learning rate.
        """
        require_channels(query, reference, self.in_channels)
        segments, _ = self.proposer.propose(reference, max_proposals=self.max_proposals)
        return super().localize(query, reference, segments)

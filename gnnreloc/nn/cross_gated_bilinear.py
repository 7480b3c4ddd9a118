"""Matching of every step of one clip with what it attends to in another."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class CrossGatedBilinearMatching(torch.nn.Module):
    r"""Attention, cross gating and factorised bilinear matching of query and reference steps.

    The matching layer of Feng et al., "Video Re-localization" (ECCV 2018). Every reference step
    :math:`\mathbf{r}_i` attends to the query steps :math:`\mathbf{q}_j`, each of the two sides is
    gated by the other, and a bilinear form of low rank compares them:

    .. math::
        \alpha_{ij} &= \mathrm{softmax}_j \left( \mathbf{v}^{\top} \tanh (\mathbf{W}_q \mathbf{q}_j
        + \mathbf{W}_r \mathbf{r}_i + \mathbf{b}) \right), \qquad
        \bar{\mathbf{q}}_i = \sum_j \alpha_{ij} \mathbf{q}_j \\
        \tilde{\mathbf{q}}_i &= \bar{\mathbf{q}}_i \odot
        \mathrm{sigmoid} (\mathbf{G}_r \mathbf{r}_i + \mathbf{b}_r), \qquad
        \tilde{\mathbf{r}}_i = \mathbf{r}_i \odot
        \mathrm{sigmoid} (\mathbf{G}_q \bar{\mathbf{q}}_i + \mathbf{b}_q) \\
        m_{ic} &= \tilde{\mathbf{q}}_i^{\top} \mathbf{F}_c \mathbf{F}_c^{\top} \tilde{\mathbf{r}}_i
        + b_c, \qquad \mathbf{F}_c \in \mathbb{R}^{d \times k}

    The projections :math:`\mathbf{F}_c` serve both sides. Ours: the attention of a step does not
    depend on the match of the step before it, so all steps are computed at once.

    Args:
        in_channels: Size d of each step of both clips.
        out_channels: Number of bilinear forms, `in_channels` by default.
        rank: Rank k of each form.

    Raises:
        ValueError: If a number is below 1.

    Shapes:
        - **input:** query :math:`(B, Q, d)`, reference :math:`(B, R, d)`, mask of the query steps
          :math:`(B, Q)`
        - **output:** :math:`(B, R, C_{out})`
    """

    def __init__(self, in_channels: int, out_channels: int | None = None, rank: int = 8) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = in_channels if out_channels is None else out_channels
        self.rank = rank
        for name in ("in_channels", "out_channels", "rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1 (got {getattr(self, name)})")

        self.attend_query = torch.nn.Linear(in_channels, in_channels)
        self.attend_reference = torch.nn.Linear(in_channels, in_channels, bias=False)
        self.attend = torch.nn.Linear(in_channels, 1, bias=False)
        self.gate_query = torch.nn.Linear(in_channels, in_channels)
        self.gate_reference = torch.nn.Linear(in_channels, in_channels)
        self.factors = torch.nn.Linear(in_channels, self.out_channels * rank, bias=False)
        self.bias = torch.nn.Parameter(torch.empty(self.out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset all weights."""
        for module in self.children():
            if isinstance(module, torch.nn.Linear):
                module.reset_parameters()
        # A form of independent entries of variance 1 then has variance 1.
        deviation = (self.in_channels * math.sqrt(self.rank)) ** -0.5
        torch.nn.init.normal_(self.factors.weight, std=deviation)
        torch.nn.init.zeros_(self.bias)

    def attention(self, query: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
        """How much every reference step looks at every query step, ``[B, R, Q]``, rows sum to 1."""
        hidden = self.attend_reference(reference).unsqueeze(2) + self.attend_query(query).unsqueeze(
            1
        )
        energy: Tensor = self.attend(hidden.tanh()).squeeze(-1)
        if mask is not None:
            energy = energy.masked_fill(~mask.unsqueeze(1), -math.inf)
        return energy.softmax(dim=-1)

    def forward(self, query: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
        """Match every reference step with the query.

        Args:
            query: Query steps.
            reference: Reference steps; what comes out of a padded one means nothing.
            mask: False for padded query steps, at least one is True for each query; all are real
                by default.

        Returns:
            The matches.
        """
        attended = self.attention(query, reference, mask) @ query
        gated_query = attended * self.gate_reference(reference).sigmoid()
        gated_reference = reference * self.gate_query(attended).sigmoid()
        products = self.factors(gated_query) * self.factors(gated_reference)
        forms = products.unflatten(-1, (self.out_channels, self.rank)).sum(dim=-1)
        matches: Tensor = forms + self.bias
        return matches

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, rank={self.rank})"
        )

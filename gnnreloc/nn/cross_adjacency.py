"""Adjacency of a graph whose edges all lead from one group of nodes to the other."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class CrossAdjacency(NamedTuple):
    r"""The two blocks that are not 0 of the adjacency matrices of two groups of nodes.

    .. math::
        \mathbf{A} = \begin{pmatrix} \mathbf{0} & \mathbf{A}_{12} \\
        \mathbf{A}_{21} & \mathbf{0} \end{pmatrix}

    It takes the place of the matrix where that is multiplied from the left, and spares half of the
    work. The nodes of the first group come first.

    Attributes:
        first: :math:`\mathbf{A}_{12}`, what the first group receives from the second,
            :math:`(B, N_1, N_2)`.
        second: :math:`\mathbf{A}_{21}`, :math:`(B, N_2, N_1)`.

    Examples:
        >>> adjacency = CrossAdjacency(torch.ones(1, 1, 2), torch.full((1, 2, 1), 3.0))
        >>> adjacency.matrix()
        tensor([[[0., 1., 1.],
                 [3., 0., 0.],
                 [3., 0., 0.]]])
        >>> adjacency @ torch.tensor([[[1.0], [10.0], [100.0]]])
        tensor([[[110.],
                 [  3.],
                 [  3.]]])
    """

    first: Tensor
    second: Tensor

    @property
    def shape(self) -> torch.Size:
        """Shape of the matrices, :math:`(B, N_1 + N_2, N_1 + N_2)`."""
        nodes = self.first.size(-2) + self.second.size(-2)
        return torch.Size([*self.first.shape[:-2], nodes, nodes])

    def __matmul__(self, x: Tensor) -> Tensor:
        """Product with the values of all nodes :math:`(B, N_1 + N_2, F)`."""
        first, second = x.split([self.first.size(-2), self.second.size(-2)], dim=-2)
        return torch.cat([self.first @ second, self.second @ first], dim=-2)

    def to(self, dtype: torch.dtype) -> CrossAdjacency:
        """The same in another precision."""
        return CrossAdjacency(self.first.to(dtype), self.second.to(dtype))

    def mean_size(self) -> Tensor:
        """Mean of the absolute weights over all pairs of nodes, the absent ones included."""
        return (self.first.abs().sum() + self.second.abs().sum()) / self.shape.numel()

    def matrix(self) -> Tensor:
        """The whole matrices, row :math:`i` receives from column :math:`j`."""
        whole = self.first.new_zeros(self.shape)
        nodes = self.first.size(-2)
        whole[..., :nodes, nodes:] = self.first
        whole[..., nodes:, :nodes] = self.second
        return whole

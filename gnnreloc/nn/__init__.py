"""Layers: learned adjacency, graph convolutions, temporal encoder and heads."""

from gnnreloc.nn.block_edges import block_edges as block_edges
from gnnreloc.nn.comparison_convolution import ComparisonConvolution as ComparisonConvolution
from gnnreloc.nn.cosine_adjacency import CosineAdjacency as CosineAdjacency
from gnnreloc.nn.cross_adjacency import CrossAdjacency as CrossAdjacency
from gnnreloc.nn.edge_readout import EdgeReadout as EdgeReadout
from gnnreloc.nn.graph_convolution import GraphConvolution as GraphConvolution
from gnnreloc.nn.multi_graph_convolution import MultiGraphConvolution as MultiGraphConvolution
from gnnreloc.nn.regression_head import RegressionHead as RegressionHead
from gnnreloc.nn.regression_head import decode_offsets as decode_offsets
from gnnreloc.nn.regression_head import encode_offsets as encode_offsets
from gnnreloc.nn.score_head import ScoreHead as ScoreHead
from gnnreloc.nn.temporal_encoder import TemporalEncoder as TemporalEncoder

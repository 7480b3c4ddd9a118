"""Fixed graphs over query and proposal, as PyG transforms."""

from gnnreloc.transforms.complete_temporal import CompleteTemporal as CompleteTemporal
from gnnreloc.transforms.complete_temporal import complete_adjacency as complete_adjacency
from gnnreloc.transforms.complete_temporal import complete_edges as complete_edges
from gnnreloc.transforms.khop_temporal import KHopTemporal as KHopTemporal
from gnnreloc.transforms.khop_temporal import khop_adjacency as khop_adjacency
from gnnreloc.transforms.khop_temporal import khop_edges as khop_edges

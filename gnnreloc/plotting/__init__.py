"""Figures of a run: R@1 and training curves, adjacency heat maps, timelines of moments.

Every function takes plain data (mappings, tensors, a table) and returns a
`matplotlib.figure.Figure` on a canvas of its own. The global state of pyplot is never used, so the
functions are safe in threads and without a display.
"""

from gnnreloc.plotting.adjacency import plot_adjacency
from gnnreloc.plotting.curves import plot_recall_over_tiou, plot_training
from gnnreloc.plotting.edges import EdgeCase, plot_edges
from gnnreloc.plotting.found_moments import plot_found_moments
from gnnreloc.plotting.style import save_figure
from gnnreloc.plotting.timelines import TimelineCase, plot_timelines

__all__ = [
    "EdgeCase",
    "TimelineCase",
    "plot_adjacency",
    "plot_edges",
    "plot_found_moments",
    "plot_recall_over_tiou",
    "plot_timelines",
    "plot_training",
    "save_figure",
]

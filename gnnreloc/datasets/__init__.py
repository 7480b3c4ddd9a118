"""Data sets: each a function that returns a :class:`~gnnreloc.data.Corpus`."""

from collections.abc import Callable

from gnnreloc.data.corpus import Corpus
from gnnreloc.datasets.activitynet12 import activitynet12 as activitynet12
from gnnreloc.datasets.activitynet_vrl import activitynet_vrl as activitynet_vrl
from gnnreloc.datasets.bandai import bandai as bandai
from gnnreloc.datasets.fir import fir as fir
from gnnreloc.datasets.folder import folder as folder
from gnnreloc.datasets.folder import unlabelled_folder as unlabelled_folder
from gnnreloc.datasets.synthetic import synthetic as synthetic
from gnnreloc.datasets.thumos14 import thumos14 as thumos14

#: Name on the command line to function.
DATASETS: dict[str, Callable[..., Corpus]] = {
    "synthetic": synthetic,
    "bandai": bandai,
    "fir": fir,
    "activitynet12": activitynet12,
    "thumos14": thumos14,
    "activitynet_vrl": activitynet_vrl,
    "folder": folder,
}

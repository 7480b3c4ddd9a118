"""Data sets: each a function that returns a :class:`~gnnreloc.data.Corpus`."""

from collections.abc import Callable

from gnnreloc.data.corpus import Corpus
from gnnreloc.datasets.bandai import bandai as bandai
from gnnreloc.datasets.fir import fir as fir
from gnnreloc.datasets.synthetic import synthetic as synthetic

#: Name on the command line to function.
DATASETS: dict[str, Callable[..., Corpus]] = {
    "synthetic": synthetic,
    "bandai": bandai,
    "fir": fir,
}

"""Search by example in one's own videos."""

from gnnreloc.search.engine import EncodedVideo as EncodedVideo
from gnnreloc.search.engine import Engine as Engine
from gnnreloc.search.engine import FoundMoment as FoundMoment
from gnnreloc.search.engine import load as load
from gnnreloc.search.library import Library as Library
from gnnreloc.search.library import open_library as open_library

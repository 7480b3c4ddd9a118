"""Systems that find moments, all behind :class:`Relocalizer`."""

from gnnreloc.models.content_free import Chance as Chance
from gnnreloc.models.content_free import LongestProposal as LongestProposal
from gnnreloc.models.content_free import Oracle as Oracle
from gnnreloc.models.content_free import RandomProposal as RandomProposal
from gnnreloc.models.content_free import WholeReference as WholeReference
from gnnreloc.models.graph_relocalizer import GraphRelocalizer as GraphRelocalizer
from gnnreloc.models.graph_relocalizer import PairScores as PairScores
from gnnreloc.models.registry import create_model as create_model
from gnnreloc.models.registry import list_models as list_models
from gnnreloc.models.relocalizer import Moments as Moments
from gnnreloc.models.relocalizer import Relocalizer as Relocalizer
from gnnreloc.models.training_free import TrainingFree as TrainingFree

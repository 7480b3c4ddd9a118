"""Systems that find moments, all behind :class:`Relocalizer`."""

from gnnreloc.models.aft_srm import AFTSRM as AFTSRM
from gnnreloc.models.chance import Chance as Chance
from gnnreloc.models.cross_gated_bilinear import CrossGatedBilinear as CrossGatedBilinear
from gnnreloc.models.frame_level import FrameLevel as FrameLevel
from gnnreloc.models.graph_relocalizer import GraphRelocalizer as GraphRelocalizer
from gnnreloc.models.longest_proposal import LongestProposal as LongestProposal
from gnnreloc.models.oracle import Oracle as Oracle
from gnnreloc.models.pair_network import PairNetwork as PairNetwork
from gnnreloc.models.pair_network import PairScores as PairScores
from gnnreloc.models.random_proposal import RandomProposal as RandomProposal
from gnnreloc.models.registry import create_model as create_model
from gnnreloc.models.registry import list_models as list_models
from gnnreloc.models.registry import model_builder as model_builder
from gnnreloc.models.relocalizer import EncodedReference as EncodedReference
from gnnreloc.models.relocalizer import Moments as Moments
from gnnreloc.models.relocalizer import Relocalizer as Relocalizer
from gnnreloc.models.saved_model import SavedModel as SavedModel
from gnnreloc.models.saved_model import load_model as load_model
from gnnreloc.models.saved_model import save_model as save_model
from gnnreloc.models.sst import SST as SST
from gnnreloc.models.trainable import TrainableRelocalizer as TrainableRelocalizer
from gnnreloc.models.training_free import TrainingFree as TrainingFree
from gnnreloc.models.video_level import VideoLevel as VideoLevel
from gnnreloc.models.whole_reference import WholeReference as WholeReference

"""Moments, features, corpora, query-reference pairs and pair graphs."""

from gnnreloc.data.annotations import read_moments as read_moments
from gnnreloc.data.annotations import validate_moments as validate_moments
from gnnreloc.data.changed_features import ChangedFeatureStore as ChangedFeatureStore
from gnnreloc.data.corpus import Corpus as Corpus
from gnnreloc.data.disturbed_features import disturb_features as disturb_features
from gnnreloc.data.feature_files import write_features as write_features
from gnnreloc.data.feature_store import DirectoryFeatureStore as DirectoryFeatureStore
from gnnreloc.data.feature_store import FeatureStore as FeatureStore
from gnnreloc.data.feature_store import HDF5FeatureStore as HDF5FeatureStore
from gnnreloc.data.feature_store import InMemoryFeatureStore as InMemoryFeatureStore
from gnnreloc.data.feature_store import open_features as open_features
from gnnreloc.data.features import Features as Features
from gnnreloc.data.features import resample as resample
from gnnreloc.data.features import resample_clip as resample_clip
from gnnreloc.data.lazy_proposals import LazyProposals as LazyProposals
from gnnreloc.data.overlap import best_overlap as best_overlap
from gnnreloc.data.overlap import temporal_iou as temporal_iou
from gnnreloc.data.pair_graph import pair_graph as pair_graph
from gnnreloc.data.pairs import Pair as Pair
from gnnreloc.data.pairs import PairSampler as PairSampler
from gnnreloc.data.pairs import evaluation_pairs as evaluation_pairs
from gnnreloc.data.pairs import wrong_class_pairs as wrong_class_pairs
from gnnreloc.data.reduced_features import reduce_features as reduce_features
from gnnreloc.data.training_set import TrainingSet as TrainingSet

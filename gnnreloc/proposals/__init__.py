"""Candidate moments of a reference video: from actionness, windows or SST, without duplicates."""

from gnnreloc.proposals.actionness import ActionnessModel, fit_actionness
from gnnreloc.proposals.corpus_proposals import (
    PROPOSAL_KINDS,
    TagOnActionness,
    replace_proposals,
)
from gnnreloc.proposals.nms import nms_1d
from gnnreloc.proposals.sst import SSTNetwork, train_sst
from gnnreloc.proposals.tag import TAG_THRESHOLDS, TAG_TOLERANCES, tag_proposals
from gnnreloc.proposals.windows import geometric_lengths, window_proposals

__all__ = [
    "PROPOSAL_KINDS",
    "TAG_THRESHOLDS",
    "TAG_TOLERANCES",
    "ActionnessModel",
    "SSTNetwork",
    "TagOnActionness",
    "fit_actionness",
    "geometric_lengths",
    "nms_1d",
    "replace_proposals",
    "tag_proposals",
    "train_sst",
    "window_proposals",
]

"""Candidate moments of a reference video: from actionness, from windows, and without duplicates."""

from gnnreloc.proposals.nms import nms_1d
from gnnreloc.proposals.tag import TAG_THRESHOLDS, TAG_TOLERANCES, tag_proposals
from gnnreloc.proposals.windows import geometric_lengths, window_proposals

__all__ = [
    "TAG_THRESHOLDS",
    "TAG_TOLERANCES",
    "geometric_lengths",
    "nms_1d",
    "tag_proposals",
    "window_proposals",
]

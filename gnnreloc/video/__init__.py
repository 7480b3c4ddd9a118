"""Videos in: frames at wanted seconds, and the features that a backbone makes of them.

Needs the extra ``video``: ``pip install 'gnnreloc[video]'``. Frames come from the function
``decode`` of :mod:`gnnreloc.video.decode`.
"""

from gnnreloc.video.backbones import BACKBONES, Backbone, create_backbone
from gnnreloc.video.clip import VideoClip
from gnnreloc.video.decode import DamagedVideoWarning
from gnnreloc.video.extract import extract_features
from gnnreloc.video.folder_extraction import Outcome, extract_folder
from gnnreloc.video.frame import Frame
from gnnreloc.video.opened_video import VideoInfo, probe

__all__ = [
    "BACKBONES",
    "Backbone",
    "DamagedVideoWarning",
    "Frame",
    "Outcome",
    "VideoClip",
    "VideoInfo",
    "create_backbone",
    "extract_features",
    "extract_folder",
    "probe",
]

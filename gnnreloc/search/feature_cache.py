"""Features of video files, made when they are first asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from gnnreloc.data import DirectoryFeatureStore
from gnnreloc.data.features import Features
from gnnreloc.errors import InputError
from gnnreloc.video import Backbone, VideoClip, extract_features
from gnnreloc.video.decode import check_decoder
from gnnreloc.video.folder_extraction import extract_to_store
from gnnreloc.video.video_files import check_file, feature_name


class FeatureCache:
    """Gives the features of a clip; those of whole files are kept in a folder, if there is one.

    What is kept is used again as long as the file and the settings of the backbone are the same.

    Args:
        backbone: what makes the features.
        folder: where they are kept; made where it is missing. ``None`` keeps nothing.
        decoder: what decodes.
        progress: called with the seconds that are done.

    Raises:
        InputError: if there is no such decoder.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        folder: Path | str | None = None,
        decoder: str = "pyav",
        progress: Callable[[float], None] | None = None,
    ) -> None:
        check_decoder(decoder)
        self.backbone = backbone
        self.folder = None if folder is None else Path(folder).expanduser()
        self.decoder = decoder
        self.progress = progress

    def __getitem__(self, clip: VideoClip) -> Features:
        """The features of a clip, with the offset 0.

        Raises:
            InputError: if the file is no readable video, or the folder cannot be written.

        Warns:
            DamagedVideoWarning: if the file can be read in part only.
        """
        if self.folder is None or not clip.is_whole:
            return extract_features(
                clip, self.backbone, decoder=self.decoder, progress=self.progress
            )
        check_file(clip.path)
        # Each kind of features has a folder of its own, as a store holds rows of one width.
        kind = f"{self.backbone.name.replace(':', '.')}-{self.backbone.step:g}s"
        store = self.folder / feature_name(kind)
        try:
            store.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{store}: cannot be written: {error.strerror}") from error
        video = self._name(clip.path)
        outcome = extract_to_store(
            video, clip.path, store, self.backbone, self.decoder, self.progress
        )
        if outcome.status == "failed":
            raise InputError(outcome.reason)
        return DirectoryFeatureStore(store)[feature_name(video)]

    @staticmethod
    def _name(path: Path) -> str:
        """Name of a file that tells it from those of the same name in other folders."""
        place = hashlib.sha256(str(path.resolve().parent).encode(errors="surrogateescape"))
        return f"{path.name}-{place.hexdigest()[:12]}"

"""Features of video files, made when they are first asked for."""

from __future__ import annotations

import hashlib
import inspect
import os
import warnings
from collections.abc import Callable
from pathlib import Path

from gnnreloc.data import DirectoryFeatureStore
from gnnreloc.data.features import Features
from gnnreloc.errors import InputError
from gnnreloc.video import Backbone, VideoClip, extract_features
from gnnreloc.video.decode import DamagedVideoWarning, check_decoder
from gnnreloc.video.folder_extraction import extract_to_store
from gnnreloc.video.video_files import check_file, feature_name


class FeatureCache:
    """Gives the features of a clip; those of whole files are kept in a folder, if there is one.

    What is kept is used again as long as the file and the settings of the backbone are the same,
    and the module of a backbone of one's own. What cannot be read of it is made anew.

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
        self.backbone.check()
        store = self.folder / feature_name(self._kind())
        video = self._name(clip.path)
        entry = store / f"{feature_name(video)}.safetensors"
        try:
            store.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{store}: cannot be written: {error.strerror}") from error
        if not (entry.exists() or os.access(store, os.W_OK)):  # told before the work
            raise InputError(f"{store}: cannot be written: no permission")
        features = self._kept(clip.path, video, store)
        if features is None:
            try:
                entry.unlink(missing_ok=True)
            except OSError as error:
                raise InputError(f"{entry}: cannot be read or removed: {error.strerror}") from error
            features = self._kept(clip.path, video, store)
        if features is None:
            raise InputError(f"{entry}: cannot be read back")
        return features

    def _kept(self, path: Path, video: str, store: Path) -> Features | None:
        """What is kept of a file, made now if there is nothing; ``None`` if it is broken."""
        backbone = self.backbone
        outcome = extract_to_store(video, path, store, backbone, self.decoder, self.progress)
        if outcome.status == "failed":
            raise InputError(outcome.reason)
        try:
            features = DirectoryFeatureStore(store)[feature_name(video)]
        except InputError:
            return None
        if (features.num_channels, features.step) != (backbone.channels, backbone.step):
            return None
        if outcome.reason:
            warnings.warn(outcome.reason, DamagedVideoWarning, stacklevel=3)
        return features

    def _kind(self) -> str:
        """Name of a folder, as a store holds rows of one width, and of one backbone."""
        kind = f"{self.backbone.name.replace(':', '.')}-{self.backbone.step:g}s"
        built = type(self.backbone)
        if built.__module__.startswith("gnnreloc."):
            return kind
        try:
            code = Path(inspect.getfile(built)).read_bytes()
        except (OSError, TypeError):  # typed in, as in a notebook
            code = b""
        digest = hashlib.sha256(f"{built.__qualname__}\n".encode() + code).hexdigest()
        return f"{kind}-{digest[:8]}"

    @staticmethod
    def _name(path: Path) -> str:
        """Name of a file that tells it from those of the same name in other folders."""
        place = hashlib.sha256(str(path.resolve().parent).encode(errors="surrogateescape"))
        return f"{path.name}-{place.hexdigest()[:12]}"

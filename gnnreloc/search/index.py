"""An index of a library of videos: made, continued after an interruption, kept up to date."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gnnreloc.data import DirectoryFeatureStore
from gnnreloc.data.feature_files import read_feature_header
from gnnreloc.errors import InputError
from gnnreloc.models.saved_model import SavedModel
from gnnreloc.search import index_settings
from gnnreloc.search.index_settings import IndexSettings, WantedFeatures, read_settings
from gnnreloc.search.index_tables import IndexTables, StoredVideo, import_lancedb
from gnnreloc.search.proposal_embedding import ProposalEmbedding, fit_embedding, read_embedding
from gnnreloc.video import Backbone, Outcome
from gnnreloc.video.folder_extraction import Extract, one_by_one
from gnnreloc.video.store_lock import lock_store
from gnnreloc.video.video_files import feature_name, find_videos, unreadable_folders

FEATURES = "features"
#: Videos, the first that can be read, from which the vectors of proposals are learned.
FITTED_ON = 16
#: Videos after which what was written is joined.
_TIDY_EVERY = 64


@dataclass(frozen=True)
class IndexReport:
    """What became of an index.

    Attributes:
        outcomes: what became of every video of the library, by name. A video is ``"skipped"`` if
            its features and its proposals were there.
        removed: videos that were taken out.
        videos: number of videos that can be searched.
        proposals: number of their proposals.
    """

    outcomes: tuple[Outcome, ...]
    removed: tuple[str, ...]
    videos: int
    proposals: int


def update_index(
    sources: Iterable[Path | str] | Path | str,
    index: Path | str,
    backbone: Backbone | str | None = None,
    *,
    step: float | None = None,
    options: Mapping[str, Any] | None = None,
    model: SavedModel | None = None,
    decoder: str | None = None,
    prune: bool = False,
    remove: Sequence[str] = (),
    extract: Extract | None = None,
    on_seconds: Callable[[str, float], None] | None = None,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> IndexReport:
    """Make an index, or bring it up to date: new and changed videos are put in.

    For each video its features are written, then its proposals in one step. What is done is
    skipped; so whatever ended a run, the same call goes on where it was. A video that cannot be
    read does not stop the others; what the index holds of it stays.

    Args:
        sources: folders and files, see :func:`gnnreloc.video.video_files.find_videos`. None are
            needed where videos are only removed.
        index: folder to write to; one process at a time.
        backbone: what makes the features, or its name; by default that of the index, else that of
            the model.
        step: seconds from one feature row to the next, likewise.
        options: arguments of the backbone, for one that is given by its name.
        model: a trained model whose windows are the proposals of a new index, and whose first
            layer says what their vectors tell apart.
        decoder: what decodes, likewise.
        prune: take out videos that are not among the sources; those in a folder that cannot be read
            stay.
        remove: names of videos to take out.
        extract: what extracts, such as :class:`gnnreloc.video.ray_extraction.RayExtraction`; by
            default one video after the other.
        on_seconds: called with the video and the seconds of it that are done.
        on_outcome: called with the outcome of each video when it is known.

    Raises:
        InputError: if there are no videos, the backbone cannot be used or makes other features
            than the index holds, two files have one name, a video to remove is not there, or the
            folder cannot be written or is being written by another process.
    """
    given = [sources] if isinstance(sources, (str, Path)) else list(sources)
    found = find_videos(given) if given or not remove else {}
    if prune and not given:
        raise InputError("prune: wanted the library, to know which videos it no longer has")
    import_lancedb()  # before hours of work
    folder = Path(index).expanduser()
    _check_place(folder)
    wanted = WantedFeatures(backbone, step, options, decoder, model)
    new = not (folder / index_settings.FILE_NAME).is_file()
    chosen: Backbone | None
    if new and found:
        settings, chosen = wanted.settings()
    else:
        settings = read_settings(folder)
        chosen = wanted.fitting(settings) if found else None
    with ExitStack() as locks:
        locks.enter_context(lock_store(folder))
        locks.enter_context(lock_store(folder / FEATURES))
        if new:
            settings.write(folder)
        writer = _Writer(folder, settings, model)
        writer.check_names(found)
        gone = writer.to_remove(remove, found if prune else None)
        for video in gone:
            writer.remove(video)
        if prune:
            writer.remove_leftovers(found)
        outcomes = []
        if chosen is not None:
            extract = extract or one_by_one(on_seconds)
            made = extract(found, folder / FEATURES, chosen, settings.decoder)
            for outcome in writer.put_all(made):
                outcomes.append(outcome)
                if on_outcome is not None:
                    on_outcome(outcome)
        return writer.finish(sorted(outcomes, key=lambda outcome: outcome.video), gone)


class _Writer:
    """Puts videos into an index whose lock is held."""

    def __init__(self, folder: Path, settings: IndexSettings, model: SavedModel | None) -> None:
        self.folder = folder
        self.settings = settings
        self.model = model
        self.store = DirectoryFeatureStore(folder / FEATURES)
        self.embedding = read_embedding(folder)
        self.tables: IndexTables | None = None
        self.known: dict[str, StoredVideo] = {}
        if self.embedding is not None:
            self._open(self.embedding)

    def _open(self, embedding: ProposalEmbedding) -> IndexTables:
        self.embedding = embedding
        self.tables = IndexTables(self.folder, embedding.width, len(embedding.mean))
        self.known = self.tables.videos()
        return self.tables

    def check_names(self, found: Mapping[str, Path]) -> None:
        """Two files of one name are told apart before one takes the place of the other."""
        for video, path in found.items():
            known = self.known.get(video)
            if known is None or known.path == os.path.abspath(path):
                continue
            before = Path(known.path)
            if before.exists() and not (path.exists() and before.samefile(path)):
                raise InputError(f"{before} and {path} would both be called {video!r}")

    def to_remove(self, named: Sequence[str], present: Mapping[str, Path] | None) -> list[str]:
        """Videos to take out: those that are named, and those of the index that are not present."""
        for video in named:
            if video not in self.known and not self._features(video).exists():
                raise InputError(f"{self.folder} holds no video {video!r} to remove")
        if present is None:
            return sorted(set(named))
        unseen = unreadable_folders(present)
        vanished = {
            video for video in self.known.keys() - present.keys() if not video.startswith(unseen)
        }
        return sorted({*named, *vanished})

    def remove(self, video: str) -> None:
        """Take a video out: a search that found it before still finds its features or no row."""
        if self.tables is not None:
            self.tables.remove_proposals(video)
            self.tables.remove_row(video)
        self._features(video).unlink(missing_ok=True)
        self.known.pop(video, None)

    def remove_leftovers(self, present: Mapping[str, Path]) -> None:
        """Remove features of videos that an interrupted run was putting in, or taking out."""
        kept = {feature_name(video) for video in (*self.known, *present)}
        for name in set(self.store) - kept:
            (self.store.root / f"{name}.safetensors").unlink(missing_ok=True)

    def _features(self, video: str) -> Path:
        return self.store.root / f"{feature_name(video)}.safetensors"

    def put_all(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Put in what was extracted, and say what became of it."""
        waiting: list[Outcome] = []
        for number, outcome in enumerate(outcomes, start=1):
            if self.embedding is not None:
                yield self._put(outcome)
            else:
                waiting.append(outcome)
                good = [one for one in waiting if one.status != "failed"]
                if len(good) == FITTED_ON:
                    yield from self._begin(waiting)
                    waiting = []
            if number % _TIDY_EVERY == 0 and self.tables is not None:
                self.tables.tidy()
        yield from self._begin(waiting)

    def _begin(self, waiting: Sequence[Outcome]) -> Iterator[Outcome]:
        """Learn the embedding from the first videos, and put them in."""
        good = [outcome for outcome in waiting if outcome.status != "failed"]
        if good and self.embedding is None:
            # In the order of their names, so that it does not depend on who was ready first.
            names = sorted(feature_name(outcome.video) for outcome in good)
            embedding = fit_embedding((self.store[name] for name in names), model=self.model)
            embedding.write(self.folder)
            self._open(embedding)
        for outcome in waiting:
            yield self._put(outcome)

    def _put(self, outcome: Outcome) -> Outcome:
        """Write the proposals of a video, unless they are there."""
        if outcome.status == "failed":
            return outcome
        assert self.tables is not None and self.embedding is not None
        try:
            outcome.video.encode()
        except UnicodeEncodeError:
            reason = f"{outcome.path!r}: its name is no text, wanted UTF-8"
            return replace(outcome, status="failed", rows=0, step=0.0, reason=reason)
        shape, metadata = read_feature_header(self._features(outcome.video))
        path, source = os.path.abspath(outcome.path), str(metadata["sha256"])
        known = self.known.get(outcome.video)
        if known is not None and known[:4] == (outcome.video, path, source, shape[0]):
            return replace(outcome, status="skipped")
        features = self.store[feature_name(outcome.video)]
        mean, proposals = features.values.mean(dim=0), self.settings.propose(features)
        vectors = self.embedding.embed_proposals(features, mean, proposals)
        row = StoredVideo(outcome.video, path, source, features.num_steps, len(proposals))
        self.tables.put(row, mean, proposals, vectors)
        self.known[outcome.video] = row
        return replace(outcome, status="done")

    def finish(self, outcomes: Sequence[Outcome], removed: Sequence[str]) -> IndexReport:
        """Leave the tables tidy, and count."""
        proposals = 0
        if self.tables is not None:
            if removed or any(outcome.status == "done" for outcome in outcomes):
                self.tables.tidy()
            self.tables.build_inverted_file()
            proposals = self.tables.count_proposals()
        return IndexReport(tuple(outcomes), tuple(removed), len(self.known), proposals)


def _check_place(folder: Path) -> None:
    """A folder of something else is not written to."""
    if not folder.is_dir() or (folder / index_settings.FILE_NAME).is_file():
        return
    others = [path.name for path in folder.iterdir() if path.name not in (".lock", FEATURES)]
    if others:
        raise InputError(f"{folder} is no index, and not empty: it holds {sorted(others)[0]!r}")

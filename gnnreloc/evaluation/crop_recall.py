"""How many changed crops a system finds again: a figure that needs no labels."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from gnnreloc.data.crop_set import CropSet
from gnnreloc.data.overlap import best_overlap
from gnnreloc.models.relocalizer import Relocalizer


def found_crops(
    system: Relocalizer, crops: CropSet, number: int = 30, *, title: str = "crops"
) -> dict[str, float]:
    """Ask a system for crops in their own videos.

    It tells whether training goes on and what it gained on videos not trained on; how well actions
    are found in other videos it does not tell.

    Args:
        system: any system.
        crops: where the crops are drawn from; the same seed gives the same crops, others than
            those of its samples.
        number: how many.
        title: of the progress bar.

    Returns:
        ``crops_0.5``, the share of crops whose first answer has a tIoU of at least 0.5, and
        ``crops_miou``, the mean tIoU of the first answers.
    """
    overlaps = []
    for index in tqdm(range(number), title, disable=None, leave=False):
        # Samples are drawn from (seed, epoch, number).
        crop = crops.draw(np.random.default_rng([crops.seed, index]))
        proposals = crops.corpus.proposals[crop.reference]
        moments = system.localize(crop.query, crop.seen, proposals)
        overlaps.append(float(best_overlap(moments.segments[:1], crop.targets)[0]))
    found = np.asarray(overlaps)
    return {"crops_0.5": float((found >= 0.5).mean()), "crops_miou": float(found.mean())}

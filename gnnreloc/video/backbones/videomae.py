"""VideoMAE over runs of 16 frames."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnreloc.errors import InputError
from gnnreloc.video.backbones.hub_model import HubBackbone


class VideoMAE(HubBackbone):
    """VideoMAE (Tong et al., 2022) through transformers.

    By default the base model fine-tuned on Kinetics-400, on runs of 16 frames at 8 frames per
    second (2 s), one every half second.

    Args:
        model: Name on the hub, or a folder that ``save_pretrained`` wrote.
        device: Where it computes; by default on a GPU where there is one.

    Raises:
        InputError: If transformers is missing, or the model is not to be had.
    """

    name = "videomae"
    model_class = "VideoMAEModel"
    fps = 8.0
    stride = 4

    def __init__(
        self,
        model: str = "MCG-NJU/videomae-base-finetuned-kinetics",
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__(model, device)
        size = self.network.config.image_size
        if not isinstance(size, int):
            raise InputError(f"model {model!r}: found image size {size}, wanted one number")
        self.frame_size = (size, size)
        self.clip_frames = int(self.network.config.num_frames)

    def hidden_states(self, pixels: Tensor) -> Tensor:
        """Last hidden states ``[rows, tokens, channels]``."""
        states: Tensor = self.network(pixel_values=pixels).last_hidden_state
        return states

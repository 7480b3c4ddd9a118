"""What the backbones share that transformers loads: from the hub, its cache, or a folder."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from gnnreloc.errors import InputError
from gnnreloc.video.backbones.backbone import Backbone, choose_device
from gnnreloc.video.video_files import file_checksum

# Of ImageNet, for red, green and blue in [0, 1]; both families were trained with them.
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


class HubBackbone(Backbone):
    """A video transformer over runs of frames; a row is the mean over its last hidden states.

    Args:
        model: Name on the hub, or a folder that ``save_pretrained`` wrote.
        device: Where it computes; by default on a GPU where there is one.

    Raises:
        InputError: If transformers is missing, the model is not to be had, or it is another one.
    """

    #: Class of transformers that loads the model.
    model_class: ClassVar[str]

    def __init__(self, model: str, device: str | torch.device | None = None) -> None:
        self.device = choose_device(device)
        network = self._load(model)
        self.network = network.to(self.device).eval().requires_grad_(False)
        self.channels = int(network.config.hidden_size)
        self._mean = torch.tensor(_MEAN, device=self.device).view(3, 1, 1)
        self._deviation = torch.tensor(_DEVIATION, device=self.device).view(3, 1, 1)

    @abstractmethod
    def hidden_states(self, pixels: Tensor) -> Tensor:
        """Last hidden states ``[rows, tokens, channels]`` of ``[rows, frames, 3, H, W]``."""

    def encode(self, clips: Tensor) -> Tensor:
        """Feature rows ``[rows, channels]`` of runs ``[rows, frames, height, width, 3]``."""
        pixels = clips.permute(0, 1, 4, 2, 3).float() / 255
        return self.hidden_states((pixels - self._mean) / self._deviation).mean(dim=1)

    def _load(self, model: str) -> Any:
        try:
            import transformers
        except ImportError as error:
            raise InputError(
                f"backbone {self.name!r} needs the extra 'video': pip install 'gnnreloc[video]' "
                f"({error})"
            ) from error
        is_folder = Path(model).is_dir()
        try:
            network, found = getattr(transformers, self.model_class).from_pretrained(
                model, output_loading_info=True
            )
        # Of many kinds: OSError by transformers, and what the HTTP library in use raises.
        except Exception as error:
            reason = " ".join(str(error).split())
            where = "it" if is_folder else "it is no folder here, and the Hugging Face hub"
            raise InputError(
                f"backbone {self.name!r}: model {model!r} cannot be loaded: {where} cannot be "
                f"{'read' if is_folder else 'reached, or has no such model'}: {reason}"
            ) from error
        if found["missing_keys"]:
            missing = ", ".join(sorted(found["missing_keys"])[:3])
            raise InputError(
                f"backbone {self.name!r}: model {model!r} is of another kind: it has no {missing}"
            )
        commit = getattr(network.config, "_commit_hash", None)
        self.weights = f"{model}@{_folder_checksum(Path(model)) if is_folder else commit}"
        return network


def _folder_checksum(folder: Path) -> str:
    """SHA-256 over the files of weights in a folder."""
    paths = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
    sums = " ".join(file_checksum(path) for path in paths)
    return hashlib.sha256(sums.encode()).hexdigest()

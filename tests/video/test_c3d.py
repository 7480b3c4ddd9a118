"""C3D: its layers against plain functions, published layouts of weights, the projection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional

from gnnreloc.errors import InputError
from gnnreloc.video import create_backbone
from gnnreloc.video.backbones import C3D
from gnnreloc.video.backbones.c3d import C3DNetwork
from gnnreloc.video.backbones.c3d_weights import load_c3d, load_projection

CONVOLUTIONS = ("conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b")


def by_functions(state: dict[str, Tensor], pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The activations of fc6 and fc7, from the paper's table of layers."""
    for name in CONVOLUTIONS:
        pixels = functional.conv3d(
            pixels, state[f"{name}.weight"], state[f"{name}.bias"], padding=1
        )
        pixels = pixels.clamp(min=0)
        if name == "conv1":
            pixels = functional.max_pool3d(pixels, (1, 2, 2), (1, 2, 2))
        elif name == "conv5b":
            padded = functional.pad(pixels, (1, 1, 1, 1), value=float("-inf"))
            pixels = functional.max_pool3d(padded, 2, 2)
        elif name in ("conv2", "conv3b", "conv4b"):
            pixels = functional.max_pool3d(pixels, 2, 2)
    fc6 = (pixels.reshape(len(pixels), -1) @ state["fc6.weight"].T + state["fc6.bias"]).clamp(min=0)
    return fc6, (fc6 @ state["fc7.weight"].T + state["fc7.bias"]).clamp(min=0)


def random_state() -> dict[str, Tensor]:
    """Weights whose activations neither vanish nor grow."""
    torch.manual_seed(0)
    network = C3DNetwork()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("weight"):
                torch.nn.init.kaiming_uniform_(parameter, nonlinearity="relu")
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.slow
def test_activations(tmp_path: Path) -> None:
    state = random_state()
    torch.save(state, tmp_path / "c3d.pth")
    clips = torch.randint(0, 256, (1, 16, 128, 171, 3), dtype=torch.uint8)
    clips[:, :, :8] = clips[:, :, 120:] = clips[:, :, :, :29] = clips[:, :, :, 143:] = 0
    backbone = C3D(tmp_path / "c3d.pth", device="cpu")
    # Blue, green and red of the middle, without the mean.
    pixels = torch.stack(
        [
            clips[:, :, 8:120, 30:142, colour].float() - mean
            for colour, mean in ((2, 90.25), (1, 97.66), (0, 101.41))
        ],
        dim=1,
    )
    with torch.inference_mode():
        fc6, fc7 = by_functions(state, pixels)
        assert fc7.abs().max() > 1e-3
        assert torch.allclose(backbone.encode(clips), fc7, rtol=1e-3, atol=1e-3)
        backbone.layer = "fc6"
        assert torch.allclose(backbone.encode(clips), fc6, rtol=1e-3, atol=1e-3)

        rng = np.random.default_rng(0)
        pca = PCA(7).fit(rng.normal(size=(20, 4096)))
        np.savez(tmp_path / "pca.npz", mean=pca.mean_, components=pca.components_)
        projected = C3D(tmp_path / "c3d.pth", tmp_path / "pca.npz", device="cpu")
        assert projected.channels == 7 and projected.step == 8 / 30
        wanted = torch.from_numpy(pca.transform(fc7.numpy()))
        assert torch.allclose(projected.encode(clips), wanted.float(), rtol=1e-3, atol=1e-3)
    assert backbone.settings["weights"] != projected.settings["weights"]


@pytest.fixture(scope="module")
def wanted() -> dict[str, Tensor]:
    """All names, with a few numbers each: the loader compares names and shapes only."""
    with torch.device("meta"):
        names = list(C3DNetwork().state_dict())
    torch.manual_seed(0)
    return {name: torch.randn(3) for name in names}


IN_A_ROW = dict(zip(CONVOLUTIONS, (0, 3, 6, 8, 11, 13, 16, 18), strict=True))


def rename(name: str, layout: str) -> str:
    layer, _, kind = name.partition(".")
    if layout == "row":
        places = {**{k: f"features.{v}" for k, v in IN_A_ROW.items()}, "fc6": "classifier.0"}
        return f"{places.get(layer, 'classifier.3')}.{kind}"
    if layout == "blocks":
        layer = {"conv1": "conv1a", "conv2": "conv2a"}.get(layer, layer)
        return f"backbone.{layer}{'.conv' if 'conv' in layer else ''}.{kind}"
    return f"module.{name}" if layout == "parallel" else name


@pytest.mark.parametrize("layout", ["plain", "parallel", "blocks", "row"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_layouts_of_published_weights(
    wanted: dict[str, Tensor], tmp_path: Path, layout: str, wrapped: bool
) -> None:
    content: dict[str, Any] = {rename(name, layout): value for name, value in wanted.items()}
    assert len(content) == len(wanted) == 20
    content["fc8.weight"] = torch.zeros(2)  # the classes, left out
    path = tmp_path / "c3d.pickle"
    torch.save({"state_dict": content, "epoch": 3} if wrapped else content, path)
    found = load_c3d(path, wanted)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_weights_that_are_none(wanted: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "c3d.pth"
    with pytest.raises(InputError, match="c3d.pth: cannot be read as weights of C3D: .*No such"):
        load_c3d(path, wanted)
    path.write_bytes(b"no weights")
    with pytest.raises(InputError, match="c3d.pth: cannot be read as weights of C3D"):
        load_c3d(path, wanted)
    torch.save({"a": 1, "fc": Path}, path)  # what could run code when it is unpickled
    with pytest.raises(InputError, match="cannot be read as weights of C3D: Weights only load"):
        load_c3d(path, wanted)
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="found list, wanted a state dict"):
        load_c3d(path, wanted)
    torch.save({name: value for name, value in wanted.items() if name != "fc6.bias"}, path)
    with pytest.raises(InputError, match="found no fc6.bias of C3D among conv1.weight, "):
        load_c3d(path, wanted)
    safetensors.torch.save_file(
        wanted | {"conv4a.bias": torch.zeros(4)}, tmp_path / "c.safetensors"
    )
    with pytest.raises(InputError, match=r"found conv4a.bias of shape \[4\], wanted \[3\]"):
        load_c3d(tmp_path / "c.safetensors", wanted)


def test_projections(tmp_path: Path) -> None:
    mean, components = torch.arange(4.0), torch.ones(2, 4)
    safetensors.torch.save_file(
        {"mean": mean, "components": components}, tmp_path / "p.safetensors"
    )
    np.savez(tmp_path / "p.npz", mean=mean.numpy()[None], components=components.numpy())
    for name in ("p.safetensors", "p.npz"):
        found = load_projection(tmp_path / name, 4)
        assert torch.equal(found[0], mean) and torch.equal(found[1], components)
    with pytest.raises(
        InputError, match=r"p.npz: found mean \[4\] and components \[2, 4\], wanted"
    ):
        load_projection(tmp_path / "p.npz", 5)
    np.savez(tmp_path / "q.npz", mean=np.full(4, np.nan), components=components.numpy())
    with pytest.raises(InputError, match="q.npz: found NaN or infinite numbers"):
        load_projection(tmp_path / "q.npz", 4)
    np.savez(tmp_path / "r.npz", mean=mean.numpy())
    for name in ("r.npz", "none.npz", "none.safetensors"):
        with pytest.raises(InputError, match=f"{name}: cannot be read as a projection"):
            load_projection(tmp_path / name, 4)


def test_bad_options(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="layer: found 'fc8', wanted one of"):
        create_backbone("c3d", weights="c3d.pth", layer="fc8")
    with pytest.raises(InputError, match="wanted three numbers: blue, green, red"):
        create_backbone("c3d", weights="c3d.pth", mean=[1.0])
    with pytest.raises(InputError, match="backbone 'c3d': .*'weights'"):
        create_backbone("c3d")

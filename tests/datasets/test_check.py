"""What a check says of complete, incomplete and inconsistent data sets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import h5py
import numpy as np
import pytest
import safetensors.numpy

from gnnreloc.datasets import DATASETS, activitynet12, activitynet_vrl, thumos14
from gnnreloc.datasets.check import CHECKS, check_dataset
from gnnreloc.datasets.feature_shapes import read_headers
from gnnreloc.datasets.findings import Finding
from gnnreloc.errors import InputError

C3D = "sub_activitynet_v1-3.c3d.hdf5"


def bad(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(found.status, found.what) for found in findings if found.status != "present"]


def detail(findings: list[Finding], what: str) -> str:
    return next(found.detail for found in findings if found.what == what)


@pytest.fixture(scope="module")
def roots(layouts: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Complete data sets, small but for the 100 classes; never change them."""
    home = tmp_path_factory.mktemp("roots")
    layouts.write_activitynet12(home / "activitynet12", classes=100, videos=1)
    layouts.write_thumos14(home / "thumos14", videos=2)
    layouts.write_activitynet_vrl(home / "activitynet_vrl", classes=6, items=2)
    return {path.name: path for path in home.iterdir()}


@pytest.fixture
def copied(roots: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Name of a data set to a copy of it that may be changed."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(roots[name], tmp_path / name))

    return copy


def replace_rows(path: Path, change: Callable[[str, int], int]) -> None:
    """Give the videos of an HDF5 file other numbers of rows; 0 removes the video."""
    with h5py.File(path, "r+") as file:
        for name in list(file):
            rows = change(name, len(file[name]["c3d_features"]))
            del file[name]
            if rows:
                file[f"{name}/c3d_features"] = np.zeros((rows, 500), dtype=np.float16)


def test_every_data_set_with_a_root_can_be_checked() -> None:
    assert set(CHECKS) == set(DATASETS) - {"synthetic"}
    with pytest.raises(InputError, match="synthetic is generated"):
        check_dataset("synthetic", ".")
    with pytest.raises(InputError, match="unknown data set 'none'; known are: bandai, fir,"):
        check_dataset("none", ".")


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: found no such folder"):
        check_dataset("fir", tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["activitynet12", "thumos14", "activitynet_vrl"])
def test_a_complete_data_set(
    roots: dict[str, Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a value was read")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", refuse)
    findings = check_dataset(name, roots[name])
    assert findings and not bad(findings)


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_an_empty_folder_misses_files(name: str, tmp_path: Path) -> None:
    findings = check_dataset(name, tmp_path)
    assert findings and {found.status for found in findings} == {"missing"}
    for found in findings:
        assert str(tmp_path) in found.detail and "get it from" in found.detail


def test_counts_of_made_sets(roots: dict[str, Path]) -> None:
    findings = check_dataset("thumos14", roots["thumos14"])
    annotated = detail(findings, "temporal_annotations_*")
    assert annotated.startswith("42 videos (22 test, 20 validation)")
    assert detail(findings, "used of these").startswith("40 videos")
    assert detail(findings, "features.h5") == "40 videos, 500 channels"
    findings = check_dataset("activitynet_vrl", roots["activitynet_vrl"])
    assert detail(findings, "val.json") == "4 items of 4 videos, 2 classes"


def test_activitynet_without_some_features(copied: Callable[[str], Path]) -> None:
    root = copied("activitynet12")
    replace_rows(root / C3D, lambda name, rows: 0 if name <= "v_inv00000004" else rows)
    findings = check_dataset("activitynet12", root)
    assert bad(findings) == [("missing", "features of 5 videos")]
    assert "inv00000000, inv00000001, inv00000002, ... (5)" in findings[-3].detail
    assert "activity-net.org" in findings[-3].detail


def test_activitynet_with_wrong_lengths(copied: Callable[[str], Path]) -> None:
    root = copied("activitynet12")
    replace_rows(root / C3D, lambda name, rows: 1 if name == "v_inv00000007" else rows)
    findings = check_dataset("activitynet12", root)
    assert bad(findings) == [("inconsistent", "feature lengths")]
    assert detail(findings, "feature lengths").startswith("inv00000007 (1): 1 rows in ")


def test_activitynet_with_rows_of_another_stride(copied: Callable[[str], Path]) -> None:
    root = copied("activitynet12")
    replace_rows(root / C3D, lambda _, rows: rows // 2)
    findings = check_dataset("activitynet12", root)
    assert bad(findings) == [("inconsistent", "feature lengths")]
    assert "means 1" in findings[-1].detail and "wanted 20 to 36" in findings[-1].detail


def test_activitynet_with_damaged_features_and_a_strange_list(
    copied: Callable[[str], Path],
) -> None:
    root = copied("activitynet12")
    with h5py.File(root / C3D, "r+") as file:
        del file["v_inv00000001"], file["v_inv00000002"], file["v_inv00000003"]
        file.create_group("v_inv00000001")
        file["v_inv00000002/c3d_features"] = np.zeros(5)
        file["v_inv00000003/c3d_features"] = np.zeros((131, 7))
    path = root / "activitynet1.2_tag_val_normalized_proposal_list.txt"
    path.write_text(path.read_text() + "# 0\nstranger\n1\n1\n0\n0\n", encoding="utf-8")
    findings = check_dataset("activitynet12", root)
    assert [("inconsistent", path.name), *[("inconsistent", C3D)] * 2] == bad(findings)
    told = " ".join(found.detail for found in findings)
    assert "stranger (1)" in told and "inv00000001, inv00000002 (2): not readable" in told
    assert "inv00000003 (1): another number of channels than 500" in told


def test_activitynet_with_broken_files(copied: Callable[[str], Path]) -> None:
    root = copied("activitynet12")
    (root / C3D).write_bytes(b"no HDF5")
    (root / "activitynet1.2_tag_val_normalized_proposal_list.txt").write_text("# 1\nv\n2\n")
    findings = check_dataset("activitynet12", root)
    assert [status for status, _ in bad(findings)] == ["inconsistent"] * 2
    assert any("line 3" in found.detail for found in findings)
    (root / "activity_net.v1-2.trainval.json").write_text("{", encoding="utf-8")
    assert len(bad(check_dataset("activitynet12", root))) == 2


def test_activitynet_with_bad_moments_and_too_few_classes(copied: Callable[[str], Path]) -> None:
    root = copied("activitynet12")
    path = root / "activity_net.v1-2.trainval.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    video = content["database"].pop("inv00000000")
    other = next(iter(content["database"].values()))
    other["annotations"].append({**video["annotations"][0], "segment": [0.0, 0.0]})
    path.write_text(json.dumps(content), encoding="utf-8")
    findings = check_dataset("activitynet12", root)
    assert "start must lie before end (1)" in detail(findings, "bad moments")
    # Dropping it is what loading does; here it is all that there is of its class.
    assert bad(findings) == [("inconsistent", "classes")]
    other["annotations"].pop()
    path.write_text(json.dumps(content), encoding="utf-8")
    findings = check_dataset("activitynet12", root)
    assert bad(findings) == [("inconsistent", path.name)]
    assert detail(findings, path.name).endswith("99 classes; wanted 100 classes")


def test_thumos_with_wrong_lengths(copied: Callable[[str], Path]) -> None:
    root = copied("thumos14")
    replace_rows(
        root / "features.h5", lambda name, rows: rows // 2 if name.endswith("05") else rows
    )
    findings = check_dataset("thumos14", root)
    assert bad(findings) == [("inconsistent", "feature lengths")]
    assert "video_validation_0000005 (1): 67 rows in 36 s" in detail(findings, "feature lengths")


def test_vrl_with_short_features_and_shared_classes(copied: Callable[[str], Path]) -> None:
    root = copied("activitynet_vrl")
    replace_rows(root / C3D, lambda name, rows: 40 if name == "v_test000001" else rows)
    items = json.loads((root / "test.json").read_text(encoding="utf-8"))
    items[0]["label"] = 100
    (root / "test.json").write_text(json.dumps(items), encoding="utf-8")
    findings = check_dataset("activitynet_vrl", root)
    assert bad(findings) == [
        ("inconsistent", "classes"),
        *[("inconsistent", "feature lengths")] * 2,
    ]
    told = " ".join(found.detail for found in findings)
    assert "class-100 (1)" in told and "test000001 (1): 20 rows when every second" in told


LOADERS = {"activitynet12": activitynet12, "thumos14": thumos14, "activitynet_vrl": activitynet_vrl}


def strip_prefix(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for name in list(file):
            file.move(name, name.removeprefix("v_"))


@pytest.mark.parametrize(
    ("name", "file"),
    [("activitynet12", C3D), ("thumos14", "features.h5"), ("activitynet_vrl", C3D)],
)
def test_groups_without_prefix_are_found_by_check_and_loader(
    copied: Callable[[str], Path], name: str, file: str
) -> None:
    root = copied(name)
    strip_prefix(root / file)
    assert not bad(check_dataset(name, root))
    corpus = LOADERS[name](root)
    assert corpus.num_channels == 500


@pytest.mark.parametrize("where", ["file", "data set"])
@pytest.mark.parametrize(("name", "file"), [("activitynet12", C3D), ("thumos14", "features.h5")])
def test_steps_in_frames_are_refused_by_check_and_loader(
    copied: Callable[[str], Path], name: str, file: str, where: str
) -> None:
    root = copied(name)
    with h5py.File(root / file, "r+") as content:
        nodes = [group["c3d_features"] for group in content.values()]
        for node in nodes if where == "data set" else [content]:
            node.attrs["step"] = 8
    assert bad(check_dataset(name, root)) == [("inconsistent", "feature times")]
    corpus = LOADERS[name](root)
    with pytest.raises(InputError, match=rf"{file}: video '.*rows of 8 s .* wanted about \d"):
        _ = corpus.num_channels


def test_steps_in_the_metadata_of_a_folder(layouts: ModuleType, tmp_path: Path) -> None:
    root = layouts.write_thumos14(tmp_path, videos=2, directory=True)
    about = root / "features" / "metadata.json"
    about.write_text('{"step": 16}', encoding="utf-8")
    findings = check_dataset("thumos14", root)
    assert bad(findings) == [("inconsistent", "feature times")]
    assert "134 rows of 16 s" in detail(findings, "feature times")
    with pytest.raises(InputError, match="134 rows of 16 s from 0 s on, which end at 2144 s"):
        _ = thumos14(root).num_channels
    about.write_text('{"step": "fast"}', encoding="utf-8")
    assert "step 'fast'" in detail(check_dataset("thumos14", root), "feature times")
    # A right one is taken as it is; the features need not come from the extractor of the others.
    about.write_text('{"step": 0.2667}', encoding="utf-8")
    findings = check_dataset("thumos14", root)
    assert not bad(findings)
    assert detail(findings, "feature times").startswith("the steps that 40 videos give fit")
    corpus = thumos14(root)
    assert corpus.features[str(corpus.moments["video"].iloc[0])].step == 0.2667


@pytest.mark.parametrize("duration", [0, -3, "abc", [1], None, True])
def test_activitynet_with_an_unusable_duration(
    copied: Callable[[str], Path], duration: object
) -> None:
    root = copied("activitynet12")
    path = root / "activity_net.v1-2.trainval.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["database"]["inv00000000"]["duration"] = duration
    path.write_text(json.dumps(content), encoding="utf-8")
    assert bad(check_dataset("activitynet12", root)) == [("inconsistent", "classes")]


def test_activitynet_with_a_duration_that_is_text(copied: Callable[[str], Path]) -> None:
    root = copied("activitynet12")
    path = root / "activity_net.v1-2.trainval.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    entry = content["database"]["inv00000000"]
    entry["duration"] = str(entry["duration"])
    path.write_text(json.dumps(content), encoding="utf-8")
    assert not bad(check_dataset("activitynet12", root))


@pytest.mark.parametrize("label", [["a"], {"a": 1}, 3, None])
def test_activitynet_with_a_label_that_is_no_text(
    copied: Callable[[str], Path], label: object
) -> None:
    root = copied("activitynet12")
    path = root / "activity_net.v1-2.trainval.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["database"]["inv00000003"]["annotations"][0]["label"] = label
    path.write_text(json.dumps(content), encoding="utf-8")
    findings = check_dataset("activitynet12", root)
    assert bad(findings) == [("inconsistent", path.name)]
    assert "video 'inv00000003'" in detail(findings, path.name)


def test_activitynet_with_a_list_of_other_names(copied: Callable[[str], Path]) -> None:
    root = copied("activitynet12")
    path = root / "activitynet1.2_tag_val_normalized_proposal_list.txt"
    path.write_text(path.read_text().replace("\ninv", "\nv_inv"), encoding="utf-8")
    findings = check_dataset("activitynet12", root)
    assert bad(findings) == [("inconsistent", path.name)] * 2
    assert any("none of the 50 official validation videos" in found.detail for found in findings)


def test_thumos_with_an_empty_class_file(copied: Callable[[str], Path]) -> None:
    root = copied("thumos14")
    (root / "temporal_annotations_validation" / "Shotput_val.txt").write_text("\n")
    assert bad(check_dataset("thumos14", root)) == [("inconsistent", "temporal_annotations_*")]
    with pytest.raises(InputError, match=r"Shotput_val\.txt: found no moment, wanted .* Shotput"):
        thumos14(root)


def test_vrl_with_an_empty_subset_and_a_folder(copied: Callable[[str], Path]) -> None:
    root = copied("activitynet_vrl")
    (root / C3D).unlink()
    (root / "features").mkdir()
    (findings,) = (found for found in check_dataset("activitynet_vrl", root) if found.what == C3D)
    assert findings.status == "inconsistent" and "found a folder, wanted" in findings.detail
    (root / "test.json").write_text("[]", encoding="utf-8")
    (finding,) = check_dataset("activitynet_vrl", root)
    assert finding.status == "inconsistent" and "test.json: found an empty list" in finding.detail


def test_vrl_with_a_long_video_in_two_subsets(copied: Callable[[str], Path]) -> None:
    root = copied("activitynet_vrl")
    train, test = (json.loads((root / f"{name}.json").read_text()) for name in ("train", "test"))
    test[0]["id"] = train[0]["id"]
    test[0]["location"] = train[0]["location"][0] + 1, train[0]["location"][1]
    test[0]["groundtruth"] = 0, 5
    (root / "test.json").write_text(json.dumps(test), encoding="utf-8")
    assert bad(check_dataset("activitynet_vrl", root)) == [("inconsistent", "videos")]
    with pytest.raises(InputError, match="video 'train000000' is in more than one subset"):
        activitynet_vrl(root)


def test_bandai_and_fir(bandai_root: Path, fir_root: Path, tmp_path: Path) -> None:
    assert not bad(check_dataset("fir", fir_root))
    findings = check_dataset("bandai", bandai_root)
    assert not bad(findings)
    assert findings[0].detail == "314 clips of 21 classes, all readable"
    shutil.copy(fir_root / "segments.json", tmp_path)
    (tmp_path / "effnetlite0_stride12.npz").write_bytes(b"no archive")
    assert bad(check_dataset("fir", tmp_path)) == [("inconsistent", "moments and features")]


def test_shapes_of_files_in_a_folder(tmp_path: Path) -> None:
    values = np.zeros((5, 3), dtype=np.float32)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "b.npz", features=values[:4], metadata=np.array("{}"))
    safetensors.numpy.save_file({"features": values[:3]}, tmp_path / "c.safetensors")
    np.savez_compressed(tmp_path / "d.npz", other=values)
    for name in ("e.npy", "f.npz", "g.safetensors"):
        (tmp_path / name).write_bytes(b"damaged")
    headers = read_headers(tmp_path, "abcdefgh")
    assert {video: header.shape for video, header in headers.items()} == {
        **{"a": (5, 3), "b": (4, 3), "c": (3, 3)},
        **dict.fromkeys("defg", ()),
    }
    np.save(tmp_path / "b.npy", values)  # two files of one video, which the stores refuse
    assert read_headers(tmp_path, "b")["b"].shape == ()


def test_real_annotations(real_data: Callable[[str], Path]) -> None:
    findings = check_dataset("activitynet12", real_data("activitynet12"))
    assert bad(findings) == [("missing", C3D)]
    counts = detail(findings, "activity_net.v1-2.trainval.json")
    assert counts == "7202 videos (4819 training, 2383 validation), 10733 moments, 100 classes"
    findings = check_dataset("thumos14", real_data("thumos14"))
    assert bad(findings) == [("missing", "features.h5")]
    assert detail(findings, "used of these").startswith("410 videos, 5958 moments")
    findings = check_dataset("activitynet_vrl", real_data("activitynet_vrl"))
    assert bad(findings) == [("missing", C3D)]
    assert detail(findings, "test.json") == "978 items of 494 videos, 20 classes"

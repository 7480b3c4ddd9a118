"""The command ``gnnreloc``: exit status, output, errors in one line, and how fast help is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gnnreloc
from gnnreloc.cli import main
from gnnreloc.commands import COMMANDS
from gnnreloc.datasets import DATASETS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A complete, small ``activitynet_vrl``."""
    import importlib.util

    path = Path(__file__).parent / "datasets" / "official_layouts.py"
    location = importlib.util.spec_from_file_location("official_layouts", path)
    assert location is not None and location.loader is not None
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    written: Path = module.write_activitynet_vrl(tmp_path / "vrl", classes=3, items=2)
    return written


def test_a_complete_data_set(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--dataset", "activitynet_vrl", "--root", str(root)]) == 0
    out = capsys.readouterr().out
    assert "train.json" in out and "6 items of 6 videos" in out
    assert out.splitlines()[-1] == "complete"


def test_an_incomplete_data_set(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "sub_activitynet_v1-3.c3d.hdf5").unlink()
    assert main(["check", "--dataset", "activitynet_vrl", "--root", str(root)]) == 1
    out = capsys.readouterr().out
    assert "missing" in out and "activity-net.org" in out
    assert out.splitlines()[-1] == "not complete"


def test_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["check", "--dataset", "activitynet_vrl", "--root", str(root), "--json"]
    assert main(arguments) == 0
    whole = json.loads(capsys.readouterr().out)
    assert whole["dataset"] == "activitynet_vrl" and whole["complete"] is True
    (root / "val.json").unlink()
    assert main(arguments) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["complete"] is False
    assert [finding["status"] for finding in found["findings"]] == ["missing"]
    assert found["findings"][0]["detail"].startswith(f"{root / 'val.json'} is missing")


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        (["--dataset", "none", "--root", "."], "unknown data set 'none'; known are: bandai"),
        (["--dataset", "synthetic", "--root", "."], "synthetic is generated"),
        (["--dataset", "fir", "--root", "no/where"], "no/where: found no such folder"),
        (["--dataset", "fir"], "the following arguments are required: --root"),
        (["--dataset", "fir", "--root", ".", "--jsn"], "unrecognized arguments: --jsn"),
    ],
)
def test_bad_usage_is_told_in_one_line(
    arguments: list[str], culprit: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main(["check", *arguments])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2 and captured.out == ""
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert culprit in captured.err


def test_no_command_and_an_unknown_one(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["chek"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_help_names_every_data_set(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["check", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    named = out.partition("data sets: ")[2].partition("\n")[0].split(", ")
    assert set(named) == set(DATASETS) - {"synthetic"}
    assert "gnnreloc check --dataset activitynet12 --root" in out


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from gnnreloc.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert not {'torch', 'pandas', 'h5py', 'rich'} & set(sys.modules)"
    )
    for option, wanted in (("--version", f"gnnreloc {gnnreloc.__version__}"), ("--help", "check")):
        done = subprocess.run(
            [sys.executable, "-c", code, option], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 and wanted in done.stdout, done.stderr


def test_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gnnreloc", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"gnnreloc {gnnreloc.__version__}"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    out = capsys.readouterr().out
    examples = out.partition("examples:\n")[2].splitlines()
    assert stop.value.code == 0 and "exit status: 0" in out
    assert len(examples) >= 2 and all(f"gnnreloc {name}" in line for line in examples)
    assert "--json" in out or name in ("completion", "demo")  # a script, and a page


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("features", ["a.mp4", "--out", "S"], "; the same command goes on where it stopped"),
        ("index", ["a.mp4", "--out", "S"], "; the same command goes on where it stopped"),
        ("check", ["--dataset", "fir", "--root", "."], ""),
    ],
)
def test_ctrl_c_says_how_to_go_on(name, arguments, told, monkeypatch, capsys) -> None:
    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS[name], "run", interrupted)
    assert main([name, *arguments]) == 130
    assert capsys.readouterr().err == f"error: interrupted{told}\n"


def test_completion_in_bash(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    script = tmp_path / "completion.sh"
    line = [sys.executable, "-m", "gnnreloc", "completion", "bash"]
    script.write_bytes(subprocess.run(line, capture_output=True, check=True).stdout)
    (tmp_path / "match.mp4").touch()

    def offered(*words: str) -> set[str]:
        code = (
            f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
            '_shtab_gnnreloc; echo "${COMPREPLY[@]}"'
        )
        done = subprocess.run([bash, "-c", code], capture_output=True, text=True, cwd=tmp_path)
        assert done.stderr == ""
        return set(done.stdout.split())

    assert offered("gnnreloc", "lo") == {"localize"}
    assert {"features", "train", "completion"} <= offered("gnnreloc", "''")
    assert offered("gnnreloc", "search", "--candi") == {"--candidates"}
    assert offered("gnnreloc", "localize", "--query", "mat") == {"match.mp4"}


def test_a_reader_that_has_seen_enough() -> None:
    line = f"{sys.executable} -m gnnreloc completion bash | true; echo ${{PIPESTATUS[0]}}"
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    done = subprocess.run([bash, "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout == "141\n"

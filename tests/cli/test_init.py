"""`trader init`: a runnable example, from the source tree and from the installed package."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from trader.cli import app, init
from trader.errors import TraderError

ROOT = Path(__file__).resolve().parents[2]


def files_in(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def example_files(root):
    return {
        path.relative_to(root)
        for name in init.FOLDERS
        for path in (root / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_init_copies_the_whole_example(tmp_path, capsys):
    target = tmp_path / "new folder" / "demo"
    assert app.run(["init", str(target)]) == 0
    assert files_in(target) == example_files(ROOT)
    for name in files_in(target):
        assert (target / name).read_bytes() == (ROOT / name).read_bytes()
    assert f"cd '{target}'" in capsys.readouterr().out


def test_example_config_loads_in_its_new_place(tmp_path, capsys, monkeypatch):
    assert app.run(["init", str(tmp_path / "demo")]) == 0
    monkeypatch.chdir(tmp_path / "demo")
    for config in sorted(Path("configs").glob("*.yaml")):
        assert app.run(["config", "show", "-c", str(config)]) == 0


def test_init_in_an_empty_working_directory_needs_no_cd(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert app.run(["init", ".", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["next"][0].startswith("trader ")
    assert {Path(name) for name in document["files"]} == example_files(ROOT)


def test_folder_that_is_not_empty_is_refused_and_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert app.run(["init", str(tmp_path)]) == 2
    assert f"error: {tmp_path} is not empty" in capsys.readouterr().err
    assert files_in(tmp_path) == {Path("mine.txt")}


def test_force_writes_beside_what_is_there(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    assert app.run(["init", str(tmp_path), "--force"]) == 0
    assert files_in(tmp_path) == example_files(ROOT) | {Path("mine.txt")}


def test_file_in_the_way_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert app.run(["init", str(tmp_path / "file"), "--force"]) == 2
    assert "is a file" in capsys.readouterr().err
    assert app.run(["init", str(tmp_path / "file" / "below")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_installation_without_the_example_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("trader.__file__", str(tmp_path / "trader" / "__init__.py"))
    with pytest.raises(TraderError, match="missing from this installation"):
        init.example_root()


@pytest.mark.process
def test_wheel_carries_the_example(tmp_path):
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("trader-*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    assert not (tmp_path / "site" / "configs").exists()
    subprocess.run(
        [sys.executable, "-m", "trader", "init", str(tmp_path / "demo")],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert files_in(tmp_path / "demo") == example_files(ROOT)

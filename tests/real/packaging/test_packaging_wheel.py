"""The wheel: pure Python, complete, and alive in an environment that holds nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from lydite import __version__

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    (path,) = out.iterdir()
    return path


def test_it_is_pure_python(wheel):
    assert wheel.name == f"lydite-{__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith((".so", ".pyd", ".dll", ".dylib"))]
    assert {name.split("/")[0] for name in names} == {"lydite", f"lydite-{__version__}.dist-info"}


def test_it_holds_what_the_source_holds(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "src"
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / "lydite").rglob("*")
        if path.suffix in (".py", ".yaml")
    }
    assert expected <= names
    assert sum(name.startswith("lydite/hardware/catalog/devices/nvidia-") for name in names) >= 9
    assert f"lydite-{__version__}.dist-info/licenses/LICENSE" in names


def test_its_metadata_names_extras_and_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = f"lydite-{__version__}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
        entries = archive.read(f"{info}/entry_points.txt").decode()
    assert "lydite = lydite.cli:main" in entries
    for extra in ("report", "parquet", "torch", "postgres", "nvidia"):
        assert f"Provides-Extra: {extra}\n" in metadata
    assert "Requires-Python: >=3.11" in metadata


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An empty environment with the wheel; its dependencies are borrowed from this one."""
    home = tmp_path_factory.mktemp("env")
    venv.EnvBuilder(with_pip=False, symlinks=True).create(home)
    python = home / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        str(wheel),
    ]
    subprocess.run(pip, check=True, capture_output=True, env=clean())
    (site,) = (home / "lib").glob("python*/site-packages")
    # After its own folder, so that what the wheel brought comes first.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_the_command_runs_there(installed, tmp_path):
    def lydite(*arguments):
        command = [str(installed / "bin" / "lydite"), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env=clean(), cwd=tmp_path
        ).stdout

    assert lydite("--version") == f"lydite {__version__}\n"
    assert "Usage: lydite [OPTIONS] COMMAND" in lydite("--help")
    assert "nvidia-h100-sxm5-80gb" in lydite("predict", "alexnet", "--on", "h100", "--quiet")
    code = "import lydite; print(lydite.__file__)"
    where = subprocess.run(
        [str(installed / "bin" / "python"), "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=clean(),
        cwd=tmp_path,
    ).stdout
    assert Path(where.strip()).is_relative_to(installed)

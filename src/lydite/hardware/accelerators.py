"""Accelerators of this machine, as their drivers' tools report them."""

from __future__ import annotations

import re
import shutil
import subprocess

from lydite.errors import InputError
from lydite.hardware.spec import find_device
from lydite.records import dataclass


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A board: catalog name (or a name from the title), title, memory in bytes, driver version."""

    name: str
    title: str
    memory_bytes: int
    driver: str


def accelerators() -> list[Accelerator]:
    """All NVIDIA boards that nvidia-smi lists, then all AMD ones that rocm-smi lists."""
    boards: list[Accelerator] = []
    for line in listed(
        "nvidia-smi",
        "--query-gpu=name,memory.total,driver_version",
        "--format=csv,noheader,nounits",
    ):
        title, memory, driver = (part.strip() for part in line.split(",")[:3])
        boards.append(Accelerator(_catalog_name(title), title, int(float(memory)) << 20, driver))
    for line in listed("rocm-smi", "--showproductname", "--csv"):
        parts = [part.strip() for part in line.split(",")]
        if parts[0].startswith("card") and len(parts) > 1:
            boards.append(Accelerator(_catalog_name(parts[1]), parts[1], 0, ""))
    return boards


def listed(*command: str) -> list[str]:
    """Rows that a driver's tool prints; none where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return (
        [line for line in done.stdout.splitlines() if "," in line] if done.returncode == 0 else []
    )


def _catalog_name(title: str) -> str:
    try:
        return find_device(title).name
    except InputError:
        return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")

"""Devices of a run by index or UUID, as `nvidia-smi -L` lists them."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.hardware.accelerators import listed
from lydite.records import dataclass


@dataclass(frozen=True)
class Visible:
    """A GPU that the driver lists.

    Attributes:
        index: Its number.
        uuid: Its UUID, such as "GPU-5c1c...".
        title: Its name.
    """

    index: int
    uuid: str
    title: str


def visible() -> list[Visible]:
    """All GPUs that the driver lists."""
    rows = listed("nvidia-smi", "--query-gpu=index,uuid,name", "--format=csv,noheader")
    parts = ([part.strip() for part in row.split(",", 2)] for row in rows)
    return [Visible(int(index), uuid, title) for index, uuid, title in parts]


def devices_of(text: str) -> tuple[str, ...]:
    """Devices of a backend from a list such as "0,1", "GPU-5c1c,GPU-77aa" or "cpu".

    A UUID may be shortened as long as it names one GPU.

    Returns:
        "cpu" or "cuda:INDEX", one for each word.

    Raises:
        InputError: an index or UUID that is not visible, or one that is named twice.
    """
    here = visible() if any(word.strip() != "cpu" for word in text.split(",")) else []
    found = tuple(_device(word.strip(), here) for word in text.split(","))
    twice = [name for name in dict.fromkeys(found) if found.count(name) > 1]
    if twice:
        raise InputError(
            f"{twice[0]} is named twice",
            where="--device",
            hint="--workers sets the number of batches that run at once on a device",
        )
    return found


def _device(word: str, here: list[Visible]) -> str:
    if word == "cpu":
        return word
    index = word.removeprefix("cuda:")
    named = [gpu for gpu in here if str(gpu.index) == index]
    if word.startswith("GPU-"):
        named = [gpu for gpu in here if gpu.uuid.startswith(word)]
    if len(named) != 1:
        known = ", ".join(f"{gpu.index} ({gpu.uuid}, {gpu.title})" for gpu in here)
        what = "names several devices" if named else "is no visible device"
        raise InputError(
            f"'{word}' {what}", where="--device", allowed=f"cpu{', ' if known else ''}{known}"
        )
    return f"cuda:{named[0].index}"

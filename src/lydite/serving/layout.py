"""Layouts of a deployment in words: "tp2x4", "4xtp2", "pd2:6", "2xtp4+6xtp1"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lydite.errors import InputError
from lydite.serving.simulate import Role

_PART = re.compile(r"(?:(\d+)x)?(?:tp(\d+))?(?:x(\d+))?", re.IGNORECASE)
_APART = re.compile(r"pd(\d+)(?:tp(\d+))?:(\d+)(?:tp(\d+))?", re.IGNORECASE)
ALLOWED = "such as tp2, 4xtp2 or tp2x4 (four replicas of two GPUs), pd2:6, pd2tp4:6tp2"


@dataclass(frozen=True)
class Part:
    """Equal replicas.

    Attributes:
        count: Number of replicas.
        tp: GPUs of each, which share every product and layer.
        role: What they run of a request.
    """

    count: int = 1
    tp: int = 1
    role: Role = "both"

    @property
    def devices(self) -> int:
        """Number of GPUs."""
        return self.count * self.tp

    def __str__(self) -> str:
        return f"{self.count}xtp{self.tp}"


@dataclass(frozen=True)
class Layout:
    """Replicas of a deployment."""

    parts: tuple[Part, ...]

    @property
    def devices(self) -> int:
        """Number of GPUs."""
        return sum(part.devices for part in self.parts)

    @property
    def apart(self) -> bool:
        """Whether prefill and decode run on replicas of their own."""
        return any(part.role != "both" for part in self.parts)

    def __str__(self) -> str:
        if not self.apart:
            return "+".join(map(str, self.parts))
        prefill, decode = (
            "+".join(str(part) for part in self.parts if part.role == role)
            for role in ("prefill", "decode")
        )
        return f"prefill {prefill}, decode {decode}"


def read_part(text: str, role: Role = "both") -> Part:
    """A part from its words.

    Raises:
        InputError: it cannot be read, or a number is 0.
    """
    if "ep" in text.lower():
        raise InputError(
            f"'{text}' spreads experts over replicas, which is not modelled",
            allowed=ALLOWED,
            hint="tp cuts the experts of a layer, or spreads them over its ranks",
        )
    match = _PART.fullmatch(text.strip())
    if match is None or not text.strip() or (match[1] and match[3]):
        raise InputError(f"'{text}' is no layout", allowed=ALLOWED)
    part = Part(int(match[1] or match[3] or 1), int(match[2] or 1), role)
    if min(part.count, part.tp) < 1 or part.devices > 1 << 20:
        raise InputError(f"'{text}' has {part.devices} GPUs", allowed="1 to 1,048,576")
    return part


def read_layout(text: str, tp: int = 1) -> Layout:
    """A layout from its words.

    Args:
        text: Words.
        tp: GPUs of each replica where "pd2:6" does not say.

    Raises:
        InputError: as `read_part`.
    """
    match = _APART.fullmatch(text.strip())
    if match is not None:
        prefill = Part(int(match[1]), int(match[2] or tp), role="prefill")
        decode = Part(int(match[3]), int(match[4] or tp), role="decode")
        if not prefill.count or not decode.count:
            raise InputError(f"'{text}' has no replicas of one kind", allowed=ALLOWED)
        return Layout((prefill, decode))
    return Layout(tuple(read_part(part) for part in text.split("+")))

"""Layouts of a deployment in words: "tp2x4", "4xtp2", "pd2:6", "2xtp4+6xtp1", "2xep8"."""

from __future__ import annotations

import re

from lydite.errors import InputError
from lydite.records import dataclass
from lydite.serving.replicas import Role

_PART = re.compile(r"(?:(\d+)x)?(?:tp(\d+))?(?:pp(\d+))?(?:ep(\d+))?(?:x(\d+))?", re.IGNORECASE)
_APART = re.compile(r"pd(\d+)(?:tp(\d+))?:(\d+)(?:tp(\d+))?", re.IGNORECASE)
ALLOWED = (
    "such as tp2, 4xtp2 or tp2x4 (four replicas of two GPUs), pd2:6, pd2tp4:6tp2, "
    "tp4pp2 (two pipeline stages of four), "
    "tp2ep8 (experts over eight GPUs, attention over four times two)"
)


@dataclass(frozen=True)
class Part:
    """Equal replicas.

    Attributes:
        count: Number of replicas.
        tp: GPUs that share every product and layer; with experts spread, but for these.
        role: What they run of a request.
        ep: GPUs of each over which experts are spread; 1 cuts experts like other products.
        pp: Pipeline stages of each, of `tp` GPUs.
    """

    count: int = 1
    tp: int = 1
    role: Role = "both"
    ep: int = 1
    pp: int = 1

    @property
    def groups(self) -> int:
        """Number of groups of `tp` GPUs in a replica, each with requests of its own."""
        return max(1, self.ep // self.tp)

    @property
    def size(self) -> int:
        """GPUs of a replica."""
        return self.tp * self.groups * self.pp

    @property
    def devices(self) -> int:
        """Number of GPUs."""
        return self.count * self.size

    def __str__(self) -> str:
        if self.ep == 1:
            return f"{self.count}xtp{self.tp}{f'pp{self.pp}' if self.pp > 1 else ''}"
        return f"{self.count}x{f'tp{self.tp}' if self.tp > 1 else ''}ep{self.ep}"


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
    match = _PART.fullmatch(text.strip())
    if match is None or not text.strip() or (match[1] and match[5]):
        raise InputError(f"'{text}' is no layout", allowed=ALLOWED)
    count, tp = int(match[1] or match[5] or 1), int(match[2] or 1)
    ep, pp = int(match[4] or 1), int(match[3] or 1)
    return made_part(count, tp, ep, role, f"'{text}'", pp)


def made_part(count: int, tp: int, ep: int, role: Role, where: str, pp: int = 1) -> Part:
    """A part of some numbers.

    Raises:
        InputError: a number is 0, experts are spread over GPUs that are no multiple of `tp`, or
            over pipeline stages.
    """
    if ep > 1 and pp > 1:
        raise InputError(f"{where} spreads experts over pipeline stages, which is not modelled")
    if min(count, tp, ep, pp) < 1:
        raise InputError(f"{where} has no GPUs", allowed="1 to 1,048,576")
    if ep > 1 and ep % tp:
        raise InputError(
            f"{where} spreads experts over {ep} GPUs, which is no multiple of tp {tp}",
            allowed=ALLOWED,
        )
    part = Part(count, tp, role, ep, pp)
    if part.devices > 1 << 20:
        raise InputError(f"{where} has {part.devices} GPUs", allowed="1 to 1,048,576")
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

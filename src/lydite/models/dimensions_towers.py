"""Dimensions of the image encoders of language models; nothing here builds a graph."""

from __future__ import annotations

from lydite.errors import InputError
from lydite.models.dimensions import Stack
from lydite.records import dataclass


@dataclass(frozen=True, kw_only=True)
class PatchTower(Stack):
    """The image encoder of a language model that sees, over patches as they come (Qwen-VL).

    Attributes:
        patch: Side of a patch in pixels.
        frames: Number of video frames that a patch spans.
        channels: Channels of the image.
        image_size: Height and width of the image in pixels.
        patch_bias: Whether the embedding of patches has a bias.
        table: Rows of the table of positions; 0 for rotary positions alone.
        merge: Side of the square of patches that become one token of the language model.
        output: Width of that token.
        tapped: Layers behind which tokens are made as well, for layers of the language model.
    """

    patch: int
    frames: int = 2
    channels: int = 3
    image_size: int = 448
    patch_bias: bool = False
    table: int = 0
    merge: int = 2
    output: int = 0
    tapped: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % (self.patch * self.merge):
            raise InputError(
                f"image_size {self.image_size} is not divisible by {self.patch * self.merge}"
            )


@dataclass(frozen=True, kw_only=True)
class TileTower(Stack):
    """The image encoder of Llama 3.2 Vision: tiles of a picture that attend to each other.

    Attributes:
        patch: Side of a patch in pixels.
        image_size: Side of a tile in pixels.
        tiles: Number of tiles of a picture.
        channels: Channels of the image.
        shapes: Number of ways to lay tiles out, each of which has embeddings of its own.
        last: Number of gated layers behind the others.
        tapped: Layers whose states are given out as well.
    """

    patch: int
    image_size: int
    tiles: int
    channels: int = 3
    shapes: int = 8
    last: int = 8
    tapped: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(not 0 <= layer < self.layers for layer in self.tapped):
            raise InputError(f"tapped layers {self.tapped} are not among the {self.layers}")

    @property
    def patches(self) -> int:
        """Number of patches of a tile, and one token more."""
        return (self.image_size // self.patch) ** 2 + 1

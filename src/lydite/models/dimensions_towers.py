"""Dimensions of encoders of images, and of text beside them; nothing here builds a graph."""

from __future__ import annotations

from typing import Literal

from lydite.errors import InputError
from lydite.models.dimensions import Stack
from lydite.records import dataclass


@dataclass(frozen=True, kw_only=True)
class VisionEncoder(Stack):
    """A vision transformer over patches and a class token.

    Attributes:
        patch: side of a patch in pixels.
        image_size: side of the image that the position table is made for, in pixels.
        channels: of the image.
        classes: outputs of the classifier, or of CLIP's projection; 0 for none.
        clip: CLIP's form: no bias on the patches, a norm before the layers, none on the last.
        class_token: Whether a learned token comes before the patches.
        pooler: "" for none, "dense" for ViT's, "attention" for SigLIP's learned query.
    """

    patch: int
    image_size: int = 224
    channels: int = 3
    classes: int = 0
    clip: bool = False
    class_token: bool = True
    pooler: Literal["", "dense", "attention"] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % self.patch:
            raise InputError(f"image_size {self.image_size} is not divisible by patch {self.patch}")


@dataclass(frozen=True, kw_only=True)
class TextEncoder(Stack):
    """CLIP's causal text encoder.

    Attributes:
        vocabulary, positions: rows of the two embeddings.
        projection: width of the projected last token; 0 gives all states instead.
        causal: whether a token attends to earlier ones only (CLIP, but not SigLIP).
        projection_bias: whether the projection has a bias.
    """

    vocabulary: int
    positions: int
    projection: int = 0
    causal: bool = True
    projection_bias: bool = False


@dataclass(frozen=True, kw_only=True)
class DualEncoder:
    """A text and an image encoder whose projections are compared (CLIP, SigLIP).

    Attributes:
        text: The text encoder.
        image: The image encoder.
        bias: Whether the similarities have a learned bias beside their scale.
    """

    text: TextEncoder
    image: VisionEncoder
    bias: bool = False

    @property
    def positions(self) -> int:
        """Length of the longest text."""
        return self.text.positions


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

"""One image to the input of a classifier: resized, cropped, normalised."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from lydite.errors import InputError, LyditeError, MissingExtra
from lydite.records import dataclass

MOST_PIXELS = 1 << 27
"""Pixels of an image that is decoded; the largest of ImageNet has 61 million."""
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")


@dataclass(frozen=True)
class Recipe:
    """How an image becomes an input.

    Attributes:
        size: Height and width of the input in pixels.
        resize: Length of the shorter side in pixels before the centre is cropped.
        layout: "NCHW" or "NHWC".
        mean: Subtracted from each channel of values between 0 and 1 (red, green, blue).
        std: What each channel is divided by afterwards.
        dtype: "float32", or "uint8" for the bytes as they are.
        fit: "crop" the centre, or "stretch" the whole image to the size, as detection needs it.
    """

    size: tuple[int, int] = (224, 224)
    resize: int = 256
    layout: str = "NCHW"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    dtype: str = "float32"
    fit: str = "crop"

    def __post_init__(self) -> None:
        if self.resize < max(self.size):
            raise InputError(
                f"a shorter side of {self.resize} pixels is too small",
                allowed=f"{max(self.size)} or more, the input's size",
            )
        if not all(value > 0 for value in self.std):
            raise InputError(f"a standard deviation of {self.std} is impossible")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a sample."""
        return (3, *self.size) if self.layout == "NCHW" else (*self.size, 3)


def image_array(path: Path, recipe: Recipe) -> np.ndarray:
    """The input of one image: shape and element type of the recipe.

    The shorter side is resized (bilinear, antialiased), the centre cropped, and the channels
    normalised, as torchvision's Resize, CenterCrop and Normalize do. Where the recipe says
    "stretch", both sides are resized and nothing is cropped.

    Raises:
        InputError: a file that is no image, is damaged, or would take too much memory.
        MissingExtra: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtra("pillow", "mlperf") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=_FORMATS)
        with image:
            if image.width * image.height > MOST_PIXELS:
                raise InputError(
                    f"has {image.width:,} x {image.height:,} pixels",
                    where=str(path),
                    allowed=f"{MOST_PIXELS:,} in all",
                )
            cropped = _cropped(image.convert("RGB"), recipe)
    except LyditeError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds
        reason = str(error).replace(str(path), "").strip() or type(error).__name__
        raise InputError(f"cannot be read as an image: {reason}", where=str(path)) from None
    array = np.asarray(cropped, np.uint8)
    if recipe.dtype != "uint8":
        mean, std = np.array(recipe.mean, np.float32), np.array(recipe.std, np.float32)
        array = (array.astype(np.float32) / 255 - mean) / std
    return np.ascontiguousarray(array.transpose(2, 0, 1) if recipe.layout == "NCHW" else array)


def _cropped(image: Any, recipe: Recipe) -> Any:
    from PIL import Image

    if recipe.fit == "stretch":
        return image.resize(recipe.size[::-1], Image.Resampling.BILINEAR)
    width, height = image.size
    short = min(width, height)
    wide, high = recipe.resize * width // short, recipe.resize * height // short
    left, top = round((wide - recipe.size[1]) / 2), round((high - recipe.size[0]) / 2)
    resized = image.resize((wide, high), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + recipe.size[1], top + recipe.size[0]))

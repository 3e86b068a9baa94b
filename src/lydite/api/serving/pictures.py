"""Images in prompts: what the vision tower takes of the device's memory and time.

An image's tokens are part of the prompt. Its tower runs before them, in one of the steps that
compute the prompt; here its time is spread evenly over the prompt's tokens, so that a prompt of
mean length takes as long in all, whether in one step or in chunks, and tokens that are found in the
prefix cache bring no images.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from lydite.api.options import Help, ModelOptions, Options
from lydite.errors import InputError
from lydite.records import dataclass
from lydite.units import format_seconds

if TYPE_CHECKING:
    from lydite.api.serving.deployment import Deployer
    from lydite.serving.times import StepTimes


@dataclass(frozen=True)
class PictureOptions(Options):
    """Images in prompts.

    Attributes:
        images: Mean number of images in a prompt; their tokens are part of the prompt's.
        image_tokens: Number of tokens of an image; None for as many as the vision tower gives.
    """

    images: Annotated[
        float,
        Help("Mean number of images in a prompt; their tokens are part of --isl.", min=0),
    ] = 0.0
    image_tokens: Annotated[
        int | None,
        Help("Number of tokens of an image; default: as many as the vision tower gives.", min=1),
    ] = None


@dataclass(frozen=True)
class Tower:
    """A vision tower that stands before a language model.

    Attributes:
        parameter_bytes: Its weights.
        image_s: Time of one image.
        image_tokens: Number of tokens that an image becomes.
    """

    parameter_bytes: float
    image_s: float
    image_tokens: int


def tower_of(kept: Deployer) -> Tower | None:
    """The model's vision tower, where prompts have images.

    Raises:
        InputError: the model has no tower, its images' number of tokens is not known, or a prompt
            is shorter than its images.
    """
    options = kept.options
    if not options.images:
        if options.image_tokens is not None:
            raise InputError("--image-tokens has no effect without images", hint="add --images 1")
        return None
    if options.profile is not None:
        raise InputError("--profile has no times of a vision tower", hint="without --images")
    from lydite.api.devices import chain_for, device_and_sources
    from lydite.api.load import resolve, takes_sizes
    from lydite.estimate import Rows
    from lydite.estimate.runtimes import RUNTIMES, Launched, fuse_for_runtime
    from lydite.graph import keys_of
    from lydite.serving.estimated import operator_seconds

    if isinstance(kept.model, str) and not takes_sizes(kept.model):
        raise InputError(
            f"--images asks for a model that sees; {kept.model} has no vision tower",
            allowed="a config.json of Hugging Face that has one",
        )
    shape = ModelOptions(part="vision", dtype=kept.shape.dtype, image_size=kept.shape.image_size)
    graph = resolve(kept.model, shape, kept.device).graph
    answer = graph.type_of(graph.outputs[0]).shape or ()
    tokens = options.image_tokens or (int(answer[1]) if len(answer) == 3 else 0)
    if not tokens:
        raise InputError(
            f"how many tokens an image becomes is not known of {kept.model}",
            hint="add --image-tokens 576",
        )
    fused = fuse_for_runtime(graph, RUNTIMES[kept.runtime.name])
    with device_and_sources(kept.session, kept.device) as (device, sources):
        chain, _ = chain_for(sources, device, Rows(kept.runtime.name, 1, "wall", spans={}))
        launched = Launched(chain, RUNTIMES[kept.runtime.name])
        seconds = operator_seconds(launched, device)(list(keys_of(fused).values()))
    made = Tower(float(graph.parameter_bytes), float(seconds.sum()), tokens)
    if options.images * made.image_tokens > kept.mean_prompt:
        raise InputError(
            f"a prompt of {kept.mean_prompt:g} tokens with {options.images:g} images of "
            f"{tokens} tokens each",
            allowed=f"at most {kept.mean_prompt / tokens:.3g} images",
            hint="a larger --isl, or fewer --images",
        )
    kept.notes.append(
        f"--images {options.images:g}: an image takes {format_seconds(made.image_s)} in the vision "
        f"tower, which every rank runs whole, and becomes {tokens} of the prompt's tokens; how it "
        "is read and resized on the host is not counted"
    )
    return made


def with_images(kept: Deployer, times: StepTimes, tower: Tower | None) -> StepTimes:
    """Step times with the towers' part of each of a prompt's tokens."""
    from lydite.serving.times import PREFILL_TOKENS

    if tower is None:
        return times
    each_s = kept.options.images * tower.image_s / kept.mean_prompt
    added = each_s * PREFILL_TOKENS.reshape(-1, 1)
    return replace(times, prefill_s=times.prefill_s + added)

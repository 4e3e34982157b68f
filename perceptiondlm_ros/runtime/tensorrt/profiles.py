"""The ranges of shapes that engines are built for: optimisation profiles from a model's sizes.

A profile gives for each input the least, the usual and the largest shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import (
    DENOISER,
    MOST_GROUPS,
    MOST_STEPS,
    VISION_ENCODER,
    Buckets,
    fixed_sizes,
    rows_of_captions,
    sequence_length,
)
from perceptiondlm_ros.model.graph_spec import GraphSpec

Shape = tuple[int, ...]
Profile = dict[str, tuple[Shape, Shape, Shape]]

_TEXT_TOKENS = (1, 48, 512)
"""Tokens of the turns and the prompt: no fewer, as usual, no more."""


@dataclass(frozen=True)
class Sizes:
    """What decides the shapes, beside the image and its regions.

    Attributes:
        config: the model's.
        buckets: tile counts and numbers of region slots that inputs are padded to.
        caption_tokens: the longest caption.
    """

    config: ModelConfig
    buckets: Buckets
    caption_tokens: int


@dataclass(frozen=True)
class _Point:
    """One choice of all that varies; `text` is tokens of the sequence."""

    groups: int
    tiles: int
    slots: int
    roi_tokens: int
    caption_tokens: int
    steps: int
    text: int


def vision_profiles(sizes: Sizes) -> tuple[Profile, ...]:
    """The one profile of the vision encoder."""
    return (_profile(VISION_ENCODER, sizes, lambda point: {}),)


def denoiser_profiles(sizes: Sizes) -> tuple[Profile, Profile]:
    """The prefill's (all rows, one masked past column) and the step's (caption rows, all past)."""

    def prefill(p: _Point) -> dict[str, int]:
        visual = p.tiles * sizes.config.tokens_per_tile + p.slots * p.roi_tokens
        return {"rows": _length(sizes.config, p), "past": 1, "visual_rows": visual}

    def step(p: _Point) -> dict[str, int]:
        rows = rows_of_captions(p.slots, p.caption_tokens)
        return {"rows": rows, "past": _length(sizes.config, p), "visual_rows": 1}

    return _profile(DENOISER, sizes, prefill), _profile(DENOISER, sizes, step)


def _length(config: ModelConfig, p: _Point) -> int:
    return sequence_length(
        image_tokens=p.tiles * config.tokens_per_tile,
        slots=p.slots,
        roi_tokens=p.roi_tokens,
        caption_tokens=p.caption_tokens,
        text_tokens=p.text,
    )


def _profile(
    graph: GraphSpec, sizes: Sizes, of_part: Callable[[_Point], dict[str, int]]
) -> Profile:
    """The shapes of a graph's inputs at each point, with the sizes that a part of it has there."""
    layers = sizes.config.language.num_hidden_layers
    points = [
        {
            **fixed_sizes(sizes.config),
            **vars(point),
            "captions": point.slots * point.caption_tokens,
            "kinds": point.slots + 2,
            **of_part(point),
        }
        for point in _points(sizes)
    ]
    profile: Profile = {}
    for tensor in graph.inputs:
        least, usual, most = (tensor.shape(point) for point in points)
        profile |= dict.fromkeys(tensor.names(layers), (least, usual, most))
    return profile


def _points(sizes: Sizes) -> tuple[_Point, _Point, _Point]:
    """The least, the usual and the largest choice; of the tile counts, the middle one is usual."""
    roi = _roi_tokens(sizes.config)
    tiles = sizes.buckets.tiles
    middle = tiles[(len(tiles) - 1) // 2]
    slots = sizes.buckets.slots[-1]
    steps = sizes.config.denoising_steps
    most_steps = max(MOST_STEPS, steps)
    longest, text = sizes.caption_tokens, _TEXT_TOKENS
    return (
        _Point(1, 1, 1, roi[0], 1, 1, text[0]),
        _Point(1, middle, slots, roi[1], longest, steps, text[1]),
        _Point(MOST_GROUPS, tiles[-1], slots, roi[2], longest, most_steps, text[2]),
    )


def _roi_tokens(config: ModelConfig) -> tuple[int, int, int]:
    if config.roi_output_size is not None:
        count = config.roi_output_size[0] * config.roi_output_size[1]
        return count, count, count
    # The whole feature map, which leaves out one of several tiles.
    cells = config.tokens_per_tile
    return cells, min(2, config.max_tiles) * cells, config.max_tiles * cells

"""The ranges of shapes that engines are built for: optimisation profiles from a model's sizes.

Letters as in `model.contract` and `export.graphs`, and: G key and value heads, E width of a head.
A profile gives for each input the least, the usual and the largest shape.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import MOST_GROUPS, MOST_STEPS, Buckets

Shape = tuple[int, ...]
Profile = dict[str, tuple[Shape, Shape, Shape]]

_TEXT_TOKENS = (1, 48, 512)
"""Tokens of the turns and the prompt: no fewer, as usual, no more."""
_CAPTION_TOKENS = 2
"""Tokens around a caption: its marker and the end of its line."""


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
    config = sizes.config
    side, patches = config.tile_size, config.patches_per_side**2

    def shapes(p: _Point) -> dict[str, Shape]:
        return {
            "tiles": (p.tiles, 3, side, side),
            "patch_masks": (p.groups, p.slots, p.tiles, patches),
            "roi_matrix": (p.groups, p.slots, p.roi_tokens, p.tiles * config.tokens_per_tile),
        }

    return (_profile(sizes, shapes),)


def denoiser_profiles(sizes: Sizes) -> tuple[Profile, Profile]:
    """The prefill's (all rows, one masked past column) and the step's (caption rows, all past)."""

    def prefill(p: _Point) -> dict[str, Shape]:
        visual = p.tiles * sizes.config.tokens_per_tile + p.slots * p.roi_tokens
        return _denoiser_shapes(
            sizes.config, p, query=_length(sizes.config, p), past=1, rows=visual
        )

    def step(p: _Point) -> dict[str, Shape]:
        query = p.slots * (p.caption_tokens + _CAPTION_TOKENS)
        return _denoiser_shapes(sizes.config, p, query=query, past=_length(sizes.config, p), rows=1)

    return _profile(sizes, prefill), _profile(sizes, step)


def _length(config: ModelConfig, p: _Point) -> int:
    """Rows of the sequence."""
    of_slot = p.roi_tokens + 1 + p.caption_tokens + _CAPTION_TOKENS
    return p.tiles * config.tokens_per_tile + p.slots * of_slot + p.text


def _denoiser_shapes(
    config: ModelConfig, p: _Point, *, query: int, past: int, rows: int
) -> dict[str, Shape]:
    language, positions = config.language, p.slots * p.caption_tokens
    cache = (p.groups, language.num_key_value_heads, past, language.head_dim)
    shapes: dict[str, Shape] = {
        "token_ids": (p.groups, query),
        "visual_index": (query,),
        "caption_index": (query,),
        "caption_rows": (positions,),
        "position_ids": (p.groups, query),
        "row_class": (p.groups, query),
        "class_columns": (p.groups, p.slots + 2, past + query),
        "visual_rows": (p.groups, rows, language.hidden_size),
        "caption_ids": (p.groups, positions),
        "masked": (p.groups, positions),
        "confidence": (p.groups, positions),
        "active": (p.groups, positions),
        "schedule": (p.groups, p.steps),
        "step": (1,),
    }
    for layer in range(language.num_hidden_layers):
        shapes[f"past_keys_{layer}"] = shapes[f"past_values_{layer}"] = cache
    return shapes


def _profile(sizes: Sizes, shapes: Callable[[_Point], dict[str, Shape]]) -> Profile:
    low, usual, high = (shapes(point) for point in _points(sizes))
    return {name: (low[name], usual[name], high[name]) for name in low}


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

"""The tensors that pass between processing, the model and the backends: names, dtypes, shapes.

What the two graphs take and give is declared here and nowhere else: examples for the exporter,
what a backend is fed, the shapes that engines are built for and the manifest follow from it.

Letters used for shapes everywhere:
    B groups of regions of one image, run as one batch; N region slots of a group;
    T tiles; S side of a tile in pixels; P patches along a tile's side; C visual tokens of a tile;
    R RoI tokens of a region; M caption tokens of a region; L sequence length;
    D language model width; V vocabulary size; Q query rows of a step; P past rows; F visual rows;
    J = N*M caption positions; A = N + 2 kinds of rows; G key and value heads, E width of a head.

This module imports neither torch nor a backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.model.graph_spec import GraphSpec, tensor_specs

if TYPE_CHECKING:
    from perceptiondlm_ros.model.config import ModelConfig

MOST_GROUPS = 8
"""Groups that run as one batch; more run one batch after the other, to bound the memory."""

MOST_STEPS, MOST_CAPTION_TOKENS = 1024, 512
"""The most denoising steps of a pass, and tokens of a caption, that can be asked for."""

MOST_THREADS = 1024
"""The most threads for computing on a CPU that can be asked for."""

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SequenceLayout:
    """Where things stand in the sequence. The same for all groups of a batch.

    A group with fewer regions than the batch has slots keeps the same layout: the places of the
    missing regions are padding, see `ModelInputs.real`.
    """

    length: int
    image_start: int
    image_tokens: int
    roi_starts: tuple[int, ...]
    roi_tokens: int
    prompt_start: int
    block_starts: tuple[int, ...]
    caption_tokens: int

    @property
    def slots(self) -> int:
        return len(self.block_starts)

    @property
    def captions_start(self) -> int:
        """Index of the first caption marker: everything before is the prefix."""
        return self.block_starts[0]

    @property
    def image_positions(self) -> IntArray:
        """int64 [T*C]."""
        return np.arange(self.image_start, self.image_start + self.image_tokens, dtype=np.int64)

    @property
    def roi_positions(self) -> IntArray:
        """int64 [N, R]."""
        offsets = np.arange(self.roi_tokens, dtype=np.int64)
        return np.asarray(self.roi_starts, dtype=np.int64)[:, None] + offsets

    @property
    def caption_positions(self) -> IntArray:
        """int64 [N, M]: the positions that are denoised."""
        offsets = np.arange(1, 1 + self.caption_tokens, dtype=np.int64)
        return np.asarray(self.block_starts, dtype=np.int64)[:, None] + offsets

    @property
    def visual_index(self) -> IntArray:
        """int64 [L]: which visual row (visual tokens, then RoI tokens slot by slot) stands at each
        place, -1 where a token does."""
        index = np.full(self.length, -1, dtype=np.int64)
        index[self.image_positions] = np.arange(self.image_tokens)
        roi = self.roi_positions.reshape(-1)
        index[roi] = self.image_tokens + np.arange(roi.size)
        return index

    @property
    def caption_index(self) -> IntArray:
        """int64 [L]: the number of the caption position at each place, -1 elsewhere."""
        index = np.full(self.length, -1, dtype=np.int64)
        positions = self.caption_positions.reshape(-1)
        index[positions] = np.arange(positions.size)
        return index


@dataclass(frozen=True)
class Buckets:
    """Sizes that a backend was compiled for; inputs are padded up to the next one.

    Attributes:
        tiles: tile counts, ascending.
        slots: numbers of region slots, ascending.
    """

    tiles: tuple[int, ...]
    slots: tuple[int, ...]


@dataclass(frozen=True)
class ModelInputs:
    """One image with B groups of regions, ready for a backend.

    Attributes:
        tiles: float32 [T, 3, S, S], in [-1, 1]; the thumbnail is last when T > 1.
        patch_masks: bool [B, N, T, P, P]: patches that carry the slot's mask-id embedding.
        roi_matrix: float32 [B, N, R, T*C]: RoIAlign as a matrix over all visual tokens.
        token_ids: int64 [B, L], caption positions hold the mask token.
        position_ids: int64 [B, L], those of the group alone, without its padding.
        real: bool [B, L]: False where a group is padded.
        regions: regions of each group, at most N.
        layout: places in the sequence.
        mask_id: the mask token.
    """

    tiles: FloatArray
    patch_masks: BoolArray
    roi_matrix: FloatArray
    token_ids: IntArray
    position_ids: IntArray
    real: BoolArray
    regions: tuple[int, ...]
    layout: SequenceLayout
    mask_id: int

    @property
    def active(self) -> BoolArray:
        """bool [B, N]: False on the slots without a region."""
        active: BoolArray = np.arange(self.layout.slots) < np.asarray(self.regions)[:, None]
        return active


def sequence_length(
    *, image_tokens: int, slots: int, roi_tokens: int, caption_tokens: int, text_tokens: int
) -> int:
    """L: the words around, the image, and for each slot its RoI tokens, a line break and its
    caption."""
    return (
        text_tokens
        + image_tokens
        + slots * (roi_tokens + 1)
        + rows_of_captions(slots, caption_tokens)
    )


def rows_of_captions(slots: int, caption_tokens: int) -> int:
    """Rows from the first caption marker on: a marker and an end of a line go with each caption."""
    return slots * (caption_tokens + 2)


def fixed_sizes(config: ModelConfig) -> dict[str, int]:
    """Sizes of axes that a model has once and for all, by their names."""
    return {
        "tile_size": config.tile_size,
        "patches": config.patches_per_side**2,
        "tile_tokens": config.tokens_per_tile,
        "width": config.language.hidden_size,
        "kv_heads": config.language.num_key_value_heads,
        "head_width": config.language.head_dim,
    }


VISION_ENCODER = GraphSpec(
    "vision_encoder",
    inputs=tensor_specs("""
        image  tiles        float32  tiles, 3, tile_size, tile_size
        image  patch_masks  bool     groups, slots, tiles, patches
        image  roi_matrix   float32  groups, slots, roi_tokens, tile_tokens*tiles
    """),
    results=tensor_specs("""
        visual  visual_rows  weights  groups, slots*roi_tokens + tile_tokens*tiles, width
    """),
)
DENOISER = GraphSpec(
    "denoiser",
    inputs=tensor_specs("""
        rows    token_ids      int64    groups, rows
        rows    visual_index   int64    rows
        rows    caption_index  int64    rows
        rows    caption_rows   int64    captions
        rows    position_ids   int64    groups, rows
        rows    row_class      int64    groups, rows
        rows    class_columns  bool     groups, kinds, past + rows
        visual  visual_rows    weights  groups, visual_rows, width
        past    past_keys      weights  groups, past, kv_heads, head_width
        past    past_values    weights  groups, past, kv_heads, head_width
        state   caption_ids    int64    groups, captions
        state   masked         bool     groups, captions
        state   confidence     float32  groups, captions
        pass    active         bool     groups, captions
        pass    schedule       int64    groups, steps
        pass    threshold      float32  1
        state   step           int64    groups
    """),
    results=tensor_specs("""
        keys_values  keys             weights  groups, rows, kv_heads, head_width
        keys_values  values           weights  groups, rows, kv_heads, head_width
        prediction   best_ids         int64    groups, captions
        prediction   best_confidence  float32  groups, captions
    """),
)
GRAPHS = (VISION_ENCODER, DENOISER)

SEEN = (
    *("new_caption_ids", "new_masked", "new_confidence"),
    *("best_ids", "best_confidence", "new_step"),
)
"""Outputs of a step that its user sees: [B, J] each, and [B]."""

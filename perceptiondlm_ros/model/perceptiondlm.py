"""PerceptionDLM as a whole: tiles and region masks in, visual and RoI tokens, logits out.

Forward only; the denoising loop is in `runtime`. Letters for shapes are those of `contract`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.language import LanguageModel
from perceptiondlm_ros.model.vision import VisionTower, pixel_shuffle


class Projector(nn.Module):
    """Two layers with an exact GELU between, from the shuffled vision width to D."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.first = nn.Linear(in_width, out_width)
        self.second = nn.Linear(out_width, out_width)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.second(F.gelu(self.first(x)))
        return projected


class PerceptionDLM(nn.Module):
    """The vision side and the language model of a checkpoint."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.vision.hidden_size
        self.vision = VisionTower(config.vision, config.vision_select_layer)
        self.mask_id_embedding = nn.Embedding(config.slots, width)
        self.projector = Projector(4 * width, config.language.hidden_size)
        self.language = LanguageModel(config.language)

    def see(self, tiles: Tensor, patch_masks: Tensor) -> Tensor:
        """The vision tower's output for every group: the regions enter it, so each has its own.

        Args:
            tiles: [T, 3, S, S], or [B, T, 3, S, S] where the groups are of different images.
            patch_masks: [B, N, T, P, P], 1 on patches of the slot's region, dtype of `tiles`.

        Returns:
            [B, T, P*P, W].
        """
        slots = patch_masks.shape[1]
        patches = self.vision.embed_patches(tiles.flatten(0, -4))
        patches = patches.unflatten(0, (-1, tiles.shape[1])) if tiles.dim() == 5 else patches[None]
        mask_ids = self.mask_id_embedding.weight[:slots]
        marked = patches + patch_masks.flatten(3).permute(0, 2, 3, 1) @ mask_ids
        return self.vision(marked.flatten(0, 1)).unflatten(0, marked.shape[:2])

    def project(self, features: Tensor) -> Tensor:
        """Visual tokens: [B, T, P*P, W] to [B, T, C, D]."""
        side = self.config.patches_per_side
        tiles = features.flatten(0, 1).view(-1, side, side, features.shape[-1])
        tokens = self.projector(pixel_shuffle(tiles))
        return tokens.view(*features.shape[:2], *tokens.shape[1:])

    def encode(self, tiles: Tensor, patch_masks: Tensor) -> Tensor:
        """`see` and `project`: visual tokens of every group, [B, T, C, D]."""
        return self.project(self.see(tiles, patch_masks))

    @staticmethod
    def replay(visual_tokens: Tensor, roi_matrix: Tensor) -> Tensor:
        """RoI tokens: [B, T, C, D] visual tokens and [B, N, R, T*C] to [B, N, R, D].

        Done in fp32, as the published RoIAlign.
        """
        features = visual_tokens.flatten(1, 2).float()
        roi = roi_matrix.float() @ features.unsqueeze(1)
        return roi.to(visual_tokens.dtype)

    def visual_rows(self, tiles: Tensor, patch_masks: Tensor, roi_matrix: Tensor) -> Tensor:
        """All that the vision side gives to the sequence: [B, T*C + N*R, D], the visual tokens,
        then the RoI tokens of one slot after the other. Arguments as of `see` and `replay`.
        """
        tokens = self.encode(tiles, patch_masks)
        roi_tokens = self.replay(tokens, roi_matrix)
        return torch.cat((tokens.flatten(1, 2), roi_tokens.flatten(1, 2)), dim=1)

    def visual_rows_of(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """`visual_rows` of what the vision encoder takes, see `contract.VISION_ENCODER`."""
        dtype, side = self.mask_id_embedding.weight.dtype, self.config.patches_per_side
        masks = inputs["patch_masks"].unflatten(3, (side, side)).to(dtype)
        return self.visual_rows(inputs["tiles"].to(dtype), masks, inputs["roi_matrix"])

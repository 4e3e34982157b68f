"""PerceptionDLM as a whole: tiles and region masks in, visual and RoI tokens, logits out.

Forward only; the denoising loop is in `runtime`. Letters for shapes are those of `contract`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import SequenceLayout
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
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.vision.hidden_size
        self.vision = VisionTower(config.vision, config.vision_select_layer)
        self.mask_id_embedding = nn.Embedding(config.slots, width)
        self.projector = Projector(4 * width, config.language.hidden_size)
        self.language = LanguageModel(config.language)

    def encode(self, tiles: Tensor, patch_masks: Tensor) -> Tensor:
        """Visual tokens of every group: the regions enter the tower, so each group has its own.

        Args:
            tiles: [T, 3, S, S], or [B, T, 3, S, S] where the groups are of different images.
            patch_masks: [B, N, T, P, P], 1 on patches of the slot's region, dtype of `tiles`.

        Returns:
            [B, T, C, D].
        """
        groups, slots, count = patch_masks.shape[:3]
        side = self.config.patches_per_side
        patches = self.vision.embed_patches(tiles.flatten(0, -4))
        patches = patches.view(-1, count, *patches.shape[1:])
        mask_ids = self.mask_id_embedding.weight[:slots]
        marked = torch.einsum("bntp,nw->btpw", patch_masks.flatten(3), mask_ids)
        features = self.vision((patches + marked).flatten(0, 1))
        features = features.view(groups * count, side, side, -1)
        tokens = self.projector(pixel_shuffle(features))
        return tokens.view(groups, count, *tokens.shape[1:])

    @staticmethod
    def replay(visual_tokens: Tensor, roi_matrix: Tensor) -> Tensor:
        """RoI tokens: [B, T, C, D] visual tokens and [B, N, R, T*C] to [B, N, R, D].

        Done in fp32, as the published RoIAlign.
        """
        features = visual_tokens.flatten(1, 2).float()
        roi = torch.einsum("bnrc,bcd->bnrd", roi_matrix.float(), features)
        return roi.to(visual_tokens.dtype)

    def embed(
        self, token_ids: Tensor, visual_tokens: Tensor, roi_tokens: Tensor, layout: SequenceLayout
    ) -> Tensor:
        """What enters the language model, [B, L, D]: token embeddings, with visual tokens and RoI
        tokens in their places.

        Args:
            token_ids: int64 [B, L].
            visual_tokens: [B, T, C, D].
            roi_tokens: [B, N, R, D].
            layout: the places.
        """
        roi_positions = torch.from_numpy(layout.roi_positions.reshape(-1)).to(token_ids.device)
        embeddings = self.language.embed_tokens(token_ids)
        image = slice(layout.image_start, layout.image_start + layout.image_tokens)
        embeddings = torch.cat(
            (embeddings[:, : image.start], visual_tokens.flatten(1, 2), embeddings[:, image.stop :]),
            dim=1,
        )
        return embeddings.index_copy(1, roi_positions, roi_tokens.flatten(1, 2))

"""What the vision tower is taught on its own: every patch of a region tells its object.

A caption gives a few words of signal a region, and only once the language model has learned where
to look. Naming the attributes of the object and of its neighbour at every patch teaches the same
things directly, in a fraction of the time. The heads are not part of the checkpoint.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from perceptiondlm_ros.development.scenes.vocabulary import RELATIONS, WORDS, parse_caption

CHOICES = (*WORDS, (*RELATIONS, None), *WORDS)
"""What is asked at a patch: the object's attributes, the relation, the neighbour's attributes."""

UNKNOWN = -100
"""Label of what a lone object doesn't have; cross entropy leaves it out."""


def vision_labels(caption: str) -> list[int]:
    """Index into each of CHOICES, for a well-formed caption."""
    parsed = parse_caption(caption)
    if parsed is None:
        raise ValueError(f"caption {caption!r} is not well-formed")
    neighbour = parsed.neighbour or (None,) * len(WORDS)
    words = (*parsed.subject, parsed.relation, *neighbour)
    return [
        choices.index(word) if word in choices else UNKNOWN
        for choices, word in zip(CHOICES, words, strict=True)
    ]


class VisionTask(nn.Module):
    """The heads that name the attributes at each patch.

    Args:
        width: of the vision tower.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.Linear(width, sum(map(len, CHOICES)))

    def forward(
        self, features: Tensor, patch_masks: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mean cross entropy over the patches that belong to just one region, and its accuracy.

        Args:
            features: [B, T, P*P, W].
            patch_masks: bool [B, N, T, P, P].
            labels: int64 [B, N, 9].
        """
        masks = patch_masks.flatten(3)
        group, tile, patch = torch.nonzero(masks.sum(dim=1) == 1, as_tuple=True)
        owner = masks[group, :, tile, patch].int().argmax(dim=1)
        truth = labels[group, owner]
        logits = self.heads(features[group, tile, patch]).float()
        losses, hits, count = logits.new_zeros(()), logits.new_zeros(()), logits.new_zeros(())
        for index, part in enumerate(logits.split([len(c) for c in CHOICES], dim=-1)):
            known = truth[:, index] != UNKNOWN
            losses = losses + F.cross_entropy(part, truth[:, index], ignore_index=UNKNOWN)
            hits = hits + (part.argmax(-1) == truth[:, index])[known].sum()
            count = count + known.sum()
        return losses / len(CHOICES), hits / count.clamp(min=1)

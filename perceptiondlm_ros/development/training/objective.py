"""The masked-diffusion objective of LLaDA, with structured attention and several regions a sample.

The captions see the prefix but not the other way round, so the prefix is computed once and serves
several noised copies of the captions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from perceptiondlm_ros.development.training.samples import Batch
from perceptiondlm_ros.model.attention_mask import allowed_attention
from perceptiondlm_ros.model.contract import SequenceLayout
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM

LEAST_MASK_RATIO = 0.05
"""Bounds the weight 1/t, whose variance is what limits small batches."""


@dataclass(frozen=True)
class Loss:
    """What a batch costs.

    Attributes:
        loss: scalar, the bound on the negative log likelihood a token.
        accuracy: scalar, share of masked tokens whose argmax is the truth.
    """

    loss: Tensor
    accuracy: Tensor


def masked_diffusion_loss(
    model: PerceptionDLM,
    batch: Batch,
    features: Tensor,
    *,
    mask_id: int,
    copies: int,
    generator: torch.Generator,
) -> Loss:
    """Mask each caption token with probability t, predict the masked ones, weigh by 1/t.

    Args:
        batch: on the model's device.
        features: [B, T, P*P, W], what the vision tower saw, see `PerceptionDLM.see`.
        copies: noised copies of the captions that share a prefix. Their mask ratios t are
            uniform on (0, 1], one in each of `copies` equal intervals.
        generator: on the CPU; decides the masks.
    """
    samples, regions, tokens = batch.caption_ids.shape
    ratios = _mask_ratios(samples, copies, generator)
    noise = torch.rand((samples * copies, regions, tokens), generator=generator)
    masked = (noise < ratios.view(-1, 1, 1)).to(batch.caption_ids.device)
    truth = batch.caption_ids.repeat_interleave(copies, dim=0)
    noised = torch.where(masked, mask_id, truth)

    logits = _caption_logits(model, batch, features, noised, copies)
    losses = F.cross_entropy(logits.flatten(0, 1), truth.flatten(), reduction="none")
    weights = masked.flatten() / ratios.to(losses.device).repeat_interleave(regions * tokens)
    hits = (logits.argmax(-1).flatten() == truth.flatten()) & masked.flatten()
    return Loss(
        loss=(losses * weights).mean(),
        accuracy=hits.sum() / masked.sum().clamp(min=1),
    )


def see(model: PerceptionDLM, batch: Batch) -> Tensor:
    """[B, T, P*P, W]: what the vision tower makes of a batch, in the dtype of its weights."""
    dtype = model.mask_id_embedding.weight.dtype
    tiles = (batch.tiles.to(torch.float32) / 127.5 - 1.0).to(dtype)
    return model.see(tiles, batch.patch_masks.to(dtype))


def _mask_ratios(samples: int, copies: int, generator: torch.Generator) -> Tensor:
    uniform = (torch.rand((samples, copies), generator=generator) + torch.arange(copies)) / copies
    return uniform.clamp(min=LEAST_MASK_RATIO).flatten()


def _caption_logits(
    model: PerceptionDLM, batch: Batch, features: Tensor, noised: Tensor, copies: int
) -> Tensor:
    """fp32 [B*copies, N*M, V]."""
    device, layout = batch.token_ids.device, batch.layout
    start = layout.captions_start
    visual_tokens = model.project(features)
    roi_tokens = model.replay(visual_tokens, batch.roi_matrix)
    visual_rows = torch.cat((visual_tokens.flatten(1, 2), roi_tokens.flatten(1, 2)), dim=1)
    visual_index = torch.from_numpy(layout.visual_index).to(device)
    embeddings = model.language.embed(batch.token_ids, visual_rows, visual_index)
    mask = _additive_mask(layout, device).to(embeddings.dtype)
    positions = torch.arange(layout.length, device=device)[None]

    _, past = model.language(embeddings[:, :start], positions[:, :start], mask[..., :start, :start])
    repeated = [
        (k.repeat_interleave(copies, dim=0), v.repeat_interleave(copies, dim=0)) for k, v in past
    ]
    token_ids = batch.token_ids[:, start:].repeat_interleave(copies, dim=0)
    places = torch.from_numpy(layout.caption_positions.reshape(-1)).to(device) - start
    token_ids = token_ids.index_copy(1, places, noised.flatten(1))
    rows = model.language.embed_tokens(token_ids)
    hidden, _ = model.language(rows, positions[:, start:], mask[..., start:, :], repeated)
    return model.language.logits(hidden[:, places])


def _additive_mask(layout: SequenceLayout, device: torch.device) -> Tensor:
    real = np.ones(layout.length, dtype=np.bool_)
    allowed = torch.from_numpy(allowed_attention(layout, real, prefix_sees_captions=False))
    mask = torch.zeros(allowed.shape).masked_fill_(~allowed, torch.finfo(torch.float32).min)
    return mask.to(device)[None, None]

"""The model as a whole: region masks in the vision tower, RoI replay, embeddings in place."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from tiny_checkpoint import random_model, tiny_config, tiny_tokenizer
from torch import Tensor

from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.processing.sequence import SequenceShape, build_sequence

CONFIG = tiny_config()
TILES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def model() -> PerceptionDLM:
    return random_model(CONFIG)


def masks(*regions: tuple[int, slice]) -> Tensor:
    """[1, N, T=2, P, P] with rows of patches set per slot."""
    result = torch.zeros(1, len(regions), 2, 4, 4)
    for slot, (tile, rows) in enumerate(regions):
        result[0, slot, tile, rows] = 1
    return result


def test_a_regions_mask_id_embedding_is_added_before_the_positions() -> None:
    marked = model()
    expected_patches = marked.vision.embed_patches(TILES).clone()
    expected_patches[0, :8] += marked.mask_id_embedding.weight[0]
    features = marked.vision(expected_patches).view(2, 4, 4, -1)
    blocks = features.view(2, 2, 2, 2, 2, -1).transpose(2, 3).reshape(2, 4, -1)
    torch.testing.assert_close(
        marked.encode(TILES, masks((0, slice(0, 2))))[0], marked.projector(blocks)
    )


def test_mask_id_embeddings_of_overlapping_regions_add_up() -> None:
    two = model()
    both = two.encode(TILES, masks((0, slice(0, 4)), (0, slice(0, 4))))
    one = model()
    one.mask_id_embedding.weight.data[0] += one.mask_id_embedding.weight.data[1]
    torch.testing.assert_close(both, one.encode(TILES, masks((0, slice(0, 4)))))
    for slot in (0, 1):
        alone = torch.zeros(1, 2, 2, 4, 4)
        alone[0, slot, 0] = 1
        assert not torch.allclose(both, two.encode(TILES, alone), atol=1e-2)


def test_groups_of_one_image_are_encoded_as_if_alone() -> None:
    first, second = masks((0, slice(0, 2))), masks((1, slice(1, 4)))
    together = model().encode(TILES, torch.cat((first, second)))
    torch.testing.assert_close(together[0], model().encode(TILES, first)[0])
    torch.testing.assert_close(together[1], model().encode(TILES, second)[0])


def test_an_empty_slot_changes_nothing() -> None:
    used = masks((0, slice(0, 2)))
    padded = torch.cat((used, torch.zeros(1, 3, 2, 4, 4)), dim=1)
    torch.testing.assert_close(model().encode(TILES, padded), model().encode(TILES, used))


def test_replay_is_done_in_fp32_whatever_the_models_precision() -> None:
    tokens = torch.full((1, 1, 300, 2), 1.0, dtype=torch.bfloat16)
    matrix = torch.full((1, 1, 1, 300), 1 / 256)  # bfloat16 sums would stop short of 300/256
    replayed = PerceptionDLM.replay(tokens, matrix)
    assert replayed.dtype == torch.bfloat16
    assert abs(float(replayed[0, 0, 0, 0]) - 300 / 256) < 0.005


def test_visual_and_roi_tokens_take_their_places() -> None:
    shape = SequenceShape(
        image_tokens=8, image_places=8, roi_tokens=4, caption_tokens=3, slots=2, prompt="p"
    )
    ids, _, layout = build_sequence(tiny_tokenizer(), shape, 2)
    visual, roi = torch.randn(1, 2, 4, 32), torch.randn(1, 2, 4, 32)
    whole = model()
    rows = torch.cat((visual.flatten(1, 2), roi.flatten(1, 2)), dim=1)
    index = torch.from_numpy(layout.visual_index)
    embedded = whole.language.embed(torch.from_numpy(ids)[None], rows, index)[0]
    words = whole.language.embed_tokens(torch.from_numpy(ids))
    torch.testing.assert_close(embedded[layout.image_positions], visual.view(8, 32))
    torch.testing.assert_close(embedded[layout.roi_positions], roi[0])
    others = np.ones(layout.length, dtype=bool)
    others[layout.image_positions] = others[layout.roi_positions] = False
    torch.testing.assert_close(embedded[others], words[others])


def test_a_model_for_fewer_slots_uses_the_first_mask_ids() -> None:
    fewer = random_model(dataclasses.replace(CONFIG, slots=2))
    fewer.load_state_dict(
        model().state_dict() | {"mask_id_embedding.weight": model().mask_id_embedding.weight[:2]}
    )
    used = masks((0, slice(0, 2)), (1, slice(0, 2)))
    torch.testing.assert_close(fewer.encode(TILES, used), model().encode(TILES, used))

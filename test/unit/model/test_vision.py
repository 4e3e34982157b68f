"""The vision tower: which layer's output is taken, and how patches become tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tiny_checkpoint import random_model, tiny_config
from torch import Tensor

from perceptiondlm_ros.model.vision import VisionTower, pixel_shuffle

PATCHES = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(1))


def tower(select_layer: int) -> VisionTower:
    """Towers of the same weights, as far as they are built."""
    whole = random_model(tiny_config(vision_select_layer=-1)).vision
    part = random_model(tiny_config(vision_select_layer=select_layer)).vision
    weights = {k: v for k, v in whole.state_dict().items() if k in part.state_dict()}
    part.load_state_dict(weights)
    return part


def through_layers(model: VisionTower, count: int) -> Tensor:
    x = PATCHES + model.position_embedding
    for layer in list(model.layers)[:count]:
        x = layer(x)
    return x


def test_minus_two_leaves_out_the_last_layer_and_the_post_layernorm() -> None:
    whole = tower(-1)
    torch.testing.assert_close(tower(-2)(PATCHES), through_layers(whole, 2))
    assert not torch.allclose(tower(-2)(PATCHES), through_layers(whole, 3), atol=0.1)


def test_minus_one_is_the_last_layer_after_the_post_layernorm() -> None:
    whole = tower(-1)
    assert whole.post_norm is not None
    last = through_layers(whole, 3)
    torch.testing.assert_close(whole(PATCHES), whole.post_norm(last))
    assert not torch.allclose(whole(PATCHES), last, atol=0.1)


def test_layers_that_are_not_used_are_not_built() -> None:
    assert [len(tower(select).layers) for select in (-1, -2, -3)] == [3, 2, 1]


def test_patches_are_embedded_like_a_convolution_that_steps_by_its_size() -> None:
    vision = random_model(tiny_config()).vision
    tiles = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    embedded = vision.embed_patches(tiles)
    patch = tiles[1, :, 16:32, 32:48].reshape(-1)  # row 1, column 2
    expected = F.linear(patch, vision.patch_embedding.weight, vision.patch_embedding.bias)
    torch.testing.assert_close(embedded[1, 1 * 4 + 2], expected, atol=1e-4, rtol=1e-4)


def test_pixel_shuffle_puts_each_square_of_patches_into_one_token() -> None:
    places = torch.stack(
        torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij"), dim=-1
    )[None]
    token = pixel_shuffle(places)[0, 1 * 2 + 0]  # lower left
    assert token.view(4, 2).tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]

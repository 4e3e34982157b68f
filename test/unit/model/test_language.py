"""The language model: a kept past changes nothing, and groups of key/value heads are shared."""

from __future__ import annotations

import torch
from tiny_checkpoint import random_model, tiny_config

from perceptiondlm_ros.model.language import LanguageModel, RMSNorm, rotary_angles, rotate

EMBEDDINGS = torch.randn(2, 9, 32, generator=torch.Generator().manual_seed(1))
POSITIONS = torch.arange(9).expand(2, 9)


def language() -> LanguageModel:
    return random_model(tiny_config()).language


def test_rows_after_a_kept_past_give_what_the_whole_gives() -> None:
    prefix = 5
    mask = torch.zeros(2, 1, 9, 9)
    mask[:, :, :prefix, prefix:] = torch.finfo(torch.float32).min
    whole, keys_values = language()(EMBEDDINGS, POSITIONS, mask)
    past = [(k[:, :prefix], v[:, :prefix]) for k, v in keys_values]
    rest, rows = language()(
        EMBEDDINGS[:, prefix:], POSITIONS[:, prefix:], mask[:, :, prefix:], past
    )
    torch.testing.assert_close(rest, whole[:, prefix:], atol=1e-4, rtol=1e-4)
    assert rows[0][0].shape == (2, 4, 2, 8), "the 4 rows after, 2 key/value heads of width 8"


def test_only_the_wanted_rows_are_given_and_are_the_same() -> None:
    mask = torch.zeros(2, 1, 9, 9)
    mask[:, :, 2, 5:] = torch.finfo(torch.float32).min
    whole, keys_values = language()(EMBEDDINGS, POSITIONS, mask)
    wanted = torch.tensor([2, 7, 8])
    some, same = language()(EMBEDDINGS, POSITIONS, mask, rows=wanted)
    torch.testing.assert_close(some, whole[:, wanted], atol=1e-5, rtol=1e-5)
    for (k, v), (expected_k, expected_v) in zip(same, keys_values, strict=True):
        torch.testing.assert_close((k, v), (expected_k, expected_v))


def test_a_row_depends_only_on_the_columns_that_it_may_attend_to() -> None:
    mask = torch.zeros(2, 1, 9, 9)
    mask[:, :, :4, 6] = torch.finfo(torch.float32).min
    mask[:, :, 4:, 6] = torch.finfo(torch.float32).min
    changed = EMBEDDINGS.clone()
    changed[:, 6] += 1
    before, _ = language()(EMBEDDINGS, POSITIONS, mask)
    after, _ = language()(changed, POSITIONS, mask)
    others = [0, 1, 2, 3, 4, 5, 7, 8]
    torch.testing.assert_close(before[:, others], after[:, others])
    assert not torch.allclose(before[:, 6], after[:, 6], atol=1e-2)


def test_attention_depends_on_distance_alone() -> None:
    angles = rotary_angles(torch.tensor([[3, 7, 13, 17]]), language().config, torch.float32)
    x = torch.randn(8, generator=torch.Generator().manual_seed(2)).expand(1, 4, 1, 8)
    q, k, *later = rotate(x, angles)[0, :, 0]
    torch.testing.assert_close(q @ k, later[0] @ later[1], atol=1e-4, rtol=1e-4)
    assert abs(float(q @ k - q @ later[0])) > 1e-3


def test_the_norm_is_computed_in_fp32() -> None:
    norm = RMSNorm(4, 1e-6).half()
    large = torch.full((1, 4), 3e4, dtype=torch.float16)  # its square overflows fp16
    assert torch.equal(norm(large), torch.ones(1, 4, dtype=torch.float16))


def test_logits_are_fp32_in_any_precision() -> None:
    assert language().bfloat16().logits(EMBEDDINGS.bfloat16()).dtype == torch.float32

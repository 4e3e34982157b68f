"""Sizes of weights, cache and activations."""

from __future__ import annotations

from typing import Any

import pytest
from published_sizes import PUBLISHED_SIZES
from tiny_checkpoint import random_model, tiny_config, tiny_tokenizer

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.preflight.memory import (
    cache_bytes_a_position,
    memory_need,
    part_bytes,
    usual_length,
    usual_tile_counts,
)
from perceptiondlm_ros.processing.sequence import DEFAULT_PROMPT, SequenceShape, build_sequence

PUBLISHED = ModelConfig.from_dicts(PUBLISHED_SIZES, {})


def test_weights_are_those_of_the_model() -> None:
    model = random_model(tiny_config())
    count = sum(parameter.numel() for parameter in model.parameters())
    language = sum(p.numel() for n, p in model.named_parameters() if n.startswith("language."))
    assert part_bytes(tiny_config(), "fp32") == (4 * (count - language), 4 * language)
    assert sum(part_bytes(tiny_config(), "fp16")) == 2 * count
    assert count < sum(part_bytes(tiny_config(), "int8")) < 4 * count


def test_int8_keeps_embeddings_and_head_in_fp32() -> None:
    vocabulary = 126464 * 4096
    assert sum(part_bytes(PUBLISHED, "int8")) == pytest.approx(
        sum(part_bytes(PUBLISHED, "fp16")) / 2 + 2 * 3 * vocabulary, rel=0.01
    )


def test_the_published_model_takes_17_gb_and_half_a_megabyte_a_position() -> None:
    assert sum(part_bytes(PUBLISHED, "bf16")) == pytest.approx(17e9, rel=0.02)
    assert cache_bytes_a_position(PUBLISHED, "bf16") == pytest.approx(0.52e6, rel=0.01)
    assert usual_length(PUBLISHED, 7) == pytest.approx(2100, rel=0.05)


@pytest.mark.parametrize(
    ("most", "counts"), [(1, [1]), (2, [1, 3]), (4, [1, 3, 5]), (6, [1, 3, 7])]
)
def test_tile_counts_include_the_thumbnail(most: int, counts: list[int]) -> None:
    config = ModelConfig.from_dicts({}, {"max_sub_img": most})
    assert usual_tile_counts(config) == counts


@pytest.mark.parametrize("tiles", [1, 3, 7])
def test_sequences_are_no_longer_than_is_reckoned_with(tiles: int) -> None:
    config = tiny_config()
    shape: dict[str, Any] = {
        "image_tokens": tiles * config.tokens_per_tile,
        "image_places": tiles * config.tokens_per_tile,
        "roi_tokens": 4,
        "caption_tokens": config.caption_tokens,
        "slots": config.slots,
        "prompt": DEFAULT_PROMPT,
    }
    known = SequenceShape.__dataclass_fields__
    given = SequenceShape(**{name: value for name, value in shape.items() if name in known})
    layout = build_sequence(tiny_tokenizer(), given, config.slots)[2]
    # The test's tokenizer makes a token of every byte of the texts, real ones about one of four.
    texts = layout.length - (usual_length(config, tiles) - 64)
    assert 64 <= texts < 64 * 4


def test_more_tiles_need_more_of_everything_but_weights() -> None:
    one, seven = (memory_need(PUBLISHED, "bf16", tiles, 17_000_000_000) for tiles in (1, 7))
    assert one.cache < seven.cache and one.activations < seven.activations
    assert one.weights == seven.weights
    assert seven.total == seven.weights + seven.cache + seven.activations

"""Whatever comes from a camera and fits the export lies within the ranges that engines take."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoint import picture, rectangles, tiny_config, tiny_tokenizer

from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import MOST_GROUPS, MOST_STEPS, Buckets
from perceptiondlm_ros.processing.model_inputs import prepare_inputs
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.runtime.feeds import all_rows, caption_rows_alone, first_state, vision_feed
from perceptiondlm_ros.runtime.tensorrt.profiles import (
    Profile,
    Shape,
    Sizes,
    denoiser_profiles,
    vision_profiles,
)

BUCKETS = Buckets(tiles=(1, 3, 4, 5, 6, 7), slots=(1, 2, 4, 6))
CONFIGS = [
    tiny_config(),
    tiny_config(roi_output_size=None),
    tiny_config(roi_output_size=None, corrected_roi_replay=True, prefix_sees_captions=False),
]


def shapes(arrays: dict[str, np.ndarray]) -> dict[str, Shape]:
    return {name: array.shape for name, array in arrays.items()}


def check(profile: Profile, got: dict[str, Shape]) -> None:
    for name, shape in got.items():
        least, usual, most = profile[name]
        assert len(least) == len(shape)
        ordered = zip(least, usual, most, strict=True)
        assert all(low <= middle <= high for low, middle, high in ordered), name
        inside = zip(least, shape, most, strict=True)
        assert all(low <= size <= high for low, size, high in inside), (name, shape, most)


@settings(max_examples=40)
@given(
    config=st.sampled_from(CONFIGS),
    height=st.integers(8, 200),
    width=st.integers(24, 200),
    groups=st.lists(st.integers(1, 6), min_size=1, max_size=MOST_GROUPS),
    caption_tokens=st.integers(1, 6),
    prompt=st.text("abc ", max_size=300),
    steps=st.integers(1, MOST_STEPS),
)
def test_every_input_lies_within_its_range(
    config: ModelConfig,
    height: int,
    width: int,
    groups: list[int],
    caption_tokens: int,
    prompt: str,
    steps: int,
) -> None:
    masks = [Region.of_mask(mask) for mask in rectangles(height, width, 6)]
    inputs = prepare_inputs(
        picture(height, width),
        [masks[:count] for count in groups],
        config=config,
        tokenizer=tiny_tokenizer(),
        prompt=prompt,
        caption_tokens=caption_tokens,
        buckets=BUCKETS,
    )
    sizes = Sizes(config, BUCKETS, caption_tokens=6)
    (vision,) = vision_profiles(sizes)
    check(vision, shapes(vision_feed(inputs)))

    prefill, step = denoiser_profiles(sizes)
    state = shapes(first_state(inputs, steps, None))
    language, count = config.language, len(groups)
    heads = (language.num_key_value_heads, language.head_dim)
    length = inputs.layout.length
    visual = inputs.layout.image_tokens + inputs.layout.slots * inputs.layout.roi_tokens
    whole = shapes(all_rows(inputs, config, past=1))
    check(
        prefill,
        {
            **state,
            **whole,
            "past_keys_0": (count, 1, *heads),
            "visual_rows": (count, visual, language.hidden_size),
        },
    )
    later = shapes(caption_rows_alone(inputs, config, past=length))
    check(
        step,
        {
            **state,
            **later,
            "past_values_1": (count, length, *heads),
            "visual_rows": (count, 1, language.hidden_size),
        },
    )


def test_both_parts_take_the_same_tensors() -> None:
    prefill, step = denoiser_profiles(Sizes(tiny_config(), BUCKETS, caption_tokens=6))
    assert list(prefill) == list(step)
    assert {name for name in step if name.startswith("past_")} == {
        f"past_{kind}_{layer}" for kind in ("keys", "values") for layer in range(2)
    }
    assert [shape[1] for shape in prefill["past_keys_0"]] == [1, 1, 1]
    assert [shape[1] for shape in step["visual_rows"]] == [1, 1, 1]

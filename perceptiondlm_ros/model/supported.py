"""Keys of a checkpoint's configuration that change what is computed and have one value here.

The keys that `ModelConfig` holds may have any value. Those of `supported.json` are known from other
models of the same families: for each place, keys with all values that give the computation of this
package, and what that is. A value that starts with $ is one of the model's. Absent or null is
always let through, as are keys in neither place, which change nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perceptiondlm_ros.model.json_values import section

if TYPE_CHECKING:
    from perceptiondlm_ros.model.config import ModelConfig

LANGUAGE, VISION = "language_model_config", "vision_model_config"

_QUANTISED = ("quantization_config", "compression_config", "quantization", "quant_config")
_METHODS = ("quant_method", "quant_algo", "quantization_method", "format")


def faults(
    config: ModelConfig, raw: dict[str, Any], processor: dict[str, Any], images: dict[str, Any]
) -> Iterator[str]:
    """What the files say that is computed in another way here, each named with its value.

    Args:
        config: what `raw` and `processor` were read to.
        raw: `config.json`.
        processor: `processor_config.json`.
        images: `preprocessor_config.json`.

    Raises:
        CheckpointError: a section is no JSON object.
    """
    tower, language = section(raw, VISION), section(raw, LANGUAGE)
    if language.get("use_sliding_window") is False:
        language = {**language, "sliding_window": None}  # its width is kept, and not used
    # What says how pixels are prepared: a file of its own, or a section with transformers 5.
    of_images = {
        "preprocessor_config.json: ": images,
        "processor_config.json: image_processor.": section(processor, "image_processor"),
    }
    places = {
        "": raw,
        f"{LANGUAGE}.": language,
        f"{VISION}.": tower,
        f"{VISION}.vision_config.": section(tower, "vision_config"),
        "vision_abstractor_config.": section(raw, "vision_abstractor_config"),
        "processor_config.json: ": processor,
        **of_images,
    }
    rules, derived = _rules(), _derived(config)
    for place, values in places.items():
        yield from _quantised(values, place)
        for keys, accepted, why in rules["images" if place in of_images else place]:
            wanted = [_resolved(value, config, derived) for value in accepted]
            yield from (
                f"{place}{key} is {values[key]!r:.60}, expected {_listed(wanted)} ({why})"
                for key in keys.split()
                if values.get(key) is not None
                and not any(_same(values[key], value) for value in wanted)
            )
    for place, values in of_images.items():
        yield from _sizes(values, place, config.tile_size)


@cache
def _rules() -> dict[str, list[tuple[str, list[Any], str]]]:
    rules: dict[str, list[tuple[str, list[Any], str]]] = json.loads(
        Path(__file__).with_suffix(".json").read_text(encoding="utf-8")
    )
    return rules


def _derived(config: ModelConfig) -> dict[str, Any]:
    """Values of the model that no attribute of its config is."""
    vision, language = config.vision, config.language
    return {
        "both_image_sides": [vision.image_size] * 2,
        "vision_head_dim": vision.hidden_size // vision.num_attention_heads,
        "attention_scale": language.head_dim**-0.5,
        "has_one_key_value_head": language.num_key_value_heads == 1,
        "full_attention_in_all_layers": ["full_attention"] * language.num_hidden_layers,
        "rotation_in_all_layers": [1] * language.num_hidden_layers,
    }


def _resolved(value: Any, config: ModelConfig, derived: dict[str, Any]) -> Any:
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    name = value[1:]
    return derived[name] if name in derived else attrgetter(name)(config)


def _sizes(raw: dict[str, Any], prefix: str, side: int) -> Iterator[str]:
    """Sizes that tiles would be brought to, where that is another one than they have."""
    for switch, key, usual in (("do_resize", "size", True), ("do_center_crop", "crop_size", False)):
        wanted, done = raw.get(key), raw.get(switch)
        if done is not None and not isinstance(done, bool):
            yield f"{prefix}{switch} is {done!r:.60}, expected true or false"
        if wanted is None or not (usual if done is None else done):
            continue
        sides = [*wanted.values()] if isinstance(wanted, dict) else [wanted]
        if not sides or not all(_same(value, side) for value in sides):
            yield f"{prefix}{key} is {wanted!r:.60}, expected {side} (as image_size of config.json)"


def _quantised(raw: dict[str, Any], prefix: str) -> Iterator[str]:
    for key in _QUANTISED:
        found = raw.get(key)
        if found is None or found == {}:
            continue
        named = [found.get(name) for name in _METHODS] if isinstance(found, dict) else [found]
        method = next((name for name in named if name is not None), "of an unnamed method")
        yield (
            f"{prefix}{key} is {method!r:.60}, expected none (weights that are quantised can't be "
            "read; take the checkpoint that they were made from)"
        )


def _same(value: Any, accepted: Any) -> bool:
    """Equal, and no number for true or false."""
    if isinstance(value, bool) or isinstance(accepted, bool):
        return value is accepted
    if isinstance(value, float) and isinstance(accepted, (int, float)):
        return math.isclose(value, accepted, rel_tol=1e-6)  # some were written from fp32
    return bool(value == accepted)


def _listed(accepted: list[Any]) -> str:
    return " or ".join(repr(value)[:60] for value in accepted) or "none"

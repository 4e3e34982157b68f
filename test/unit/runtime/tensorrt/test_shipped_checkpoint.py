"""The shipped checkpoint's captions, with both caches, on every TensorRT that is here."""

from __future__ import annotations

import pytest
from exported_models import exported
from tensorrt_stand_in.everywhere import EVERYWHERE, load, skip_where_missing

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.sample import sample_scene
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer
from perceptiondlm_ros.runtime.locate import DEFAULT_CHECKPOINT


@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize("cache", ["exact", "prefix"])
def test_captions_are_those_of_torch(where: str, cache: str) -> None:
    skip_where_missing(where)
    backend = load(exported(DEFAULT_CHECKPOINT), where)
    tokenizer = CaptionTokenizer(DEFAULT_CHECKPOINT, backend.config.slots)
    captioner = Captioner(backend, tokenizer, name="small", cache=cache)
    torch = Captioner.load(backend="torch", device="cpu", cache=cache)
    for seed in range(3):
        drawn = render(sample_scene(seed, objects=2 * seed + 1), masks=False)
        got, expected = (one.describe(drawn.image, drawn.boxes) for one in (captioner, torch))
        assert [c.text for c in got] == [c.text for c in expected]
        assert [c.token_ids for c in got] == [c.token_ids for c in expected]

"""The public API: order, groups, options, and what a caption says of itself."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_checkpoint import (
    SLOTS,
    picture,
    random_model,
    rectangle,
    rectangles,
    save_checkpoint,
    tiny_config,
    tiny_tokenizer,
)

from perceptiondlm_ros import captioner as module
from perceptiondlm_ros.captioner import Caption, Captioner
from perceptiondlm_ros.errors import BackendError, CheckpointError, InputError, PerceptionDLMError
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import Buckets, ModelInputs
from perceptiondlm_ros.runtime import locate
from perceptiondlm_ros.runtime.backend import CacheMode, DenoisingState
from perceptiondlm_ros.runtime.torch_backend import TorchBackend

HEIGHT, WIDTH = 60, 80
IMAGE = picture(HEIGHT, WIDTH)
MASKS = list(rectangles(HEIGHT, WIDTH, 14))


CONFIDENCE: dict[str, Any] = {"decoding": "confidence", "decoding_threshold": 0.5}


def own_captioner(**options: Any) -> Captioner:
    return Captioner(own_backend(), tiny_tokenizer(), name="tiny", **options)


@cache
def own_backend() -> TorchBackend:
    return TorchBackend(random_model(tiny_config(prefix_sees_captions=False)))


class Writer:
    """A backend that writes, for each region, the number of patches that it covers."""

    description = "a backend of this test"

    def __init__(self, write: Callable[[int], str] = str, confidence: float = 0.5) -> None:
        self.config: ModelConfig = tiny_config()
        self.buckets: Buckets | None = None
        self.steps = self.look_every = 0
        self.batches: list[tuple[int, ...]] = []
        self.caches: list[CacheMode] = []
        self.thresholds: list[float | None] = []
        self.passes = self.closed = 0
        self._write, self._confidence = write, confidence

    def start(
        self, inputs: ModelInputs, cache: CacheMode, steps: int, threshold: float | None = None
    ) -> Writer:
        self.steps = steps
        self.thresholds.append(threshold)
        self.batches.append(inputs.regions)
        self.caches.append(cache)
        self._counts = inputs.patch_masks.sum(axis=(2, 3, 4))
        self._tokens = inputs.layout.caption_tokens
        return self

    def close(self) -> None:
        self.closed += 1

    def step(self) -> None:
        self.passes += 1

    def state(self) -> DenoisingState:
        ids = np.full((*self._counts.shape, self._tokens), tiny_tokenizer().end_of_turn_id)
        for place in np.ndindex(self._counts.shape):
            text = tiny_tokenizer().encode(self._write(int(self._counts[place])))
            ids[place][: len(text)] = text[: ids.shape[2]]
        confidence = np.full(ids.shape, self._confidence, np.float32)
        confidence[ids == tiny_tokenizer().end_of_turn_id] = 1.0
        steps = np.full(len(ids), self.steps)
        masked = np.zeros(ids.shape, np.bool_)
        return DenoisingState(ids, masked, confidence, ids, confidence, steps)


def written(backend: Writer, **options: Any) -> Captioner:
    return Captioner(backend, tiny_tokenizer(), name="writer", **options)


def strip(columns: int) -> np.ndarray:
    """A region of its own number of patches in an image of one tile."""
    return rectangle(64, 64, (0, 0, 16 * (columns % 4 + 1), 16 * (columns // 4 + 1)))


SMALL = picture(64, 64)


class TestOrder:
    @settings(max_examples=30)
    @given(order=st.permutations(range(16)), count=st.integers(0, 16))
    def test_captions_come_in_the_callers_order(self, order: list[int], count: int) -> None:
        masks = [strip(index) for index in order[:count]]
        captions = written(Writer()).describe(SMALL, masks)
        assert [caption.text for caption in captions] == [
            str((index % 4 + 1) * (index // 4 + 1)) for index in order[:count]
        ]

    @pytest.mark.parametrize("order", [[4, 2, 0, 3, 1], [1, 0, 4, 3, 2]])
    def test_regions_given_in_another_order_get_the_same_captions(self, order: list[int]) -> None:
        captioner = own_captioner()
        expected = captioner.describe(IMAGE, MASKS[:5])
        assert len({caption.text for caption in expected}) > 1
        permuted = captioner.describe(IMAGE, [MASKS[index] for index in order])
        assert permuted == [expected[index] for index in order]

    def test_masks_and_boxes_mixed(self) -> None:
        mask, box = strip(2), (0, 0, 16, 32)
        captions = written(Writer()).describe(SMALL, [box, mask, list(map(float, box))])
        assert [caption.text for caption in captions] == ["2", "3", "2"]

    def test_no_regions_are_no_captions_and_no_work(self) -> None:
        backend = Writer()
        assert written(backend).describe(SMALL, []) == []
        assert backend.passes == 0


class TestGroups:
    @pytest.mark.parametrize(
        ("regions", "batches"),
        [
            (1, [(1,)]),
            (SLOTS, [(6,)]),
            (SLOTS + 1, [(4, 3)]),
            (14, [(5, 5, 4)]),
            (50, [(6, 6, 6, 6, 6, 5, 5, 5), (5,)]),
        ],
    )
    def test_more_regions_than_slots_run_as_even_groups_in_a_bounded_batch(
        self, regions: int, batches: list[tuple[int, ...]]
    ) -> None:
        backend = Writer()
        captions = written(backend).describe(SMALL, [strip(i % 16) for i in range(regions)])
        assert backend.batches == batches
        assert [caption.text for caption in captions] == [
            str((i % 16 % 4 + 1) * (i % 16 // 4 + 1)) for i in range(regions)
        ]

    @pytest.mark.parametrize("options", [{}, CONFIDENCE])
    def test_a_group_in_a_batch_gets_what_it_gets_alone(self, options: dict[str, Any]) -> None:
        captioner = own_captioner(**options)
        together = captioner.describe(IMAGE, MASKS[:7])
        # The rectangles shrink, and regions are dealt to the groups in turn.
        for group in (MASKS[0:7:2], MASKS[1:7:2]):
            alone = captioner.describe(IMAGE, group)
            first = 0 if group[0] is MASKS[0] else 1
            for caption, expected in zip(alone, together[first::2], strict=True):
                assert caption.token_ids == expected.token_ids
                assert caption.steps == expected.steps
                assert caption.confidence == pytest.approx(expected.confidence, abs=1e-4)


class TestCaption:
    @pytest.mark.parametrize(
        ("written_text", "text", "truncated", "confidence"),
        [
            ("a cup", "a cup", False, 0.5),  # of the text, without the padding behind it
            ("a teacup", "a teac", True, 0.5),
            ("", "", False, 1.0),  # of its end
            ("a<|mdm_mask|> b", "a b", False, 0.5),  # the mask token stays among the tokens
            ("<|mdm_mask|>" * 6, "", True, 0.5),
        ],
    )
    def test_text_confidence_tokens_and_truncation(
        self, written_text: str, text: str, truncated: bool, confidence: float
    ) -> None:
        (caption,) = written(Writer(lambda _: written_text)).describe(SMALL, [strip(0)])
        ids = tiny_tokenizer().encode(written_text + "<|eot_id|>" * 6)[:6]
        assert caption == Caption(text, pytest.approx(confidence), ids, truncated, 6)

    def test_types_are_plain_and_the_caption_frozen(self) -> None:
        (caption,) = own_captioner().describe(IMAGE, MASKS[:1])
        assert json.loads(json.dumps(dataclasses.asdict(caption))) == dataclasses.asdict(caption)
        assert type(caption.confidence) is float and 0 <= caption.confidence <= 1
        assert len(caption.token_ids) == 6 and all(type(t) is int for t in caption.token_ids)
        with pytest.raises(dataclasses.FrozenInstanceError):
            caption.text = "other"  # type: ignore[misc]


class TestInputs:
    def test_grey_rgba_and_rgb_of_the_same_picture_give_the_same(self) -> None:
        grey = picture(HEIGHT, WIDTH)[:, :, 0]
        rgb = np.dstack([grey, grey, grey])
        rgba = np.dstack([rgb, grey])
        captioner = own_captioner()
        expected = captioner.describe(rgb, MASKS[:2])
        assert captioner.describe(grey, MASKS[:2]) == expected
        assert captioner.describe(rgba, MASKS[:2]) == expected

    def test_nothing_that_was_given_is_changed(self) -> None:
        image, masks = IMAGE.copy(), [mask.copy() for mask in MASKS[:7]]
        for array in (image, *masks):
            array.setflags(write=False)
        own_captioner().describe(image, masks)
        np.testing.assert_array_equal(image, IMAGE)

    def test_the_prompt_reaches_the_model(self) -> None:
        captioner = own_captioner()
        usual, other = (captioner.describe(IMAGE, MASKS[:2], p) for p in (None, "Which colour?"))
        assert usual == captioner.describe(IMAGE, MASKS[:2])
        assert usual != other

    @pytest.mark.parametrize("prompt", ["", "Was ist das? \N{SNOWMAN}"])
    def test_any_text_is_a_prompt(self, prompt: str) -> None:
        assert len(own_captioner().describe(IMAGE, MASKS[:1], prompt)) == 1

    @pytest.mark.parametrize(
        ("prompt", "says"),
        [
            (5, r"is a int, expected text or None"),
            (b"what?", r"is a bytes, expected text or None"),
            (["what?"], r"is a list, expected text or None"),
            ("stop <|eot_id|>", r"contains the special token '<\|eot_id\|>'"),
        ],
    )
    def test_other_prompts_are_refused(self, prompt: Any, says: str) -> None:
        with pytest.raises(InputError, match=f"prompt {says}"):
            own_captioner().describe(IMAGE, MASKS[:1], prompt)

    def test_a_prompt_can_be_checked_without_a_pass(self) -> None:
        captioner = own_captioner()
        captioner.check_prompt("What is it?")
        with pytest.raises(InputError, match=r"prompt contains the special token"):
            captioner.check_prompt("What is it?<|eot_id|>")

    def test_errors_name_the_argument(self) -> None:
        captioner = written(Writer())
        with pytest.raises(InputError, match=r"^image "):
            captioner.describe(SMALL.astype(np.float32), [])
        with pytest.raises(InputError, match=r"^regions\[1\] "):
            captioner.describe(SMALL, [strip(0), (70, 70, 90, 90)])
        with pytest.raises(InputError, match=r"^regions is "):
            captioner.describe(SMALL, 7)  # type: ignore[arg-type]

    coordinates = st.floats(-30, 110) | st.sampled_from([np.nan, np.inf, 0.0, 64.0])

    @settings(max_examples=40)
    @given(
        size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
        boxes=st.lists(st.tuples(*[coordinates] * 4), max_size=9),
    )
    def test_any_boxes_on_any_image_are_captioned_or_refused_by_name(
        self, size: tuple[int, int], boxes: list[tuple[float, ...]]
    ) -> None:
        captions, refusal = None, ""
        try:
            captions = written(Writer()).describe(picture(*size), boxes)
        except InputError as error:
            refusal = str(error)
        if captions is None:
            assert refusal.startswith("regions[")
        else:
            assert len(captions) == len(boxes)

    def test_calls_from_several_threads_do_not_disturb_each_other(self) -> None:
        captioner = own_captioner()
        requests = [MASKS[:3], MASKS[3:5], MASKS[5:12]]
        expected = [captioner.describe(IMAGE, masks) for masks in requests]
        with ThreadPoolExecutor(3) as pool:
            got = list(pool.map(lambda masks: captioner.describe(IMAGE, masks), requests * 3))
        assert got == expected * 3


class TestClose:
    @pytest.mark.parametrize("regions", [[strip(0)], []])
    def test_nothing_is_captioned_afterwards_and_the_error_says_why(self, regions: Any) -> None:
        backend = Writer()
        captioner = written(backend)
        assert not backend.closed
        for _ in range(2):
            captioner.close()
            with pytest.raises(BackendError, match=r"writer was closed.*load it again"):
                captioner.describe(SMALL, regions)
        assert backend.closed and not backend.passes


class TestOptions:
    @pytest.mark.parametrize("steps", [1, 3, None])
    def test_steps_are_the_callers_or_the_checkpoints(self, steps: int | None) -> None:
        backend = Writer()
        written(backend, steps=steps).describe(SMALL, [strip(0)])
        assert backend.passes == (steps or backend.config.denoising_steps)

    @pytest.mark.parametrize("tokens", [1, 11, np.uint8(11), None])
    def test_caption_tokens_are_the_callers_or_the_checkpoints(self, tokens: Any) -> None:
        backend = Writer()
        (caption,) = written(backend, caption_tokens=tokens).describe(SMALL, [strip(0)])
        assert len(caption.token_ids) == (tokens or backend.config.caption_tokens)

    def test_the_cache_mode_reaches_the_backend(self) -> None:
        backend = Writer()  # its prefix sees captions, as published
        for mode in ("auto", "exact", "prefix"):
            written(backend, cache=mode).describe(SMALL, [strip(0)])
        assert backend.caches == ["exact", "exact", "prefix"]

    @pytest.mark.parametrize(
        ("checkpoint", "given", "threshold"),
        [
            ({}, {}, None),
            ({}, {"decoding": "confidence"}, 0.9),
            ({"decoding": "confidence", "decoding_threshold": 0.8}, {}, 0.8),
            ({"decoding": "confidence"}, {"decoding_threshold": 1}, 1.0),
            ({"decoding": "confidence"}, {"decoding": "schedule"}, None),
        ],
    )
    def test_decoding_is_the_callers_or_the_checkpoints(
        self, checkpoint: dict[str, Any], given: dict[str, Any], threshold: float | None
    ) -> None:
        backend = Writer()
        backend.config = tiny_config(**checkpoint)
        written(backend, **given).describe(SMALL, [strip(0)])
        assert backend.thresholds == [threshold]

    def test_a_threshold_that_nothing_would_use_is_refused(self) -> None:
        for decoding in ("auto", "schedule"):
            with pytest.raises(InputError, match=r"threshold is 0.5, and decoding by schedule has"):
                written(Writer(), decoding=decoding, decoding_threshold=0.5)

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("decoding", "confident"),
            ("decoding", None),
            ("decoding_threshold", 0),
            ("decoding_threshold", 1.01),
            ("decoding_threshold", float("nan")),
            ("decoding_threshold", True),
            ("decoding_threshold", "0.9"),
            ("steps", 0),
            ("steps", -3),
            ("steps", 1025),
            ("steps", 2.0),
            ("steps", True),
            ("steps", "8"),
            ("caption_tokens", 0),
            ("caption_tokens", 513),
            ("caption_tokens", None.__class__),
            ("cache", "none"),
            ("cache", None),
        ],
    )
    def test_out_of_range(
        self, option: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(InputError, match=rf"^{option} is .*expected "):
            own_captioner(**{option: value})

        def loaded(*_: Any) -> None:
            pytest.fail("weights were loaded before the options were checked")

        monkeypatch.setattr(module, "load_backend", loaded)
        with pytest.raises(InputError, match=rf"^{option} is .*expected "):
            Captioner.load(tmp_path, **{option: value})

    @pytest.mark.parametrize("value", ["fp16", "BF16", "", None, 32])
    def test_a_precision_that_there_is_not(self, value: Any, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"^precision is .*expected one of auto, fp32, bf16"):
            Captioner.load(tmp_path, precision=value)

    @pytest.mark.parametrize("value", [-1, 1025, 2.0, True, "2", None])
    def test_a_number_of_threads_out_of_range(self, value: Any, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"^threads is .*expected "):
            Captioner.load(tmp_path, threads=value)

    @pytest.mark.parametrize(("option", "value"), [("backend", "jax"), ("device", "gpu")])
    def test_an_unknown_backend_or_device(self, option: str, value: str, folder: Path) -> None:
        with pytest.raises(BackendError, match=rf"{option} is '{value}'"):
            Captioner.load(folder, **{option: value})  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "my-checkpoint"
    path.mkdir()
    save_checkpoint(path)
    return path


class TestLoad:
    def test_the_signature_is_the_one_that_is_promised(self) -> None:
        parameters = inspect.signature(Captioner.load).parameters
        assert {name: p.default for name, p in parameters.items()} == {
            "path": None,
            "backend": "auto",
            "device": "auto",
            "steps": None,
            "caption_tokens": None,
            "cache": "auto",
            "decoding": "auto",
            "decoding_threshold": None,
            "threads": 0,
            "precision": "auto",
        }

    def test_a_folder(self, folder: Path) -> None:
        for path in (folder, str(folder), f"{folder}/"):
            captioner = Captioner.load(path, device="cpu")
            assert captioner.name == "my-checkpoint"
            assert "torch" in captioner.description
        assert len(captioner.describe(IMAGE, MASKS[:2])) == 2

    def test_no_path_is_the_packaged_checkpoint(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(locate, "DEFAULT_CHECKPOINT", folder)
        assert Captioner.load(device="cpu").name == "small"

    def test_options_are_kept(self, folder: Path) -> None:
        captioner = Captioner.load(folder, "torch", "cpu", 2, 9, "prefix")
        (caption,) = captioner.describe(IMAGE, MASKS[:1])
        assert len(caption.token_ids) == 9

    @pytest.mark.parametrize("left_out", ["config.json", "model.safetensors", "tokenizer.json"])
    def test_a_missing_file_is_named(self, folder: Path, left_out: str) -> None:
        (folder / left_out).unlink()
        with pytest.raises(CheckpointError) as caught:
            Captioner.load(folder, device="cpu")
        assert left_out in str(caught.value)

    def test_a_tokenizer_of_another_checkpoint(self, tmp_path: Path) -> None:
        language = {"vocab_size": 270, "hidden_size": 16, "num_attention_heads": 2}
        language |= {"intermediate_size": 16, "num_hidden_layers": 1}
        save_checkpoint(tmp_path, language_model_config=language)
        with pytest.raises(CheckpointError, match=r"tokenizer\.json .*vocab_size 270"):
            Captioner.load(tmp_path, device="cpu")

    def test_every_error_has_one_base(self) -> None:
        for error in (InputError, CheckpointError, BackendError):
            assert issubclass(error, PerceptionDLMError)


class TestDrafts:
    @staticmethod
    def drafts(
        draft_steps: int | None, regions: int = 7, **options: Any
    ) -> tuple[list[Caption], dict[int, Any]]:
        """The captions of own weights, and the drafts by region."""
        seen: dict[int, Any] = {}
        found = own_captioner(steps=6, **options).describe(
            picture(HEIGHT, WIDTH), MASKS[:regions], draft_steps=draft_steps, on_draft=seen.update
        )
        return found, seen

    def test_a_draft_is_what_a_pass_of_fewer_steps_has_so_far(self) -> None:
        found, seen = self.drafts(5)
        assert sorted(seen) == list(range(7))
        mask = tiny_tokenizer().mask_id
        for index, draft in seen.items():
            assert len(draft.token_ids) == len(found[index].token_ids)
            assert mask not in draft.token_ids and 0 <= draft.confidence <= 1
        early = self.drafts(1)[1]
        assert any(early[i].token_ids != found[i].token_ids for i in early), "steps refine"
        agreeing = [
            sum(
                a == b
                for index in of
                for a, b in zip(of[index].token_ids, found[index].token_ids, strict=True)
            )
            for of in (early, seen)
        ]
        assert agreeing[0] < agreeing[1], "later drafts are nearer to the captions"

    def test_a_draft_changes_no_caption(self) -> None:
        assert self.drafts(2)[0] == self.drafts(None)[0]

    @pytest.mark.parametrize("draft_steps", [None, 6, 7])
    def test_none_comes_where_the_captions_are_as_early(self, draft_steps: int | None) -> None:
        assert self.drafts(draft_steps)[1] == {}

    def test_under_a_threshold_they_keep_what_the_captions_keep_and_end_with_the_pass(self) -> None:
        found, early = self.drafts(1, **CONFIDENCE)
        assert early and self.drafts(None, **CONFIDENCE)[0] == found
        for index, draft in early.items():
            sure = [
                a for a, b in zip(draft.token_ids, found[index].token_ids, strict=True) if a == b
            ]
            assert sure, "what was kept after a step stays"
        last = max(caption.steps for caption in found)
        assert 1 < last <= 6 and self.drafts(last, **CONFIDENCE)[1] == {}

    @pytest.mark.parametrize("draft_steps", [0, -1, 1025, 1.5, True])
    def test_other_numbers_are_refused(self, draft_steps: Any) -> None:
        with pytest.raises(InputError, match="draft_steps is"):
            self.drafts(draft_steps)

    def test_all_of_very_many_regions_are_drafted(self) -> None:
        assert sorted(self.drafts(2, regions=14)[1]) == list(range(14))

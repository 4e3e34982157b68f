"""Captions for regions of an image: the package's public API.

`Captioner.load().describe(image, [(40, 30, 200, 180), mask])` gives a caption for each region.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from perceptiondlm_ros.errors import BackendError, InputError
from perceptiondlm_ros.model.contract import MOST_GROUPS, MOST_STEPS, MOST_THREADS
from perceptiondlm_ros.pixel_boxes import Box as Box
from perceptiondlm_ros.processing.boundary import (
    check_count,
    check_image,
    check_options,
    check_regions,
)
from perceptiondlm_ros.processing.model_inputs import group_regions, prepare_inputs
from perceptiondlm_ros.processing.regions import Region
from perceptiondlm_ros.processing.sequence import DEFAULT_PROMPT
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer
from perceptiondlm_ros.runtime.backend import Backend, DenoisingState, Session
from perceptiondlm_ros.runtime.denoising import denoise
from perceptiondlm_ros.runtime.loading import (
    check_cache,
    check_decoding,
    check_precision,
    choose_cache,
    choose_threshold,
    load_backend,
    own_prompt,
)
from perceptiondlm_ros.runtime.locate import checkpoint_name, locate_checkpoint

RegionShape = Box | Sequence[float] | NDArray[np.bool_] | NDArray[np.float32]
"""A boolean mask [H, W], or a box of four numbers."""


@dataclass(frozen=True)
class Caption:
    """What the model says of one region.

    Attributes:
        text: the caption, may be empty. Special tokens are left out, also the mask token where the
            model says it itself.
        confidence: mean probability of the tokens up to the text's end, those left out as well, at
            the step that set them, in [0, 1].
            Uncalibrated: a number to compare captions of one checkpoint with, not a likelihood of
            being right.
        token_ids: all M raw tokens of the region's block, its end and padding included.
        truncated: whether the caption was cut off by the number of caption tokens.
        steps: denoising steps that it took, with the others of its group; 0 is unknown.
    """

    text: str
    confidence: float
    token_ids: list[int]
    truncated: bool
    steps: int = 0


class Captioner:
    """A loaded model. Calls of `describe` don't change it, and may come from any thread.

    `close` gives its memory back, for a process that goes on without it.

    Attributes:
        name: the checkpoint's name.
        description: the backend, its device and precision.
    """

    def __init__(
        self,
        backend: Backend,
        tokenizer: CaptionTokenizer,
        *,
        name: str,
        steps: int | None = None,
        caption_tokens: int | None = None,
        cache: str = "auto",
        decoding: str = "auto",
        decoding_threshold: float | None = None,
        prompt: str | None = None,
    ) -> None:
        config = backend.config
        self.name = name
        self.description = backend.description
        self._backend, self._tokenizer = backend, tokenizer
        self._closed = False
        check_options(steps, caption_tokens)
        tokenizer.check_fits(config)
        self._steps = config.denoising_steps if steps is None else int(steps)
        tokens = config.caption_tokens if caption_tokens is None else caption_tokens
        self._caption_tokens = int(tokens)
        self._cache = choose_cache(cache, config)
        self._threshold = choose_threshold(decoding, decoding_threshold, config)
        self._prompt = DEFAULT_PROMPT if prompt is None else prompt

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        backend: str = "auto",
        device: str = "auto",
        steps: int | None = None,
        caption_tokens: int | None = None,
        cache: str = "auto",
        decoding: str = "auto",
        decoding_threshold: float | None = None,
        threads: int = 0,
        precision: str = "auto",
    ) -> Captioner:
        """Load a checkpoint or an exported model.

        Args:
            path: a checkpoint folder in the published layout, a folder that `perceptiondlm export`
                wrote, or a hub id such as `MSALab/PerceptionDLM`; None is the packaged small
                checkpoint.
            backend: `torch` for a checkpoint, `onnx` or `tensorrt` for an exported model, `onnx`
                for the packaged checkpoint too; `auto` is the fastest that is here.
            device: `auto`, `cpu`, `cuda` or `cuda:N`.
            steps: denoising steps, at most, 1 to 1024; None is what the checkpoint is meant for.
            caption_tokens: tokens of a caption, 1 to 512; None as above.
            cache: `exact` recomputes everything at every step; `prefix` keeps keys and values of
                the prefix; `auto` is `prefix` where that changes nothing.
            decoding: `schedule` takes all steps, and masks again after each as many tokens as the
                published code does; `confidence` keeps each token that has a probability of
                `decoding_threshold`, at least one a step, and so many of the surest that no more
                are masked than by the schedule; it ends when all are kept. `auto` is what the
                checkpoint is meant for.
            decoding_threshold: above 0 and up to 1; None is the checkpoint's own.
            threads: that compute on a CPU, up to 1024; 0 is as many as the process may use and the
                model has work for. With torch and several of them, set OMP_WAIT_POLICY=PASSIVE
                before it is imported: beside other busy processes its threads are in each other's
                way else, see the README.
            precision: `fp32` or `bf16`; `auto` is fp32 on a CPU and bf16 on a GPU. An exported
                model has its own, and takes no other.

        Raises:
            CheckpointError: files are missing, damaged, or don't fit each other.
            BackendError: the backend or device isn't available, or has too little memory.
            InputError: an option is out of its range.
        """
        check_options(steps, caption_tokens)
        check_cache(cache)
        check_decoding(decoding, decoding_threshold)
        if threads != 0:
            check_count("threads", threads, MOST_THREADS)
        check_precision(precision)
        folder = locate_checkpoint(path)
        loaded = load_backend(folder, backend, device, threads, precision)
        return cls(
            loaded,
            CaptionTokenizer(folder, loaded.config.slots),
            name=checkpoint_name(path),
            steps=steps,
            caption_tokens=caption_tokens,
            cache=cache,
            decoding=decoding,
            decoding_threshold=decoding_threshold,
            prompt=own_prompt(folder),
        )

    def describe(
        self,
        image: NDArray[np.uint8],
        regions: Sequence[RegionShape],
        prompt: str | None = None,
        *,
        draft_steps: int | None = None,
        on_draft: Callable[[dict[int, Caption]], None] | None = None,
    ) -> list[Caption]:
        """Caption all regions in one parallel denoising pass.

        Args:
            image: uint8 [H, W, 3] RGB; grey and RGBA are converted.
            regions: boolean masks [H, W] and boxes (x0, y0, x1, y1) in pixels, any number. More
                than the checkpoint's slots run as several groups in one batch. Captions of a
                group are not independent: its regions share the vision pass. What of a box lies
                outside the image is cut off without a word; one that is outside is refused.
            prompt: what to ask, in the checkpoint's language; None is its usual prompt.
            draft_steps: denoising steps, 1 to 1024, after which `on_draft` is called with the
                captions as they stand, what is masked again as that step predicts it; not where
                the pass ends by then.
            on_draft: takes drafts by the index of their region. With very many regions it is called
                for some of them at a time, while the others wait. It is called from the thread of
                this call, which goes on when it returns.

        Returns:
            A caption a region, in the caller's order; none for no regions.

        Raises:
            InputError: names what can't be used, a region by its index.
            BackendError: the device failed while running, or `close` was called.
        """
        if self._closed:
            raise BackendError(f"{self.name} was closed, expected an open one; load it again")
        pixels = check_image(image)
        found = check_regions(regions, *pixels.shape[:2])
        if prompt is not None and not isinstance(prompt, str):
            raise InputError(f"prompt is a {type(prompt).__name__}, expected text or None")
        if draft_steps is not None:
            check_count("draft_steps", draft_steps, MOST_STEPS)
        captions: dict[int, Caption] = {}
        groups = group_regions(found, self._backend.config.slots)
        for first in range(0, len(groups), MOST_GROUPS):
            batch = groups[first : first + MOST_GROUPS]
            session = self._start(pixels, [[found[i] for i in group] for group in batch], prompt)
            watchers = {}
            if draft_steps is not None and on_draft is not None:
                watchers[draft_steps] = partial(self._draft, batch, on_draft)
            captions.update(self._captions(batch, denoise(session, watchers)))
        return [captions[index] for index in range(len(found))]

    def check_prompt(self, prompt: str) -> None:
        """Raise InputError for a prompt that `describe` can't take."""
        self._tokenizer.encode_prompt(prompt)

    def close(self) -> None:
        """Free the model, on a CUDA device also for other processes; twice is as good as once.

        `describe` raises BackendError from then on. Call it when none runs: memory that one still
        uses is freed when it ends, but only for this process.
        """
        self._closed = True
        self._backend.close()

    def _start(
        self,
        image: NDArray[np.uint8],
        groups: list[list[Region]],
        prompt: str | None,
    ) -> Session:
        inputs = prepare_inputs(
            image,
            groups,
            config=self._backend.config,
            tokenizer=self._tokenizer,
            prompt=self._prompt if prompt is None else prompt,
            caption_tokens=self._caption_tokens,
            buckets=self._backend.buckets,
        )
        return self._backend.start(inputs, self._cache, self._steps, self._threshold)

    def _draft(
        self,
        groups: list[list[int]],
        on_draft: Callable[[dict[int, Caption]], None],
        state: DenoisingState,
    ) -> None:
        if state.masked.any():
            on_draft(dict(self._captions(groups, state.filled())))

    def _captions(
        self, groups: list[list[int]], denoised: DenoisingState
    ) -> Iterator[tuple[int, Caption]]:
        """The caller's index of each region, and its caption."""
        for group, tokens, probabilities, steps in zip(
            groups, denoised.token_ids, denoised.confidence, denoised.steps.tolist(), strict=True
        ):
            for index, ids, of_ids in zip(group, tokens, probabilities, strict=False):
                text, length, truncated = self._tokenizer.decode_caption(ids.tolist())
                confidence = float(of_ids[: max(length, 1)].mean())
                yield index, Caption(text, min(confidence, 1.0), ids.tolist(), truncated, steps)

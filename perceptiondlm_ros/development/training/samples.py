"""Training samples: rendered scenes as the model's inputs, with the tokens of their captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from perceptiondlm_ros.development.scenes.render import render
from perceptiondlm_ros.development.scenes.sample import MAX_OBJECTS, TRAINING_SEEDS, sample_scene
from perceptiondlm_ros.development.scenes.scene import captions
from perceptiondlm_ros.development.training.vision_task import vision_labels
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.contract import IntArray, SequenceLayout
from perceptiondlm_ros.processing.model_inputs import prepare_inputs
from perceptiondlm_ros.processing.regions import Region, order_by_area
from perceptiondlm_ros.processing.sequence import DEFAULT_PROMPT
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer

CAMERAS = ((640, 360), (480, 480), (640, 480))
"""Width and height in pixels; a quarter of the samples."""

QUICK = ((456, 256), (256, 256), (342, 256))
"""The same shapes at the size of a tile, which are drawn in half the time; the others."""


@dataclass(frozen=True)
class Batch:
    """Samples of one image size and one number of regions; shapes as in `model.contract`.

    Attributes:
        tiles: uint8 [B, T, 3, S, S], 0 to 255.
        patch_masks: bool [B, N, T, P, P].
        roi_matrix: float32 [B, N, R, T*C].
        token_ids: int64 [B, L], captions masked.
        caption_ids: int64 [B, N, M], the truth.
        labels: int64 [B, N, 9], see `vision_labels`.
        layout: places in the sequence.
    """

    tiles: Tensor
    patch_masks: Tensor
    roi_matrix: Tensor
    token_ids: Tensor
    caption_ids: Tensor
    labels: Tensor
    layout: SequenceLayout

    def to(self, device: torch.device) -> Batch:
        """The batch with its tensors on the device."""
        moved: dict[str, Any] = {name: getattr(self, name).to(device) for name in _TENSORS}
        return replace(self, **moved)


_TENSORS = ("tiles", "patch_masks", "roi_matrix", "token_ids", "caption_ids", "labels")


class SceneBatches(IterableDataset[Batch]):
    """An endless stream of batches.

    Args:
        start: index of the first batch; the same index gives the same batch.
        size: samples of a batch.
    """

    def __init__(
        self, config: ModelConfig, tokenizer: CaptionTokenizer, *, start: int, size: int
    ) -> None:
        super().__init__()
        self._config, self._tokenizer = config, tokenizer
        self._start, self._size = start, size

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        first, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        index = self._start + first
        while True:
            yield self.batch(index)
            index += stride

    def batch(self, index: int) -> Batch:
        """The batch of this index."""
        rng = np.random.default_rng([index, 2])
        slots = self._config.slots
        regions = slots if rng.random() < 0.6 else int(rng.integers(1, slots))
        samples = [
            self._sample(TRAINING_SEEDS[index * self._size + k], regions, rng)
            for k in range(self._size)
        ]
        return collate(samples)

    def _sample(self, seed: int, regions: int, rng: np.random.Generator) -> Batch:
        width, height = (CAMERAS if rng.random() < 0.25 else QUICK)[rng.integers(3)]
        count = int(rng.integers(regions, MAX_OBJECTS + 1))
        scene = sample_scene(seed, size=(width, height), objects=count)
        drawn = render(scene, masks=False)
        chosen = rng.permutation(count)[:regions]
        jitter = rng.normal(0.0, 0.02, (regions, 4)).astype(np.float32)
        boxes = drawn.boxes[chosen]
        sides = (boxes[:, 2:] - boxes[:, :2])[:, [0, 1, 0, 1]]
        shapes = [Region.of_box(tuple(box), height, width) for box in boxes + jitter * sides]
        order = order_by_area(shapes)
        inputs = prepare_inputs(
            drawn.image,
            [[shapes[i] for i in order]],
            config=self._config,
            tokenizer=self._tokenizer,
            prompt=DEFAULT_PROMPT,
            caption_tokens=self._config.caption_tokens,
        )
        texts = captions(scene)
        truth = [
            caption_ids(self._tokenizer, texts[chosen[i]][0], self._config.caption_tokens)
            for i in order
        ]
        return Batch(
            tiles=torch.from_numpy(np.rint((inputs.tiles + 1) * 127.5).astype(np.uint8))[None],
            patch_masks=torch.from_numpy(inputs.patch_masks),
            roi_matrix=torch.from_numpy(inputs.roi_matrix),
            token_ids=torch.from_numpy(inputs.token_ids),
            caption_ids=torch.from_numpy(np.stack(truth))[None],
            labels=torch.tensor([[vision_labels(texts[chosen[i]][0]) for i in order]]),
            layout=inputs.layout,
        )


class Pool:
    """Batches that are kept and used again, since drawing a scene costs more than a step.

    Args:
        fresh: where new batches come from.
        reuse: how often a batch is used on average.
        size: how many batches are kept.
        seed: of the choice among them.
    """

    def __init__(self, fresh: Iterator[Batch], *, reuse: int, size: int, seed: int) -> None:
        self._fresh, self._reuse, self._size = fresh, reuse, size
        self._kept: list[Batch] = []
        self._rng = np.random.default_rng(seed)

    def next(self) -> Batch:
        """A new batch, or one that was kept."""
        place = int(self._rng.integers(self._size))
        if self._kept and self._rng.random() >= 1.0 / self._reuse:
            return self._kept[place % len(self._kept)]
        batch = next(self._fresh)
        if len(self._kept) < self._size:
            self._kept.append(batch)
        else:
            self._kept[place] = batch
        return batch


def caption_ids(tokenizer: CaptionTokenizer, text: str, length: int) -> IntArray:
    """Tokens of a caption, padded with end tokens, int64 [M]."""
    ids = tokenizer.encode(text)
    return np.array(ids + [tokenizer.end_of_turn_id] * (length - len(ids)), dtype=np.int64)


def collate(samples: list[Batch]) -> Batch:
    """One batch of several that have the same layout."""
    joined: dict[str, Any] = {
        name: torch.cat([getattr(sample, name) for sample in samples]) for name in _TENSORS
    }
    return replace(samples[0], **joined)

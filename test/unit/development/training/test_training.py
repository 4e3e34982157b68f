"""A training run in small: it learns, it survives interruption, and what it writes loads."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.scenes.vocabulary import (
    RELATIONS,
    WORDS,
    Attributes,
    compose_caption,
    parse_caption,
)
from perceptiondlm_ros.development.training.objective import masked_diffusion_loss, see
from perceptiondlm_ros.development.training.optimisation import learning_rate_scale
from perceptiondlm_ros.development.training.samples import Batch, Pool, SceneBatches, caption_ids
from perceptiondlm_ros.development.training.train import STATE, TrainingOptions, TrainingRun
from perceptiondlm_ros.development.training.vision_task import CHOICES, UNKNOWN, vision_labels
from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.processing.sequence import DEFAULT_PROMPT

OPTIONS = TrainingOptions(Path(), minutes=0.02, batch_size=2, workers=0)


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """A run that nothing may change."""
    return TrainingRun(replace(OPTIONS, output=tmp_path_factory.mktemp("beginning")))


@pytest.fixture(scope="module")
def batch(beginning: TrainingRun) -> Batch:
    return SceneBatches(beginning.config, beginning.tokenizer, start=0, size=2).batch(0)


def test_every_word_of_a_caption_is_one_token_and_the_prompt_is_words(
    beginning: TrainingRun,
) -> None:
    for word in (*(word for words in WORDS for word in words), *RELATIONS):
        assert len(beginning.tokenizer.encode(f" {word}")) == len(word.split()), word
    prompt = beginning.tokenizer.encode_prompt(DEFAULT_PROMPT)
    assert len(prompt) <= len(DEFAULT_PROMPT.split()) + 2


def test_captions_fit_and_come_back(beginning: TrainingRun) -> None:
    one = Attributes("medium", "checkered", "purple", "crescent")
    for text in (compose_caption(one, "right of", one), compose_caption(one)):
        ids = caption_ids(beginning.tokenizer, text, beginning.config.caption_tokens)
        assert beginning.tokenizer.decode_caption(ids.tolist())[::2] == (text, False)


def test_batches_are_repeatable_and_hold_captions_of_the_grammar(
    beginning: TrainingRun, batch: Batch
) -> None:
    again = SceneBatches(beginning.config, beginning.tokenizer, start=0, size=2).batch(0)
    assert torch.equal(batch.tiles, again.tiles)
    assert torch.equal(batch.caption_ids, again.caption_ids)
    for ids in batch.caption_ids.flatten(0, 1).tolist():
        text, _, truncated = beginning.tokenizer.decode_caption(ids)
        assert parse_caption(text) is not None and not truncated, text


def test_labels_name_the_words_of_the_caption() -> None:
    labels = vision_labels("a small plain red circle, above a large dotted blue star")
    words = [choices[i] for choices, i in zip(CHOICES, labels, strict=True)]
    expected = ["small", "plain", "red", "circle", "above", "large", "dotted", "blue", "star"]
    assert words == expected
    assert vision_labels("a small plain red circle, alone")[5:] == [UNKNOWN] * 4


def test_loss_is_even_over_mask_ratios(beginning: TrainingRun, batch: Batch) -> None:
    """With equal logits every token costs log V, whatever the mask ratio: weights 1/t are right."""
    model = copy.deepcopy(beginning.model)
    with torch.no_grad():
        model.language.lm_head.weight.zero_()
        features = see(model, batch)
        losses = [
            masked_diffusion_loss(
                model,
                batch,
                features,
                mask_id=beginning.tokenizer.mask_id,
                copies=8,
                generator=torch.Generator().manual_seed(seed),
            ).loss.item()
            for seed in range(8)
        ]
    assert np.mean(losses) == pytest.approx(np.log(model.config.language.vocab_size), rel=0.1)


def test_steps_on_one_batch_lower_its_loss(batch: Batch, tmp_path: Path) -> None:
    run = TrainingRun(replace(OPTIONS, output=tmp_path))
    run.seconds = 60.0 * run.options.minutes * 0.5  # past the time of the vision tower alone
    for _ in range(16):
        run.train_step(batch)
    losses = [loss for _, loss, _, _ in run.history]
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_an_interrupted_run_goes_on_where_it_was_and_ends_with_a_checkpoint(
    batch: Batch, tmp_path: Path
) -> None:
    run = TrainingRun(replace(OPTIONS, output=tmp_path))
    run.train_step(batch)
    run.seconds = 1.0
    run.save()
    again = TrainingRun(run.options)
    assert (again.seconds, again.history) == (1.0, run.history)
    for mine, theirs in zip(run.learner.parameters(), again.learner.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    run.train_step(batch)
    again.train_step(batch)
    assert again.history[-1] == run.history[-1]
    for mine, theirs in zip(run.average.parameters(), again.average.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    again.train()
    assert again.progress == 1.0
    assert (tmp_path / "training.png").stat().st_size > 10_000
    captioner = Captioner.load(tmp_path, device="cpu")
    (caption,) = captioner.describe(np.zeros((64, 64, 3), np.uint8), [(8, 8, 40, 40)])
    assert len(caption.token_ids) == run.config.caption_tokens


def test_a_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / STATE).write_bytes(b"no state")
    with pytest.raises(CheckpointError, match=STATE):
        TrainingRun(replace(OPTIONS, output=tmp_path))


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    assert learning_rate_scale(0, 0.0) < 0.01
    assert learning_rate_scale(10_000, 0.0) == 1.0
    assert learning_rate_scale(10_000, 1.0) == pytest.approx(0.0)


def test_pool_uses_batches_several_times() -> None:
    drawn = iter(range(10_000))
    pool: Pool = Pool(drawn, reuse=4, size=50, seed=1)  # type: ignore[arg-type]
    seen = [pool.next() for _ in range(2_000)]
    assert len(set(seen)) == pytest.approx(500, rel=0.2)

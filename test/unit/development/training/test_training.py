"""A training run in small: it learns, it survives interruption, and what it writes loads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perceptiondlm_ros.captioner import Captioner
from perceptiondlm_ros.development.scenes.vocabulary import parse_caption
from perceptiondlm_ros.development.training.objective import masked_diffusion_loss, see
from perceptiondlm_ros.development.training.optimisation import learning_rate_scale
from perceptiondlm_ros.development.training.samples import Batch, Pool, SceneBatches
from perceptiondlm_ros.development.training.train import STATE, Options, Run
from perceptiondlm_ros.development.training.vision_task import CHOICES, UNKNOWN, vision_labels
from perceptiondlm_ros.errors import CheckpointError

OPTIONS = Options(Path(), minutes=0.05, vision_share=0.3, batch_size=2, workers=0, device="cpu")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(replace(OPTIONS, output=tmp_path))


@pytest.fixture
def batch(run: Run) -> Batch:
    return SceneBatches(run.config, run.tokenizer, start=0, size=2).batch(0)


def test_batches_are_repeatable(run: Run, batch: Batch) -> None:
    again = SceneBatches(run.config, run.tokenizer, start=0, size=2).batch(0)
    assert torch.equal(batch.tiles, again.tiles)
    assert torch.equal(batch.caption_ids, again.caption_ids)


def test_batches_hold_captions_of_the_grammar(run: Run, batch: Batch) -> None:
    for ids in batch.caption_ids.flatten(0, 1).tolist():
        text, _, truncated = run.tokenizer.decode_caption(ids)
        assert parse_caption(text) is not None, text
        assert not truncated


def test_labels_name_the_words_of_the_caption() -> None:
    labels = vision_labels("a small plain red circle, above a large dotted blue star")
    words = [choices[i] for choices, i in zip(CHOICES, labels, strict=True)]
    expected = ["small", "plain", "red", "circle", "above", "large", "dotted", "blue", "star"]
    assert words == expected
    assert vision_labels("a small plain red circle, alone")[5:] == [UNKNOWN] * 4


def test_loss_is_even_over_mask_ratios(run: Run, batch: Batch) -> None:
    """With equal logits every token costs log V, whatever the mask ratio: weights 1/t are right."""
    with torch.no_grad():
        run.model.language.lm_head.weight.zero_()
        losses = [
            masked_diffusion_loss(
                run.model,
                batch,
                see(run.model, batch),
                mask_id=run.tokenizer.mask_id,
                copies=8,
                generator=torch.Generator().manual_seed(seed),
            ).loss.item()
            for seed in range(8)
        ]
    assert np.mean(losses) == pytest.approx(np.log(run.config.language.vocab_size), rel=0.1)


def test_steps_on_one_batch_lower_its_loss(run: Run, batch: Batch) -> None:
    run.seconds = 60.0 * run.options.minutes * 0.5  # past the time of the vision tower alone
    for _ in range(30):
        run._train_step(batch)
    losses = [row[2] for row in run.history.rows]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_a_run_writes_a_plot_and_a_checkpoint_that_loads(run: Run) -> None:
    run.train()
    assert run.progress == 1.0
    output = run.options.output
    assert (output / "training.png").stat().st_size > 10_000
    captioner = Captioner.load(output, device="cpu")
    (caption,) = captioner.describe(np.zeros((64, 64, 3), np.uint8), [(8, 8, 40, 40)])
    assert len(caption.token_ids) == run.config.caption_tokens


def test_an_interrupted_run_goes_on_where_it_was(run: Run, batch: Batch) -> None:
    run._train_step(batch)
    run.seconds = 1.0
    run.save()
    again = Run(run.options)
    assert (again.step, again.seconds) == (1, 1.0)
    assert again.history.rows == run.history.rows
    for mine, theirs in zip(run.learner.parameters(), again.learner.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    run._train_step(batch)
    again._train_step(batch)
    assert again.history.rows[-1][2] == run.history.rows[-1][2]


def test_a_damaged_state_is_named(run: Run) -> None:
    (run.options.output / STATE).write_bytes(b"no state")
    with pytest.raises(CheckpointError, match=STATE):
        Run(run.options)


def test_learning_rate_warms_up_and_ends_at_zero() -> None:
    assert learning_rate_scale(0, 0.0) < 0.01
    assert learning_rate_scale(10_000, 0.0) == 1.0
    assert learning_rate_scale(10_000, 1.0) == pytest.approx(0.0)


def test_pool_uses_batches_several_times() -> None:
    drawn = iter(range(10_000))
    pool: Pool = Pool(drawn, reuse=4, size=50, seed=1)  # type: ignore[arg-type]
    seen = [pool.next() for _ in range(2_000)]
    assert len(set(seen)) == pytest.approx(500, rel=0.2)

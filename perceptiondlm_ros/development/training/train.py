"""Train the small checkpoint from nothing, on a CPU or a GPU, with one command.

python -m perceptiondlm_ros.development.training.train [OUTPUT] [--minutes 90]

The learning rate follows the time spent, so that a run ends well whatever the machine's speed.
The run can be interrupted and started again with the same command: it goes on from the last saved
state. OUTPUT then holds a checkpoint in the published layout and `training.png`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call
from torch.utils.data import DataLoader

from perceptiondlm_ros.development.checkpoint_files import copy_description
from perceptiondlm_ros.development.plotting import BLUE, ORANGE, finish, new_figure
from perceptiondlm_ros.development.training.objective import Loss, masked_diffusion_loss, see
from perceptiondlm_ros.development.training.optimisation import Optimisers, average_of, initialise
from perceptiondlm_ros.development.training.samples import Batch, Pool, SceneBatches
from perceptiondlm_ros.development.training.vision_task import VisionTask
from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.checkpoint import save_model
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.model.published import WEIGHTS
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer
from perceptiondlm_ros.terminal import Progress

STATE = "training_state.pt"

POOL = 500
"""Batches that are kept for reuse, 6 MB each."""

REUSE = 3
"""How often a rendered batch is used on average."""

COPIES = 2
"""Noised copies of the captions that share a prefix."""

VISION_SHARE = 0.46
"""Of the time, in which the vision tower learns alone, see `vision_task`."""

VISION_WEIGHT = 0.3
"""Of the vision task beside the captions."""

LEARNING_RATE = 2e-3
"""The highest, reached after the warm-up."""

SAVE_S = 300.0
"""Time between two saved states."""

_WITH_STATE = ("learner", "average", "optimisers")
_RECENT = 50
"""Steps over which the loss is averaged for people."""


@dataclass(frozen=True)
class TrainingOptions:
    """What a run can be told.

    Attributes:
        output: folder of the checkpoint; holds the state of the run too.
        minutes: time to spend in all, interruptions not counted.
        batch_size: samples of a step.
        workers: processes that render scenes.
        device: `cpu` or `cuda`.
        seed: of everything random.
    """

    output: Path
    minutes: float = 90.0
    batch_size: int = 32
    workers: int = 2
    device: str = "cpu"
    seed: int = 1


class Learner(nn.Module):
    """The model and the heads that teach its vision tower, with both losses."""

    def __init__(self, model: PerceptionDLM, mask_id: int) -> None:
        super().__init__()
        self.model = model
        self.task = VisionTask(model.config.vision.hidden_size)
        self._mask_id = mask_id

    def forward(self, batch: Batch, noise: torch.Generator, vision_alone: bool) -> Loss:
        """The loss to descend; its accuracy is that of the captions, or of the vision alone."""
        features = see(self.model, batch)
        vision_loss, accuracy = self.task(features, batch.patch_masks, batch.labels)
        if vision_alone:
            return Loss(vision_loss, accuracy)
        captions = masked_diffusion_loss(
            self.model, batch, features, mask_id=self._mask_id, copies=COPIES, generator=noise
        )
        return Loss(captions.loss + VISION_WEIGHT * vision_loss, captions.accuracy)


class TrainingRun:
    """A training run with everything that must survive an interruption.

    Attributes:
        history: of each step the minutes until then, the loss, the accuracy on masked tokens, and
            the learning rate.

    Raises:
        CheckpointError: the folder holds a state of a run that can't be read.
    """

    def __init__(self, options: TrainingOptions) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.device = torch.device(options.device)
        self.config = copy_description(options.output)
        self.tokenizer = CaptionTokenizer(options.output, self.config.slots)
        self.model = PerceptionDLM(self.config)
        initialise(self.model)
        self.learner = Learner(self.model, self.tokenizer.mask_id).to(self.device)
        self.average = average_of(self.model)
        self.optimisers = Optimisers(self.learner, LEARNING_RATE)
        self.noise = torch.Generator().manual_seed(options.seed)
        self.history: list[tuple[float, float, float, float]] = []
        self.seconds = 0.0
        if (options.output / STATE).is_file():
            self._resume()

    @property
    def progress(self) -> float:
        """Share of the time that is spent, in [0, 1]."""
        return min(1.0, self.seconds / (60.0 * self.options.minutes))

    def train(self) -> None:
        """Learn until the time is spent, saving the state now and then."""
        batches = self._batches()
        saved = time.monotonic()
        with Progress("training", self.options.minutes, "minutes") as progress:
            progress.advance(self.seconds / 60.0)
            while self.progress < 1.0:
                started = time.monotonic()
                self.train_step(batches.next())
                now = time.monotonic()
                self.seconds += now - started
                progress.advance((now - started) / 60.0)
                loss, accuracy = np.mean([row[1:3] for row in self.history[-_RECENT:]], axis=0)
                step = len(self.history)
                progress.now(f"step {step}, loss {loss:.3f}, accuracy {accuracy:.1%}")
                if now - saved > SAVE_S:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def train_step(self, batch: Batch) -> None:
        """Learn from one batch."""
        # Computed in bfloat16 throughout, with weights and their steps kept in float32.
        weights = {name: value.bfloat16() for name, value in self.learner.named_parameters()}
        vision_alone = self.progress < VISION_SHARE
        result: Loss = functional_call(
            self.learner, weights, (batch.to(self.device), self.noise, vision_alone)
        )
        result.loss.backward()
        rate = self.optimisers.step(len(self.history), self.progress)
        self.average.update_parameters(self.model)
        self.history.append((self.seconds / 60.0, result.loss.item(), result.accuracy.item(), rate))

    def save(self) -> None:
        """Write the averaged weights, the state to go on from, and the plot."""
        output = self.options.output
        averaged: Any = self.average.module
        save_model(averaged, output / WEIGHTS, dtype=torch.float16)
        state = {
            **{name: getattr(self, name).state_dict() for name in _WITH_STATE},
            "noise": self.noise.get_state(),
            "history": self.history,
            "seconds": self.seconds,
        }
        partial = output / (STATE + ".partial")
        torch.save(state, partial)
        partial.replace(output / STATE)
        _plot(self.history, output / "training.png")

    def _batches(self) -> Pool:
        step, workers = len(self.history), self.options.workers
        stream = SceneBatches(self.config, self.tokenizer, start=step, size=self.options.batch_size)
        loader: DataLoader[Batch] = DataLoader(
            stream,
            batch_size=None,
            num_workers=workers,
            prefetch_factor=6 if workers else None,
            worker_init_fn=_yield_cores,
        )
        return Pool(iter(loader), reuse=REUSE, size=POOL, seed=step)

    def _resume(self) -> None:
        path = self.options.output / STATE
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            for name in _WITH_STATE:
                getattr(self, name).load_state_dict(state[name])
            self.noise.set_state(state["noise"])
            self.history, self.seconds = state["history"], state["seconds"]
        except Exception as error:
            raise CheckpointError(
                f"{path} can't be resumed ({error}); remove it to start anew"
            ) from error


def _plot(history: list[tuple[float, float, float, float]], path: Path) -> None:
    """Write loss and accuracy against minutes as PNG."""
    minutes, loss, accuracy, rate = np.array(history).T
    figure = new_figure(9, 5)
    left = figure.subplots()
    right = left.twinx()
    left.plot(minutes, loss, color="#b8cbe6", linewidth=0.5)
    left.plot(minutes, _smooth(loss), color=BLUE, label="loss a token")
    left.plot([], color=ORANGE, label="accuracy on masked tokens")  # for the one legend
    right.plot(minutes, 100 * _smooth(accuracy), color=ORANGE)
    right.set(ylabel="accuracy, %", ylim=(0, 100))
    title = f"{len(minutes)} steps, highest learning rate {rate.max():.1e}"
    finish(left, xlabel="minutes of training", ylabel="loss a token", yscale="log", title=title)
    figure.savefig(path, dpi=120)


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean over the last steps at each step."""
    sums = np.cumsum(np.concatenate(([0.0], values)))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - _RECENT, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _yield_cores(worker: int) -> None:
    """Let the training go first where cores are few: one preempted thread stalls all of them."""
    os.nice(19)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or go on with a training."""
    parser = argparse.ArgumentParser(
        prog="train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    output = Path("training_output")
    parser.add_argument(
        "output", type=Path, nargs="?", default=output, help=f"folder of the checkpoint ({output})"
    )
    parser.add_argument("--minutes", type=float, default=90.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    TrainingRun(TrainingOptions(**vars(parser.parse_args(arguments)))).train()


if __name__ == "__main__":
    main()

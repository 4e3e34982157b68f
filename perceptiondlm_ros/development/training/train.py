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

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.data import DataLoader
from tqdm import tqdm

from perceptiondlm_ros.development.training.objective import Loss, masked_diffusion_loss, see
from perceptiondlm_ros.development.training.optimisation import Average, Optimisers, initialise
from perceptiondlm_ros.development.training.progress import History
from perceptiondlm_ros.development.training.recipe import write_description
from perceptiondlm_ros.development.training.samples import Batch, Pool, SceneBatches
from perceptiondlm_ros.development.training.vision_task import VisionTask
from perceptiondlm_ros.errors import CheckpointError
from perceptiondlm_ros.model.checkpoint import load_model, save_model
from perceptiondlm_ros.model.config import ModelConfig
from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM
from perceptiondlm_ros.model.published import WEIGHTS
from perceptiondlm_ros.processing.tokenizer import CaptionTokenizer

STATE = "training_state.pt"

POOL = 500
"""Batches that are kept for reuse, 6 MB each."""

VISION_WEIGHT = 0.3
"""Of the vision task beside the captions."""


@dataclass(frozen=True)
class Options:
    """Attributes:
    output: folder of the checkpoint; holds the state of the run too.
    minutes: time to spend in all, interruptions not counted.
    vision_share: share of the time in which the vision tower learns alone, see `vision_task`.
    batch_size: samples of a step.
    copies: noised copies of the captions that share a prefix.
    learning_rate: the highest, reached after the warm-up.
    workers: processes that render scenes.
    reuse: how often a rendered batch is used on average.
    save_minutes: time between two saved states.
    device: `cpu` or `cuda`.
    start: a checkpoint folder to go on from, instead of random weights.
    seed: of everything random.
    """

    output: Path
    minutes: float = 90.0
    vision_share: float = 0.46
    batch_size: int = 32
    copies: int = 2
    learning_rate: float = 2e-3
    workers: int = 2
    reuse: int = 3
    save_minutes: float = 5.0
    device: str = "cpu"
    start: Path | None = None
    seed: int = 1


class Learner(nn.Module):
    """The model and the heads that teach its vision tower, with both losses."""

    def __init__(self, model: PerceptionDLM, options: Options, mask_id: int) -> None:
        super().__init__()
        self.model = model
        self.task = VisionTask(model.config.vision.hidden_size)
        self._options, self._mask_id = options, mask_id

    def forward(self, batch: Batch, noise: torch.Generator, vision_alone: bool) -> Loss:
        """The loss to descend; its accuracy is that of the captions, or of the vision alone."""
        features = see(self.model, batch)
        vision_loss, accuracy = self.task(features, batch.patch_masks, batch.labels)
        if vision_alone:
            return Loss(vision_loss, accuracy)
        captions = masked_diffusion_loss(
            self.model,
            batch,
            features,
            mask_id=self._mask_id,
            copies=self._options.copies,
            generator=noise,
        )
        return Loss(captions.loss + VISION_WEIGHT * vision_loss, captions.accuracy)


class Run:
    """A training run with everything that must survive an interruption."""

    def __init__(self, options: Options) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.device = torch.device(options.device)
        self.config: ModelConfig = write_description(options.output)
        self.tokenizer = CaptionTokenizer(options.output, self.config.slots)
        self.model = self._build()
        self.learner = Learner(self.model, options, self.tokenizer.mask_id).to(self.device)
        self.average = Average(self.model)
        self.optimisers = Optimisers(self.learner, options.learning_rate)
        self.noise = torch.Generator().manual_seed(options.seed)
        self.history = History()
        self.step = 0
        self.seconds = 0.0
        if (options.output / STATE).is_file():
            self._resume()

    @property
    def progress(self) -> float:
        """Share of the time that is spent, in [0, 1]."""
        return min(1.0, self.seconds / (60.0 * self.options.minutes))

    def train(self) -> None:
        batches = self._batches()
        saved = time.monotonic()
        with tqdm(total=100, initial=int(100 * self.progress), unit="%") as bar:
            while self.progress < 1.0:
                started = time.monotonic()
                self._train_step(batches.next())
                now = time.monotonic()
                self.seconds += now - started
                bar.n = int(100 * self.progress)
                bar.set_postfix_str(f"step {self.step}, {self.history.latest()}")
                if now - saved > 60.0 * self.options.save_minutes:
                    self.save()
                    saved = time.monotonic()
        self.save()

    def save(self) -> None:
        """Write the averaged weights, the state to go on from, and the plot."""
        output = self.options.output
        with self.average.applied(self.model):
            save_model(self.model, output / WEIGHTS, dtype=torch.float16)
        state = {
            "learner": self.learner.state_dict(),
            "average": self.average.state,
            "optimisers": self.optimisers.state_dict(),
            "noise": self.noise.get_state(),
            "history": self.history.rows,
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = output / (STATE + ".partial")
        torch.save(state, partial)
        partial.replace(output / STATE)
        self.history.plot(output / "training.png")

    def _train_step(self, batch: Batch) -> None:
        rate = self.optimisers.set_rate(self.step, self.progress)
        # Computed in bfloat16 throughout, with weights and their steps kept in float32.
        weights = {name: value.bfloat16() for name, value in self.learner.named_parameters()}
        vision_alone = self.progress < self.options.vision_share
        result: Loss = functional_call(
            self.learner, weights, (batch.to(self.device), self.noise, vision_alone)
        )
        result.loss.backward()
        self.optimisers.step()
        self.average.update(self.model, self.step)
        self.step += 1
        self.history.add(
            self.step, self.seconds / 60.0, result.loss.item(), result.accuracy.item(), rate
        )

    def _build(self) -> PerceptionDLM:
        if self.options.start is not None:
            model = load_model(
                self.options.start, self.config, dtype=torch.float32, device=torch.device("cpu")
            )
            return model.train().requires_grad_(True)
        model = PerceptionDLM(self.config)
        initialise(model)
        return model

    def _batches(self) -> Pool:
        stream = SceneBatches(
            self.config, self.tokenizer, start=self.step, size=self.options.batch_size
        )
        loader: DataLoader[Batch] = DataLoader(
            stream,
            batch_size=None,
            num_workers=self.options.workers,
            prefetch_factor=6 if self.options.workers else None,
            worker_init_fn=_yield_cores,
        )
        return Pool(iter(loader), reuse=self.options.reuse, size=POOL, seed=self.step)

    def _resume(self) -> None:
        path = self.options.output / STATE
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.learner.load_state_dict(state["learner"])
        except Exception as error:
            raise CheckpointError(
                f"{path} can't be resumed ({error}); remove it to start anew"
            ) from error
        self.average.state = {
            name: value.to(self.device) for name, value in state["average"].items()
        }
        self.optimisers.load_state_dict(state["optimisers"])
        self.noise.set_state(state["noise"])
        self.history.rows = state["history"]
        self.step, self.seconds = state["step"], state["seconds"]


def _yield_cores(worker: int) -> None:
    """Let the training go first where cores are few: one preempted thread stalls all of them."""
    os.nice(19)


def parse(arguments: Sequence[str] | None = None) -> Options:
    defaults = Options(Path())
    parser = argparse.ArgumentParser(
        prog="train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "output",
        type=Path,
        nargs="?",
        default=Path("training_output"),
        help="folder of the checkpoint; training_output if left out",
    )
    parser.add_argument("--minutes", type=float, default=defaults.minutes)
    parser.add_argument("--vision-share", type=float, default=defaults.vision_share)
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--copies", type=int, default=defaults.copies)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--workers", type=int, default=defaults.workers)
    parser.add_argument("--reuse", type=int, default=defaults.reuse)
    parser.add_argument("--save-minutes", type=float, default=defaults.save_minutes)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--start", type=Path, default=None, help="checkpoint to go on from")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    return Options(**vars(parser.parse_args(arguments)))


def main() -> None:
    Run(parse()).train()


if __name__ == "__main__":
    main()

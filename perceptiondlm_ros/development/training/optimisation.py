"""How the weights start, move, and are averaged."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from perceptiondlm_ros.model.perceptiondlm import PerceptionDLM

WARM_UP_STEPS = 200
AVERAGE_DECAY = 0.998
WEIGHT_DECAY = 0.02
CLIP = 1.0


def initialise(model: PerceptionDLM) -> None:
    """Normal weights whose spread keeps the size of activations, small ones into the residual."""
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            ones = "norm" in name and name.endswith("weight")
            nn.init.constant_(parameter, 1.0 if ones else 0.0)
        elif "embed_tokens" in name or "mask_id" in name or "position" in name:
            nn.init.normal_(parameter, std=0.3 if "mask_id" in name else 0.05)
        else:
            depth = 0.4 if name.endswith(("out.weight", "down.weight")) else 1.0
            nn.init.normal_(parameter, std=depth / math.sqrt(parameter.shape[1]))


def learning_rate_scale(step: int, progress: float) -> float:
    """Linear warm-up over steps, then a cosine to zero over the time, each in [0, 1]."""
    warm = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm * 0.5 * (1.0 + math.cos(math.pi * progress))


class Optimisers:
    """Muon for the weight matrices within the layers, AdamW for everything else."""

    def __init__(self, model: nn.Module, learning_rate: float) -> None:
        self._rate = learning_rate
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            inner = parameter.dim() == 2 and (".layers." in name or "projector" in name)
            (matrices if inner else others).append(parameter)
        self._parameters = [*matrices, *others]
        self._optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices,
                lr=learning_rate,
                weight_decay=WEIGHT_DECAY,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
            ),
        ]

    def step(self, step: int, progress: float) -> float:
        """Clip the gradients, move, and forget the gradients; the learning rate of the step."""
        rate = self._rate * learning_rate_scale(step, progress)
        nn.utils.clip_grad_norm_(self._parameters, CLIP)
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        return rate

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of each optimiser."""
        return [optimiser.state_dict() for optimiser in self._optimisers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from a state that `state_dict` gave."""
        for optimiser, state in zip(self._optimisers, states, strict=True):
            optimiser.load_state_dict(state)


def average_of(model: nn.Module) -> AveragedModel:
    """An exponential moving average of the weights, which is what is shipped."""

    def average(averaged: Tensor, value: Tensor, steps: Tensor | int) -> Tensor:
        decay = min(AVERAGE_DECAY, float(1 + steps) / float(10 + steps))
        return averaged.lerp(value, 1.0 - decay)

    return AveragedModel(model, avg_fn=average)

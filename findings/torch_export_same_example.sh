#!/bin/sh
# torch.export takes two inputs for one where their examples are the same tensor.
. "$(dirname "$0")/environment.sh"
environment torch==2.13.0
"$python" - <<'PYTHON'
import sys

import torch


class Difference(torch.nn.Module):
    def forward(self, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return keys - values


example = torch.zeros(2)
exported = torch.export.export(Difference(), (example, example)).module()
apart = torch.export.export(Difference(), (example, example.clone())).module()
inputs = torch.ones(2), torch.zeros(2)
expected, seen, cloned = (
    model(*inputs).tolist() for model in (Difference(), exported, apart)
)

print(f"torch {torch.__version__}")
print("A model of two inputs, keys - values, is exported with one zero tensor as both examples.")
print(f"For ones and zeros the model gives {expected}, exported with a copy as the second")
print(f"example {cloned}, but exported with the same tensor twice {seen}, without a warning:")
print("the graph reads one of its two inputs for both.")
changed = (expected, cloned, seen) != ([1.0, 1.0], [1.0, 1.0], [0.0, 0.0])
print("This is not what was seen before: [0.0, 0.0] at last." if changed else "As before.")
sys.exit(changed)
PYTHON

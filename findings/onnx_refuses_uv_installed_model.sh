#!/bin/sh
# onnx loads no model with external data out of a package that uv has installed.
. "$(dirname "$0")/environment.sh"
environment onnx==1.23.2 uv==0.9.16 setuptools==80.9.0
"$python" - "$work" <<'PYTHON'
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

work = Path(sys.argv[1])
package = work / "source" / "adder"
package.mkdir(parents=True)
(package / "__init__.py").touch()
(work / "source" / "setup.py").write_text(
    "from setuptools import setup\n"
    "setup(name='adder', version='1', packages=['adder'], package_data={'adder': ['model.*']})\n"
)
weight = numpy_helper.from_array(np.arange(4096, dtype=np.float32), "weight")
value = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [4096]) for name in "xy"}
node = helper.make_node("Add", ["x", "weight"], ["y"])
graph = helper.make_graph([node], "adder", [value["x"]], [value["y"]], [weight])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
onnx.save(model, package / "model.onnx", save_as_external_data=True, location="model.data")

uv = [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--no-build-isolation"]
cache = {**os.environ, "UV_CACHE_DIR": str(work / "cache")}


def load(target: str, *options: str) -> tuple[int, str]:
    """How many names the installed weights have, and what loading the model gives."""
    where = ["--python", sys.executable, "--target", work / target, *options]
    subprocess.run([*uv, *where, work / "source"], env=cache, check=True)
    installed = work / target / "adder"
    links = os.stat(installed / "model.data").st_nlink
    try:
        onnx.load(installed / "model.onnx")
    except Exception as error:
        return links, f"{type(error).__name__}: it has multiple hard links" * (
            "multiple hard links" in str(error)
        ) or repr(error)
    return links, "the model"


seen = [load("as it is"), load("copied", "--link-mode=copy")]
print(f"onnx {version('onnx')}, uv {version('uv')}")
print("A Python package holds a model whose weights are in a file of their own.")
for how, (links, given) in zip(("as uv does it", "with --link-mode=copy"), seen, strict=True):
    print(f"Installed {how}: the file of weights has {links} name(s); onnx.load gives {given}.")
expected = [(2, "ValidationError: it has multiple hard links"), (1, "the model")]
print("As before." if seen == expected else f"This is not what was seen before: {expected}.")
sys.exit(seen != expected)
PYTHON

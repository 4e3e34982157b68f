#!/bin/sh
# Pillow 13.0.0 resizes the rows before the columns where that is less work, as for a tall picture that
# gets wider and lower; 12.3.0 always resizes the columns first. Between the two passes values are
# rounded to whole numbers, so the same call gives other pixels in the other version.
. "$(dirname "$0")/environment.sh"
environment numpy==2.4.6
"$python" -m pip install --quiet --disable-pip-version-check --target "$work/older" pillow==12.3.0
"$python" -m pip install --quiet --disable-pip-version-check --target "$work/newer" pillow==13.0.0
cat > "$work/orders.py" <<'PYTHON'
import sys

import numpy as np
import PIL
from PIL import Image

SIZES = {"to a wider and lower one": (200, 100), "to a square": (100, 100)}


def first(size):
    """Which axis is resized first, found by resizing one after the other; and other pixels."""
    values = np.random.default_rng(0).integers(0, 256, (400, 100), dtype=np.uint8)
    picture = Image.fromarray(values)
    whole = np.asarray(picture.resize(size, Image.Resampling.BICUBIC))
    by_steps = {}
    for name, between in (("columns", (size[0], 400)), ("rows", (100, size[1]))):
        one = picture.resize(between, Image.Resampling.BICUBIC)
        by_steps[name] = np.asarray(one.resize(size, Image.Resampling.BICUBIC))
    equal = [name for name, other in by_steps.items() if np.array_equal(whole, other)]
    differ = np.count_nonzero(by_steps["columns"] != by_steps["rows"])
    return " and ".join(equal), differ


seen = {}
for name, size in SIZES.items():
    seen[name], differ = first(size)
    print(f"Pillow {PIL.__version__}: 100 x 400 pixels {name}: {seen[name]} first; "
          f"{differ} of {size[0] * size[1]} pixels differ between the orders")
sys.exit([*seen.values()] != sys.argv[1:])
PYTHON
PYTHONPATH=$work/older "$python" "$work/orders.py" columns "columns and rows"
PYTHONPATH=$work/newer "$python" "$work/orders.py" rows "columns and rows"

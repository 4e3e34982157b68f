#!/bin/sh
# OpenCV's fisheye.undistortPoints limits the distorted angle to 90 degrees, not the real one.
. "$(dirname "$0")/environment.sh"
environment opencv-python-headless==4.14.0.94 numpy==2.4.6
"$python" - <<'PYTHON'
import sys

import cv2
import numpy as np

NOWHERE, UNIT = np.zeros(3), np.eye(3)
# With k1 above 0 a direction is seen further from the middle than its angle.
LENS = np.array([0.05, 0.0, 0.0, 0.0])


def there_and_back(angle):
    """The angle at which the direction `angle`, in radians from the axis, comes back."""
    point = np.array([[[np.tan(angle), 0.0, 1.0]]])
    seen, _ = cv2.fisheye.projectPoints(point, NOWHERE, NOWHERE, UNIT, LENS)
    back = cv2.fisheye.undistortPoints(seen, UNIT, LENS)
    return float(np.arctan(back[0, 0, 0]))


angles = [1.2, 1.4, 1.5]
found = [round(there_and_back(angle), 4) for angle in angles]
print(f"OpenCV {cv2.__version__}")
print("Directions in front of a fisheye are projected and taken back again (angles in radians):")
for angle, back in zip(angles, found):
    print(f"{angle} comes back as {back}.")
print("The last one is 86 degrees from the axis, comes back as 82, and nothing tells.")
changed = found != [1.2, 1.4, 1.4343]
print("This is not what was seen before: 1.2, 1.4, 1.4343." if changed else "As before.")
sys.exit(changed)
PYTHON

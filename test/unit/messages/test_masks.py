"""Instance-id images of every kind and size, as masks of the camera's image."""

from __future__ import annotations

import numpy as np
import pytest
from ros_support import image_of
from sensor_msgs.msg import Image

from perceptiondlm_ros.errors import InputError
from perceptiondlm_ros.messages.boxes import fit_image
from perceptiondlm_ros.messages.masks import instance_ids

AS_SENT = fit_image("stretch", 0, 0, 6, 4)
IDS = np.zeros((4, 6), np.int32)
IDS[1:3, 2:5] = 1
IDS[3, 0] = 200


def message(ids: np.ndarray, encoding: str) -> Image:
    kind = {"mono8": "u1", "8UC1": "u1", "mono16": "<u2", "16UC1": "<u2", "32SC1": "<i4"}[encoding]
    return image_of(ids.astype(kind), encoding)


@pytest.mark.parametrize("encoding", ["mono8", "8UC1", "mono16", "16UC1", "32SC1"])
def test_every_kind_of_number(encoding: str) -> None:
    np.testing.assert_array_equal(instance_ids(message(IDS, encoding), 6, 4, AS_SENT), IDS)


def test_other_kinds_and_sizes_are_refused_with_what_is_expected() -> None:
    sent = message(IDS, "mono8")
    sent.encoding = "rgb8"
    with pytest.raises(InputError, match="got encoding 'rgb8', expected one of mono8"):
        instance_ids(sent, 6, 4, AS_SENT)
    with pytest.raises(InputError, match="got 6x4 pixels, expected the image's 12x4; publish"):
        instance_ids(message(IDS, "mono8"), 12, 4, fit_image("stretch", 0, 0, 12, 4))
    seen = fit_image("stretch", 3, 2, 12, 8)
    with pytest.raises(InputError, match="the image's 12x8 or the detector's 3x2; publish"):
        instance_ids(message(IDS, "mono8"), 12, 8, seen)
    sent = message(IDS, "mono16")
    sent.data = sent.data[:10]
    with pytest.raises(InputError, match="image data: got 6x4"):
        instance_ids(sent, 6, 4, AS_SENT)


def test_masks_of_the_detectors_size_are_found_on_the_cameras_image() -> None:
    stretched = instance_ids(message(IDS, "mono8"), 12, 4, fit_image("stretch", 6, 4, 12, 4))
    np.testing.assert_array_equal(stretched, IDS.repeat(2, axis=1))
    # 12x4 pixels became 6x2 of the detector's 6x4, with one row above and one below.
    boxed = instance_ids(message(IDS, "mono8"), 12, 4, fit_image("letterbox", 6, 4, 12, 4))
    np.testing.assert_array_equal(boxed, IDS[1:3].repeat(2, axis=0).repeat(2, axis=1))

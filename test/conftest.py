"""For all tests: their surroundings, one profile for every property test (examples aren't timed,
which fails on a busy machine), and the stand-in for TensorRT."""

import surroundings

surroundings.prepare()

from hypothesis import HealthCheck, settings  # noqa: E402 (after the surroundings)
from tensorrt_stand_in.fixtures import (  # noqa: E402, F401 (for all tests)
    trt,
    trt_script,
    trt_version,
)

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

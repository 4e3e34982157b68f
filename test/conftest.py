"""One profile for every property test: examples aren't timed, which fails on a busy machine; and
the stand-in for TensorRT."""

from hypothesis import HealthCheck, settings
from tensorrt_stand_in.fixtures import trt, trt_script, trt_version  # noqa: F401 (for all tests)

settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

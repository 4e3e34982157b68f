"""Every parameter of the node, as a field of `Settings`: its meaning, default, range, and when it
applies. Nothing here knows ROS.

A parameter is called by the path of its field: `reuse.max_age` is `settings.reuse.max_age`. What it
means is what the docstring of its class says of it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, cast

from perceptiondlm_ros.messages.bit_depth import ALL_BITS, FEWEST_BITS
from perceptiondlm_ros.messages.boxes import FITS
from perceptiondlm_ros.messages.matching import MatchLimits
from perceptiondlm_ros.messages.region_selection import RegionSettings
from perceptiondlm_ros.model.contract import MOST_CAPTION_TOKENS, MOST_STEPS, MOST_THREADS

Kind = TypeVar("Kind", str, int, float, bool)
Group = TypeVar("Group")


class Applies(Enum):
    """When a new value takes effect."""

    AT_START = "is read when the process starts"
    AT_CONFIGURE = "is read at the transition `configure`"
    LIVE = "applies to the next frame"


@dataclass(frozen=True)
class Spec:
    """One parameter. `bounds` hold for numbers, `choices` for strings (none: any string).

    least: of a whole number that isn't 0.
    """

    name: str
    default: str | int | float | bool
    description: str
    applies: Applies
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    least: int = 0


def at_start(default: Kind, **limits: Any) -> Kind:
    return field(default=default, metadata={"applies": Applies.AT_START, **limits})


def at_configure(default: Kind, **limits: Any) -> Kind:
    return field(default=default, metadata={"applies": Applies.AT_CONFIGURE, **limits})


def live(default: Kind, **limits: Any) -> Kind:
    return field(default=default, metadata={"applies": Applies.LIVE, **limits})


@dataclass(frozen=True)
class ReuseSettings:
    """What a caption may be used again for.

    enabled: Keep each track's caption and use it again; false captions every region of a frame.
    max_age: Age up to which a caption is used again [s]; it is renewed a little before.
    max_gap: Time that an object may be unseen before its caption is forgotten [s].
    max_change: Change of the region's looks up to which its caption is used again, as a fraction of
        the image's brightness.
    max_turn: Turn of the direction to the nearest other region up to which a caption is used again
        [rad]; from 3.15 on neighbours are not looked at.
    retries: How often a caption that has less confidence than half of them is made once more, soon.
    budget: Most regions captioned in a pass while captions are used again; the others follow in the
        next pass: new ones first, then changed ones, then the oldest, then uncertain ones.
    """

    enabled: bool = live(True)
    max_age: float = live(10.0, bounds=(0.0, 3600.0))
    max_gap: float = live(2.0, bounds=(0.0, 3600.0))
    max_change: float = live(0.15, bounds=(0.0, 10.0))
    max_turn: float = live(0.5, bounds=(0.0, 3.2))
    retries: int = live(2, bounds=(0, 10))
    budget: int = live(12, bounds=(1, 1000))


@dataclass(frozen=True)
class ImageSettings:
    """How images are read.

    significant_bits: How many of the lowest bits of a 16-bit image the camera uses, such as 12; 0
        takes all, and tells where an image uses only the lowest ones.
    """

    significant_bits: int = live(0, bounds=(0, ALL_BITS), least=FEWEST_BITS)


@dataclass(frozen=True)
class DetectionsSettings:
    """Which detections are captioned, and what their boxes are given in.

    min_score: Least score of a detection's best hypothesis; 0 takes all, whatever their scores
        mean.
    classes: Class ids to caption, separated by commas, as the detector writes them; empty is all. A
        single number is written as "'0'".
    excluded_classes: Class ids not to caption, as in detections.classes.
    image_width: Width of the image that boxes are given in [px], where it is the detector's own
        size; 0 follows from the height, and both 0 are the image's. 1 is for boxes that are given
        from 0 to 1, and then holds for the height too.
    image_height: Height of the image that boxes are given in [px], see detections.image_width.
    image_fit: How the detector brings images to its own size: stretch scales each side by itself,
        letterbox both alike with padding on opposite sides, corner with padding on the right or
        below.
    """

    min_score: float = live(0.0, bounds=(0.0, 1.0))
    classes: str = live("")
    excluded_classes: str = live("")
    image_width: int = live(0, bounds=(0, 100_000))
    image_height: int = live(0, bounds=(0, 100_000))
    image_fit: str = live("stretch", choices=FITS)


@dataclass(frozen=True)
class MatchingSettings:
    """How images and detections are matched, and what is remembered for that.

    tolerance: Largest difference between the stamps of an image and its detections [s].
    images_kept: Images remembered for detections that come later; each costs its size in memory.
    memory: Most memory for remembered images, and as much for masks [MB]; the newest one is kept
        however large it is.
    """

    tolerance: float = live(0.1, bounds=(0.0, 10.0))
    images_kept: int = live(30, bounds=(1, 200))
    memory: int = live(256, bounds=(1, 100_000))


@dataclass(frozen=True)
class MasksSettings:
    """Whether masks are taken.

    enabled: Take the topic masks, an instance-id image for each detections message, and caption
        what it shows of each object instead of its box.
    """

    enabled: bool = live(False)


@dataclass(frozen=True)
class DiagnosticsSettings:
    """What diagnostics judge by.

    stale_after: An input that was silent for longer is reported as stopped, on /diagnostics [s].
    """

    stale_after: float = live(5.0, bounds=(0.5, 3600.0))


@dataclass(frozen=True)
class PublishSettings:
    """Which outputs there are besides the usual ones.

    detections: Publish ~/detections: the detections with their captions as class ids.
    json: Publish ~/descriptions/json: the descriptions as JSON, see descriptions.schema.json.
    """

    detections: bool = at_start(False)
    json: bool = at_start(False)


@dataclass(frozen=True)
class AnnotatedImageSettings:
    """How the annotated image is made.

    jpeg_quality: Quality of ~/annotated_image/compressed; more looks better and takes more
        bandwidth.
    """

    jpeg_quality: int = live(80, bounds=(1, 95))


@dataclass(frozen=True)
class MarkersSettings:
    """How markers are placed.

    distance: Assumed distance of objects along the optical axis where depth doesn't tell it [m].
    rectified: The image has no lens distortion any more, so P of camera_info holds; else K and D
        do.
    text_height: Height of a letter of the markers, as a share of the object's distance.
    always: Take camera_info and depth also while nobody subscribes to ~/markers, so that the first
        markers after a subscription are placed by depth already.
    """

    distance: float = live(2.0, bounds=(0.05, 1000.0))
    rectified: bool = live(False)
    text_height: float = live(0.03, bounds=(0.001, 1.0))
    always: bool = live(False)


@dataclass(frozen=True)
class Settings:
    """The values of all parameters at one time; a new one is read whenever one was set.

    autostart: Configure and activate at once; false waits for a lifecycle manager.
    image_transport: raw takes sensor_msgs/Image on image, compressed takes CompressedImage (JPEG or
        PNG) on image/compressed.
    checkpoint: Checkpoint folder, exported folder or hub id; empty is the packaged checkpoint.
    backend: What computes the model: torch for a checkpoint, onnx or tensorrt for an exported
        model, onnx for the packaged checkpoint too; auto takes the fastest that is there.
    device: Where the model runs: auto, cpu, cuda, or one of several such as cuda:1.
    steps: Denoising steps of a pass, at most; 0 is the checkpoint's own number.
    caption_tokens: Tokens of a caption; 0 is the checkpoint's own number.
    cache: exact recomputes everything at every step, prefix keeps keys and values of the prefix,
        auto takes prefix where the checkpoint allows it.
    decoding: schedule takes all steps; confidence keeps each token as soon as it has the
        probability of decoding_threshold, never fewer than by schedule, and ends when all are kept;
        auto is the checkpoint's own.
    decoding_threshold: Probability from which on a token is kept; 0 is the checkpoint's own.
    threads: Threads that compute on a CPU; 0 is as many as the process may use and the model has
        work for.
    precision: What a checkpoint computes in: auto is fp32 on a CPU and bf16 on a GPU. An exported
        model has its own, and takes no other.
    enabled: Take frames while the node is active; the service ~/enable sets it. ~/describe works
        either way.
    prompt: What the model is asked about the regions; empty is the checkpoint's own prompt.
    draft_steps: Denoising steps after which regions without a caption get a draft, marked DRAFT, if
        the pass goes on after that many, which by confidence it often does not; 0 waits for the
        final captions.
    max_regions: Most regions captioned of one image, best scores first; the rest is counted as
        dropped.
    """

    autostart: bool = at_start(True)
    image_transport: str = at_start("raw", choices=("raw", "compressed"))
    checkpoint: str = at_configure("")
    backend: str = at_configure("auto", choices=("auto", "torch", "onnx", "tensorrt"))
    device: str = at_configure("auto")
    steps: int = at_configure(0, bounds=(0, MOST_STEPS))
    caption_tokens: int = at_configure(0, bounds=(0, MOST_CAPTION_TOKENS))
    cache: str = at_configure("auto", choices=("auto", "exact", "prefix"))
    decoding: str = at_configure("auto", choices=("auto", "schedule", "confidence"))
    decoding_threshold: float = at_configure(0.0, bounds=(0.0, 1.0))
    threads: int = at_configure(0, bounds=(0, MOST_THREADS))
    precision: str = at_configure("auto", choices=("auto", "fp32", "bf16"))
    enabled: bool = live(True)
    prompt: str = live("")
    draft_steps: int = live(0, bounds=(0, MOST_STEPS))
    max_regions: int = live(24, bounds=(1, 1000))
    reuse: ReuseSettings = ReuseSettings()
    image: ImageSettings = ImageSettings()
    detections: DetectionsSettings = DetectionsSettings()
    matching: MatchingSettings = MatchingSettings()
    masks: MasksSettings = MasksSettings()
    diagnostics: DiagnosticsSettings = DiagnosticsSettings()
    publish: PublishSettings = PublishSettings()
    annotated_image: AnnotatedImageSettings = AnnotatedImageSettings()
    markers: MarkersSettings = MarkersSettings()

    @property
    def match_limits(self) -> MatchLimits:
        """What matching goes by."""
        return MatchLimits(
            tolerance_ns=round(self.matching.tolerance * 1e9),
            kept=self.matching.images_kept,
            bytes_kept=self.matching.memory * 1_000_000,
            wants_masks=self.masks.enabled,
        )

    @property
    def region_settings(self) -> RegionSettings:
        """Which detections become regions, and how."""
        return RegionSettings(
            most=self.max_regions,
            min_score=self.detections.min_score,
            classes=_names(self.detections.classes),
            excluded_classes=_names(self.detections.excluded_classes),
            fit=self.detections.image_fit,
            seen_width=self.detections.image_width,
            seen_height=self.detections.image_height,
        )


def with_values(group: Group, value_of: Callable[[str], Any], prefix: str = "") -> Group:
    """A settings dataclass with other values. value_of: the value of a parameter, by its name."""
    values: dict[str, Any] = {}
    for item in fields(cast(Any, group)):
        name, nested = f"{prefix}{item.name}", is_dataclass(item.default)
        values[item.name] = (
            with_values(item.default, value_of, f"{name}.") if nested else value_of(name)
        )
    return type(group)(**values)


def _specs(group: Any, prefix: str = "") -> Iterator[Spec]:
    """Every parameter of a settings dataclass, in the order of its fields."""
    told = re.findall(r"^(\w+): (.*(?:\n +.*)*)", inspect.getdoc(group) or "", re.MULTILINE)
    descriptions = {name: " ".join(lines.split()) for name, lines in told}
    for item in fields(group):
        name, default = f"{prefix}{item.name}", cast(Any, item.default)
        if is_dataclass(default):
            yield from _specs(default, f"{name}.")
        else:
            yield Spec(name, default, descriptions.get(item.name, ""), **item.metadata)


def _names(joined: str) -> frozenset[str]:
    """The names in a string that are separated by commas."""
    return frozenset(name for name in map(str.strip, joined.split(",")) if name)


SPECS = tuple(_specs(Settings()))
"""Every parameter, in the order of the documentation."""

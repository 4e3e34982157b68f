"""Every parameter of the node: what it means, its default, its range, and when it applies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from perceptiondlm_ros.messages.bit_depth import ALL_BITS, FEWEST_BITS
from perceptiondlm_ros.messages.boxes import FITS

Value = str | int | float | bool


class Applies(Enum):
    """When a new value takes effect."""

    AT_START = "read when the process starts"
    AT_CONFIGURE = "read at the transition `configure`"
    LIVE = "applies to the next frame"


@dataclass(frozen=True)
class Spec:
    """One parameter. `bounds` hold for numbers, `choices` for strings (none: any string).

    least: of a whole number that isn't 0.
    """

    name: str
    default: Value
    applies: Applies
    description: str
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    least: int = 0


SPECS = (
    Spec(
        "autostart",
        True,
        Applies.AT_START,
        "Configure and activate at once; false waits for a lifecycle manager.",
    ),
    Spec(
        "image_transport",
        "raw",
        Applies.AT_START,
        "raw takes sensor_msgs/Image on image, compressed takes CompressedImage (JPEG or PNG) on "
        "image/compressed.",
        choices=("raw", "compressed"),
    ),
    Spec(
        "checkpoint",
        "",
        Applies.AT_CONFIGURE,
        "Checkpoint folder, exported folder or hub id; empty is the packaged checkpoint.",
    ),
    Spec(
        "backend",
        "auto",
        Applies.AT_CONFIGURE,
        "What computes the model: torch for a checkpoint, onnx or tensorrt for an exported model; "
        "auto takes the fastest that is there.",
        choices=("auto", "torch", "onnx", "tensorrt"),
    ),
    Spec(
        "device",
        "auto",
        Applies.AT_CONFIGURE,
        "Where the model runs: auto, cpu, cuda, or one of several such as cuda:1.",
    ),
    Spec(
        "steps",
        0,
        Applies.AT_CONFIGURE,
        "Denoising steps of a pass; 0 is the checkpoint's own number.",
        bounds=(0, 1024),
    ),
    Spec(
        "caption_tokens",
        0,
        Applies.AT_CONFIGURE,
        "Tokens of a caption; 0 is the checkpoint's own number.",
        bounds=(0, 512),
    ),
    Spec(
        "cache",
        "auto",
        Applies.AT_CONFIGURE,
        "exact recomputes everything at every step, prefix keeps keys and values of the prefix, "
        "auto takes prefix where the checkpoint allows it.",
        choices=("auto", "exact", "prefix"),
    ),
    Spec(
        "enabled",
        True,
        Applies.LIVE,
        "Take frames while the node is active; the service ~/enable sets it. ~/describe works "
        "either way.",
    ),
    Spec(
        "prompt",
        "",
        Applies.LIVE,
        "What the model is asked about the regions; empty is the checkpoint's own prompt.",
    ),
    Spec(
        "draft_steps",
        0,
        Applies.LIVE,
        "Denoising steps after which regions without a caption get a draft, marked DRAFT; 0 waits "
        "for the final captions.",
        bounds=(0, 1024),
    ),
    Spec(
        "max_regions",
        24,
        Applies.LIVE,
        "Most regions captioned of one image, best scores first; the rest is counted as dropped.",
        bounds=(1, 1000),
    ),
    Spec(
        "reuse.enabled",
        True,
        Applies.LIVE,
        "Keep each track's caption and use it again; false captions every region of a frame.",
    ),
    Spec(
        "reuse.max_age",
        10.0,
        Applies.LIVE,
        "Age up to which a caption is used again [s]; it is renewed a little before.",
        bounds=(0.0, 3600.0),
    ),
    Spec(
        "reuse.max_gap",
        2.0,
        Applies.LIVE,
        "Time that an object may be unseen before its caption is forgotten [s].",
        bounds=(0.0, 3600.0),
    ),
    Spec(
        "reuse.max_change",
        0.15,
        Applies.LIVE,
        "Change of the region's looks up to which its caption is used again, as a fraction of the "
        "image's brightness.",
        bounds=(0.0, 10.0),
    ),
    Spec(
        "reuse.max_turn",
        0.5,
        Applies.LIVE,
        "Turn of the direction to the nearest other region up to which a caption is used again "
        "[rad]; from 3.15 on neighbours are not looked at.",
        bounds=(0.0, 3.2),
    ),
    Spec(
        "reuse.retries",
        2,
        Applies.LIVE,
        "How often a caption that has less confidence than half of them is made once more, soon.",
        bounds=(0, 10),
    ),
    Spec(
        "reuse.budget",
        12,
        Applies.LIVE,
        "Most regions captioned in a pass while captions are used again; the others follow in the "
        "next pass: new ones first, then changed ones, then the oldest, then uncertain ones.",
        bounds=(1, 1000),
    ),
    Spec(
        "image.significant_bits",
        0,
        Applies.LIVE,
        "How many of the lowest bits of a 16-bit image the camera uses, such as 12; 0 takes all, "
        "and tells where an image uses only the lowest ones.",
        bounds=(0, ALL_BITS),
        least=FEWEST_BITS,
    ),
    Spec(
        "detections.min_score",
        0.0,
        Applies.LIVE,
        "Least score of a detection's best hypothesis; 0 takes all, whatever their scores mean.",
        bounds=(0.0, 1.0),
    ),
    Spec(
        "detections.classes",
        "",
        Applies.LIVE,
        "Class ids to caption, separated by commas, as the detector writes them; empty is all. A "
        "single number is written as \"'0'\".",
    ),
    Spec(
        "detections.excluded_classes",
        "",
        Applies.LIVE,
        "Class ids not to caption, as in detections.classes.",
    ),
    Spec(
        "detections.image_width",
        0,
        Applies.LIVE,
        "Width of the image that boxes are given in [px], where it is the detector's own size; 0 "
        "follows from the height, and both 0 are the image's. 1 is for boxes that are given from 0 "
        "to 1, and then holds for the height too.",
        bounds=(0, 100_000),
    ),
    Spec(
        "detections.image_height",
        0,
        Applies.LIVE,
        "Height of the image that boxes are given in [px], see detections.image_width.",
        bounds=(0, 100_000),
    ),
    Spec(
        "detections.image_fit",
        "stretch",
        Applies.LIVE,
        "How the detector brings images to its own size: stretch scales each side by itself, "
        "letterbox both alike with padding on opposite sides, corner with padding on the right or "
        "below.",
        choices=FITS,
    ),
    Spec(
        "matching.tolerance",
        0.1,
        Applies.LIVE,
        "Largest difference between the stamps of an image and its detections [s].",
        bounds=(0.0, 10.0),
    ),
    Spec(
        "matching.images_kept",
        30,
        Applies.LIVE,
        "Images remembered for detections that come later; each costs its size in memory.",
        bounds=(1, 200),
    ),
    Spec(
        "matching.memory",
        256,
        Applies.LIVE,
        "Most memory for remembered images, and as much for masks [MB]; the newest one is kept "
        "however large it is.",
        bounds=(1, 100_000),
    ),
    Spec(
        "masks.enabled",
        False,
        Applies.LIVE,
        "Take the topic masks, an instance-id image for each detections message, and caption what "
        "it shows of each object instead of its box.",
    ),
    Spec(
        "diagnostics.stale_after",
        5.0,
        Applies.LIVE,
        "An input that was silent for longer is reported as stopped, on /diagnostics [s].",
        bounds=(0.5, 3600.0),
    ),
    Spec(
        "publish.detections",
        False,
        Applies.AT_START,
        "Publish ~/detections: the detections with their captions as class ids.",
    ),
    Spec(
        "publish.json",
        False,
        Applies.AT_START,
        "Publish ~/descriptions/json: the descriptions as JSON, see descriptions.schema.json.",
    ),
    Spec(
        "annotated_image.jpeg_quality",
        80,
        Applies.LIVE,
        "Quality of ~/annotated_image/compressed; more looks better and takes more bandwidth.",
        bounds=(1, 95),
    ),
    Spec(
        "markers.distance",
        2.0,
        Applies.LIVE,
        "Assumed distance of objects along the optical axis where depth doesn't tell it [m].",
        bounds=(0.05, 1000.0),
    ),
    Spec(
        "markers.rectified",
        False,
        Applies.LIVE,
        "The image has no lens distortion any more, so P of camera_info holds; else K and D do.",
    ),
    Spec(
        "markers.text_height",
        0.03,
        Applies.LIVE,
        "Height of a letter of the markers, as a share of the object's distance.",
        bounds=(0.001, 1.0),
    ),
    Spec(
        "markers.always",
        False,
        Applies.LIVE,
        "Take camera_info and depth also while nobody subscribes to ~/markers, so that the first "
        "markers after a subscription are placed by depth already.",
    ),
)

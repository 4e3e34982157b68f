"""What every subcommand that captions takes about images and the model, and the model itself."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perceptiondlm_ros.captioner import Captioner


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `Captioner.load`, and the prompt."""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--checkpoint",
        metavar="PATH_OR_HUB_ID",
        help="a folder in the published layout, one that `perceptiondlm export` wrote, or a hub id "
        "such as MSALab/PerceptionDLM (default: the packaged small checkpoint)",
    )
    model.add_argument(
        "--backend",
        default="auto",
        help="auto, torch for a checkpoint, onnx or tensorrt for an exported model, onnx for the "
        "packaged checkpoint too; auto is the fastest that is here (default: %(default)s)",
    )
    model.add_argument(
        "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)"
    )
    model.add_argument(
        "--steps",
        type=count,
        metavar="N",
        help="denoising steps, at most (default: the checkpoint's)",
    )
    model.add_argument(
        "--caption-tokens",
        type=count,
        metavar="N",
        help="tokens of a caption (default: the checkpoint's)",
    )
    model.add_argument(
        "--cache",
        default="auto",
        help="exact, prefix or auto: keep keys and values of the prefix between steps, in auto "
        "only where that changes nothing (default: %(default)s)",
    )
    model.add_argument(
        "--decoding",
        default="auto",
        help="schedule, confidence or auto: take all steps, as published, or keep each token as "
        "soon as it has the probability of --decoding-threshold (default: the checkpoint's)",
    )
    model.add_argument(
        "--decoding-threshold",
        type=float,
        metavar="P",
        help="above 0 and up to 1 (default: the checkpoint's)",
    )
    model.add_argument(
        "--threads",
        type=count,
        default=0,
        metavar="N",
        help="that compute on a CPU (default: as many as the process may use and the model has "
        "work for)",
    )
    model.add_argument(
        "--precision",
        default="auto",
        help="fp32, bf16 or auto: fp32 on a CPU, bf16 on a GPU, and an exported model's own "
        "(default: %(default)s)",
    )
    model.add_argument(
        "--prompt", type=text_in_utf8, help="what to ask (default: the checkpoint's usual prompt)"
    )


def add_significant_bits(parser: Any) -> None:
    """Declare the option for `decode_image`."""
    parser.add_argument(
        "--significant-bits",
        type=_bits,
        default=0,
        metavar="N",
        help="how many of the lowest bits of 16-bit images the camera used, 8 to 16, such as 12 "
        "(default: all, and what uses only the lowest ones is told)",
    )


def load_captioner(arguments: argparse.Namespace) -> Captioner:
    """The captioner that the options name.

    Raises:
        PerceptionDLMError: it can't be loaded with them.
    """
    # Here and not above, so that the help needs none of the libraries.
    from perceptiondlm_ros.captioner import Captioner

    return Captioner.load(
        arguments.checkpoint,
        backend=arguments.backend,
        device=arguments.device,
        steps=arguments.steps,
        caption_tokens=arguments.caption_tokens,
        cache=arguments.cache,
        decoding=arguments.decoding,
        decoding_threshold=arguments.decoding_threshold,
        threads=arguments.threads,
        precision=arguments.precision,
    )


def count(text: str) -> int:
    """A whole number above 0; how large it may be is for the captioner to say."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number of at least 1")
    return int(text)


def _bits(text: str) -> int:
    if not text.isdecimal() or not 8 <= int(text) <= 16:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a whole number from 8 to 16")
    return int(text)


def text_in_utf8(text: str) -> str:
    """Text that was typed in the terminal's encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected text in UTF-8") from None
    return text

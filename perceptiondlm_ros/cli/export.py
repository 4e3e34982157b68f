"""`perceptiondlm export`: a checkpoint as ONNX graphs with all that the runtime has to know."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from perceptiondlm_ros.terminal import Progress
from perceptiondlm_ros.text import gigabytes

_DESCRIPTION = """\
Compiles a checkpoint's vision encoder and denoiser to ONNX, for ONNX Runtime and TensorRT, into a
new folder that `--checkpoint`, Captioner.load and the node take in place of the checkpoint. Engines
for TensorRT are built from it on the device that runs them."""

_EPILOG = """\
fp32 runs anywhere and gives the checkpoint's own captions. fp16 and bf16 are for GPUs. int8 is for
CPUs: ONNX Runtime quantises weights here and activations while it runs. `perceptiondlm check`
says whether an export fits a device."""


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand's arguments."""
    parser = subparsers.add_parser(
        "export",
        help="compile a checkpoint for ONNX Runtime and TensorRT",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="a folder in the published layout, a hub id such as MSALab/PerceptionDLM, or `small` "
        "for the packaged checkpoint",
    )
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="the folder to make")
    parser.add_argument(
        "--precision", default="fp32", help="fp32, fp16, bf16 or int8 (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="denoising steps (default: the checkpoint's)"
    )
    parser.add_argument(
        "--caption-tokens",
        type=int,
        metavar="N",
        help="tokens of a caption (default: the checkpoint's)",
    )
    parser.add_argument("--prompt", help="what to ask (default: the usual prompt)")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an export that is there already"
    )


def run(arguments: argparse.Namespace) -> None:
    """Export, and say what was written.

    Raises:
        PerceptionDLMError: the checkpoint can't be exported, or the folder can't be written.
    """
    with Progress("starting") as waiting:
        from perceptiondlm_ros.export.exporter import ExportOptions, export
        from perceptiondlm_ros.runtime.locate import checkpoint_name, locate_checkpoint

        options = ExportOptions(
            precision=arguments.precision,
            steps=arguments.steps,
            caption_tokens=arguments.caption_tokens,
            prompt=arguments.prompt,
            overwrite=arguments.overwrite,
        )
        folder = locate_checkpoint(arguments.checkpoint)
        name = checkpoint_name(arguments.checkpoint)
        manifest = export(folder, arguments.output, options, name=name, progress=waiting.now)
    total = sum(record.bytes for record in manifest.files.values())
    print(f"{arguments.output}: {name} in {manifest.precision}, {gigabytes(total)}")
    for file, record in sorted(manifest.files.items()):
        print(f"  {record.bytes / 1e6:9.1f} MB  {file}")

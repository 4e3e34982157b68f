"""Installs the Python package with pip, without ROS: no messages, no node.

With ROS, colcon builds the package from package.xml and CMakeLists.txt, and this file is not used.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import find_namespace_packages, setup

HERE = Path(__file__).resolve().parent
MANIFEST = ElementTree.parse(HERE / "package.xml").getroot()
TORCH = ["safetensors>=0.4", "torch>=2.4"]


def text_of(tag: str) -> str:
    """Text of one element of package.xml on one line."""
    return " ".join((MANIFEST.findtext(tag) or "").split())


# What needs a ROS installation is left out.
packages = find_namespace_packages(
    include=["perceptiondlm_ros", "perceptiondlm_ros.*"],
    exclude=[
        f"perceptiondlm_ros.{name}{end}"
        for name in ("ros", "development.demo")
        for end in ("", ".*")
    ],
)
package_dir = {}
if (HERE / "export").is_dir():
    packages.append("perceptiondlm_ros.export")
    package_dir["perceptiondlm_ros.export"] = "export"
# Bags are read and written without ROS, so the code has the message definitions beside it.
for name, folder in (("perceptiondlm_ros", "msg"), ("vision_msgs", "interfaces/vision_msgs/msg")):
    packages.append(f"perceptiondlm_ros.definitions.{name}")
    package_dir[f"perceptiondlm_ros.definitions.{name}"] = folder

setup(
    name=text_of("name"),
    version=text_of("version"),
    description=text_of("description"),
    license=text_of("license"),
    python_requires=">=3.10",
    packages=[name for name in packages if "__pycache__" not in name],
    package_dir=package_dir,
    package_data={
        "": ["*.json", "*.msg", "*.onnx", "*.safetensors", "*.yaml", "*.jinja", "*.txt", "py.typed"]
    },
    include_package_data=False,
    install_requires=[
        *("msgspec>=0.18", "numpy>=1.26", "onnxruntime>=1.18", "pillow>=10.1", "psutil>=5.9"),
        *("rich>=11.2", "tokenizers>=0.19"),
    ],
    extras_require={
        "bag": ["apsw>=3.42", "mcap>=1.2", "opencv-python-headless>=4.5", "rosbags>=0.11"],
        "development": [*TORCH, "huggingface_hub>=0.23", "matplotlib>=3.8"],
        "hub": ["huggingface_hub>=0.23"],
        "export": [
            *("filelock>=3.6", "onnx>=1.16", "onnxscript>=0.5", "safetensors>=0.4", "torch>=2.8"),
        ],
        "rtx": [
            *("cuda-bindings>=13", "filelock>=3.6"),
            *("tensorrt-rtx-cu13-bindings>=1.7", "tensorrt-rtx-cu13-libs>=1.7"),
        ],
        "tensorrt": ["cuda-bindings>=12.8", "filelock>=3.6", "tensorrt>=10.3"],
        "torch": TORCH,
    },
    entry_points={"console_scripts": ["perceptiondlm = perceptiondlm_ros.cli.main:main"]},
)

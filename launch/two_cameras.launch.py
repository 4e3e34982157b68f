"""Start a region_captioner for each of two cameras: an example to copy, they share nothing.

Each takes image and detections of its namespace: /left/image, /left/detections and so on. What is
not declared here is an argument of perceptiondlm.launch.py, and holds for both.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory("perceptiondlm_ros"))
    node = str(share / "launch/perceptiondlm.launch.py")
    description = LaunchDescription()
    for camera in ("left", "right"):
        argument = DeclareLaunchArgument(
            camera, default_value=camera, description=f"Namespace of the {camera} camera."
        )
        include = IncludeLaunchDescription(
            PythonLaunchDescriptionSource(node),
            launch_arguments={"namespace": LaunchConfiguration(camera)}.items(),
        )
        description.add_action(argument)
        # In a group, so that the arguments of one are not those of the other.
        description.add_action(GroupAction([include]))
    return description

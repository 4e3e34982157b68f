"""Start the demo's camera with its detector, the node, and with rviz:=true RViz to look at it."""

import time
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

FRAME = "camera_optical_frame"
# REP 103: an optical frame has z forward, x right, y down.
OPTICAL = ["--roll", "-1.5708", "--yaw", "-1.5708", "--frame-id", "map", "--child-frame-id", FRAME]


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory("perceptiondlm_ros"))
    node = str(share / "launch/perceptiondlm.launch.py")
    wants_rviz = IfCondition(LaunchConfiguration("rviz"))
    arguments = {
        "seed": ("7", "Number of the first scene."),
        "objects": ("5", "Objects in a scene, 1 to 6."),
        "rviz": ("false", "true starts RViz, too; it has to be installed."),
    }
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in arguments.items()
            ),
            Node(
                package="perceptiondlm_ros",
                executable="demo_camera",
                output="screen",
                arguments=[
                    *("--seed", LaunchConfiguration("seed")),
                    *("--objects", LaunchConfiguration("objects")),
                    *("--start-ns", str(time.time_ns())),
                ],
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(node)),
            Node(
                package="tf2_ros",
                executable="static_transform_publisher",
                arguments=OPTICAL,
                condition=wants_rviz,
            ),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(share / "config/perceptiondlm.rviz")],
                condition=wants_rviz,
            ),
        ]
    )

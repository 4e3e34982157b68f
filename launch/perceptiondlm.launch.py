"""Start one region_captioner. A second camera is a second include in another namespace."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory("perceptiondlm_ros"))
    arguments = {
        "namespace": ("", "Namespace of the node and of its relative topics."),
        "params_file": (str(share / "config/region_captioner.yaml"), "YAML file of parameters."),
        "image": ("image", "Topic of the images."),
        "detections": ("detections", "Topic of the detections."),
        "use_sim_time": ("false", "Take the time from /clock."),
        "autostart": ("true", "Configure and activate at once."),
        "log_level": ("info", "debug, info, warn, error or fatal."),
    }
    given = {name: LaunchConfiguration(name) for name in arguments}
    node = LifecycleNode(
        package="perceptiondlm_ros",
        executable="region_captioner",
        name="region_captioner",
        namespace=given["namespace"],
        output="screen",
        parameters=[
            given["params_file"],
            {
                name: ParameterValue(given[name], value_type=bool)
                for name in ("use_sim_time", "autostart")
            },
        ],
        remappings=[(topic, given[topic]) for topic in ("image", "detections")],
        arguments=["--ros-args", "--log-level", given["log_level"]],
    )
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in arguments.items()
    ]
    return LaunchDescription([*declared, node])

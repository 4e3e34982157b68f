"""Start one region_captioner. A second camera is a second include in another namespace."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

OVERRIDES = ("use_sim_time", "autostart")


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory("perceptiondlm_ros"))
    arguments = {
        "namespace": ("", "Namespace of the node and of its relative topics."),
        "params_file": (str(share / "config/region_captioner.yaml"), "YAML file of parameters."),
        "image": ("image", "Topic of the images."),
        "detections": ("detections", "Topic of the detections."),
        "use_sim_time": ("", "true takes the time from /clock; empty leaves it to params_file."),
        "autostart": ("", "Configure and activate at once? Empty leaves it to params_file."),
        "log_level": ("info", "debug, info, warn, error or fatal."),
    }
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in arguments.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[LifecycleNode]:
    """The node, once it is known which arguments were given: they win over params_file."""
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=bool)
        for name in OVERRIDES
        if LaunchConfiguration(name).perform(context)
    }
    node = LifecycleNode(
        package="perceptiondlm_ros",
        executable="region_captioner",
        name="region_captioner",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[LaunchConfiguration("params_file"), *([overrides] if overrides else [])],
        remappings=[(topic, LaunchConfiguration(topic)) for topic in ("image", "detections")],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
    )
    return [node]

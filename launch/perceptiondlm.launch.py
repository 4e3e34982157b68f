"""Start one region_captioner. Another camera is another include, in a namespace of its own."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

OVERRIDES = ("use_sim_time", "autostart")
TOPICS = ("image", "detections", "masks", "camera_info", "depth")


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory("perceptiondlm_ros"))
    arguments = {
        "namespace": ("", "Namespace of the node and of its relative topics."),
        "params_file": (str(share / "config/region_captioner.yaml"), "YAML file of parameters."),
        **{name: (name, f"Topic that the node takes as its {name}.") for name in TOPICS},
        "use_sim_time": ("", "true takes the time from /clock; empty leaves it to params_file."),
        "autostart": ("", "Configure and activate at once? Empty leaves it to params_file."),
        "log_level": ("info", "debug, info, warn, error or fatal."),
        "respawn": ("false", "true starts the node again when its process has ended."),
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
        remappings=[(topic, LaunchConfiguration(topic)) for topic in TOPICS],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        respawn=LaunchConfiguration("respawn").perform(context).lower() == "true",
        respawn_delay=2.0,
    )
    return [node]

"""Play a bag, caption it, record everything; ends when the bag has ended.

Live, in real time: where the model is slower than the camera, frames are left out. `perceptiondlm
bag` captions every frame of a bag, without ROS. Further arguments: perceptiondlm.launch.py.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.event_handlers import OnStateTransition

PLAY = ("ros2", "bag", "play", "--clock", "50", "--delay", "2")
RECORD = ("ros2", "bag", "record", "--all", "--use-sim-time", "--output")
ARGUMENTS = {
    "bag": (None, "The bag to play."),
    "output": (None, "The bag to make, a new folder."),
    "rate": ("1.0", "Speed of playing; below 1 gives a slow model time for more frames."),
    "linger": ("5.0", "Time for the last captions after the bag has ended [s]."),
}


def generate_launch_description() -> LaunchDescription:
    share = Path(get_package_share_directory("perceptiondlm_ros"))
    node = PythonLaunchDescriptionSource(str(share / "launch/perceptiondlm.launch.py"))
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            IncludeLaunchDescription(node, launch_arguments={"use_sim_time": "true"}.items()),
            OpaqueFunction(function=play_when_active),
        ]
    )


def play_when_active(context: LaunchContext) -> list[RegisterEventHandler]:
    """Nothing is played before the model is loaded."""
    bag, output, rate, linger = (LaunchConfiguration(name).perform(context) for name in ARGUMENTS)
    # The recorder needs a moment to find the topics.
    play = ExecuteProcess(cmd=[*PLAY, bag, "--rate", rate], output="screen")
    record = ExecuteProcess(cmd=[*RECORD, output], output="screen")
    end = TimerAction(period=float(linger), actions=[Shutdown(reason="the bag has ended")])
    played = OnProcessExit(target_action=play, on_exit=[end])
    started = OnStateTransition(goal_state="active", entities=[record, play], handle_once=True)
    return [RegisterEventHandler(played), RegisterEventHandler(started)]

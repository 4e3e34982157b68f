"""Messages like those of foxglove_msgs: the same fields, strict as rclpy's about their types."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from builtin_interfaces.msg import Time


class Message:
    """Takes its fields by name, and nothing else."""

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            kind = getattr(type(self), f"{name}_type", None)
            assert kind, f"{type(self).__name__} has no field {name}"
            if isinstance(kind, list):
                assert isinstance(value, list)
                assert all(type(item) is kind[0] for item in value), name
            else:
                assert type(value) is kind, f"{name} is a {type(value).__name__}"
            setattr(self, name, value)


def message(name: str, **kinds: Any) -> Any:
    return type(name, (Message,), {f"{field}_type": kind for field, kind in kinds.items()})


Point2 = message("Point2", x=float, y=float)
Color = message("Color", r=float, g=float, b=float, a=float)
CircleAnnotation = message(
    "CircleAnnotation",
    timestamp=Time,
    position=Point2,
    diameter=float,
    thickness=float,
    fill_color=Color,
    outline_color=Color,
)
PointsAnnotation = message(
    "PointsAnnotation",
    timestamp=Time,
    type=int,
    points=[Point2],
    outline_color=Color,
    outline_colors=[Color],
    fill_color=Color,
    thickness=float,
)
PointsAnnotation.LINE_LOOP = 2
TextAnnotation = message(
    "TextAnnotation",
    timestamp=Time,
    position=Point2,
    text=str,
    font_size=float,
    text_color=Color,
    background_color=Color,
)
ImageAnnotations = message(
    "ImageAnnotations",
    circles=[CircleAnnotation],
    points=[PointsAnnotation],
    texts=[TextAnnotation],
)
MESSAGES = SimpleNamespace(
    Point2=Point2,
    Color=Color,
    PointsAnnotation=PointsAnnotation,
    TextAnnotation=TextAnnotation,
    ImageAnnotations=ImageAnnotations,
)

"""Messages like those of foxglove_msgs: the same fields, strict as rclpy's about their types."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

from builtin_interfaces.msg import Time


class Message:
    """Takes its fields by name, and nothing else."""

    FIELDS: ClassVar[dict[str, Any]] = {}

    def __init__(self, **fields: Any) -> None:
        for name, value in fields.items():
            assert name in self.FIELDS, f"{type(self).__name__} has no field {name}"
            kind = self.FIELDS[name]
            if isinstance(kind, list):
                assert isinstance(value, list)
                assert all(type(item) is kind[0] for item in value), name
            else:
                assert type(value) is kind, f"{name} is a {type(value).__name__}"
            setattr(self, name, value)


class Point2(Message):
    FIELDS: ClassVar = {"x": float, "y": float}


class Color(Message):
    FIELDS: ClassVar = {"r": float, "g": float, "b": float, "a": float}


class CircleAnnotation(Message):
    FIELDS: ClassVar = {
        "timestamp": Time,
        "position": Point2,
        "diameter": float,
        "thickness": float,
        "fill_color": Color,
        "outline_color": Color,
    }


class PointsAnnotation(Message):
    UNKNOWN, POINTS, LINE_LOOP, LINE_STRIP, LINE_LIST = range(5)
    FIELDS: ClassVar = {
        "timestamp": Time,
        "type": int,
        "points": [Point2],
        "outline_color": Color,
        "outline_colors": [Color],
        "fill_color": Color,
        "thickness": float,
    }


class TextAnnotation(Message):
    FIELDS: ClassVar = {
        "timestamp": Time,
        "position": Point2,
        "text": str,
        "font_size": float,
        "text_color": Color,
        "background_color": Color,
    }


class ImageAnnotations(Message):
    FIELDS: ClassVar = {
        "circles": [CircleAnnotation],
        "points": [PointsAnnotation],
        "texts": [TextAnnotation],
    }


MESSAGES = SimpleNamespace(
    Point2=Point2,
    Color=Color,
    CircleAnnotation=CircleAnnotation,
    PointsAnnotation=PointsAnnotation,
    TextAnnotation=TextAnnotation,
    ImageAnnotations=ImageAnnotations,
)

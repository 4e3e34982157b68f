"""The errors that callers may catch: one base class, one subclass for each kind of cause.

A message names what was given, what was expected and what to do about it.
"""


class PerceptionDLMError(Exception):
    """Base class of every error that this package raises on purpose."""


class InputError(PerceptionDLMError, ValueError):
    """An image, region, prompt or option that can't be used as it was given."""


class CheckpointError(PerceptionDLMError):
    """A checkpoint that is missing, incomplete, or not of the published layout."""


class BackendError(PerceptionDLMError):
    """A backend or device that isn't available on this machine, or failed while running."""


class OutOfMemoryError(BackendError):
    """A model, an engine, its build or a pass that needs more memory than the device has free."""


class ExportError(PerceptionDLMError):
    """A model that can't be exported, or an export that can't be written."""

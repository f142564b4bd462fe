"""What can be wrong with a frame."""


class FrameError(ValueError):
    """A frame can't be analysed."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        """Path from the frame."""
        self.description = description

"""Further reasons why a link is of no use at the moment."""

from ..hyheat.errors import LinkError


class MqttNotLoadedError(LinkError):
    """It is not set up, disabled, or not loaded."""

    def __init__(self) -> None:
        """Say so, for the log."""
        super().__init__("Home Assistant's MQTT integration is not loaded")


class MqttNotConnectedError(LinkError):
    """It is loaded, but not connected to its broker."""

    def __init__(self) -> None:
        """Say so, for the log."""
        super().__init__("Home Assistant's MQTT integration is not connected to its broker")


class SessionTakenOverError(LinkError):
    """Another client connected under our id, and the broker ended our connection for it."""


class SessionRefusedError(LinkError):
    """The broker refused a connection whose session outlives it, for no reason of another kind."""

"""Why Home Assistant's own MQTT integration is of no use at the moment."""

from ..hyheat.errors import LinkError


class MqttNotLoadedError(LinkError):
    """It is not set up, disabled, or not loaded."""

    def __init__(self) -> None:
        super().__init__("Home Assistant's MQTT integration is not loaded")


class MqttNotConnectedError(LinkError):
    """It is loaded, but not connected to its broker."""

    def __init__(self) -> None:
        super().__init__("Home Assistant's MQTT integration is not connected to its broker")

"""The only map from the library's errors to Home Assistant's."""

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from .const import DOMAIN
from .hyheat.errors import FailureReason, HyHeatError, ReplyError, RequestError


def unknown_device(target: str) -> HomeAssistantError:
    """Return the error for something that only a known device type can do."""
    return HomeAssistantError(
        translation_domain=DOMAIN,
        translation_key="unknown_device",
        translation_placeholders={"target": target},
    )


def to_home_assistant(err: HyHeatError, target: str) -> HomeAssistantError:
    """Return the translated error for a failed request; `target` names gateway or meter."""
    if isinstance(err, RequestError):
        return ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="invalid_request",
            translation_placeholders={"target": target, "detail": str(err)},
        )
    reason = err.reason if isinstance(err, ReplyError) else FailureReason.LINK_DOWN
    return HomeAssistantError(
        translation_domain=DOMAIN,
        translation_key=f"failed_{reason}",
        translation_placeholders={"target": target},
    )

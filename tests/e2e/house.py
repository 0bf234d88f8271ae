"""A Home Assistant under test, and the questions that the tests ask it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hass_api import HassApi, wait_for
from hass_log import LogRecord, complaints
from hass_process import HassProcess
from processes import free_port

from custom_components.hy_heating.hyheat.envelope import report_topic

from .mosquitto import Mosquitto

USER = "demo"
USER_PASSWORD = "demo"
PROBE = Path(__file__).with_name("probe")


class House:
    """A Home Assistant process, a client of it, and the broker that it is to use."""

    api: HassApi

    def __init__(
        self, folder: Path, broker: Mosquitto, *, port: int | None = None, **process: Any
    ) -> None:
        """Prepare it; `port` is where it finds the broker, if not at its own."""
        self.broker = broker
        self.port = port or broker.port
        self.hass = HassProcess(folder, free_port(), "Test", **process)
        self.log = ""
        self._ids: dict[str, str] = {}

    async def start(self) -> None:
        """Start it, onboarded, and wait until it is running."""
        self.api = HassApi(self.hass.url)
        first = not self.hass.onboarded
        await self.hass.start()
        if first:
            await self.api.onboard("Demo", USER, USER_PASSWORD)
        else:
            await self.api.log_in(USER, USER_PASSWORD)
        await self.api.wait_running()

    async def stop(self) -> None:
        """End it in an orderly way and keep its log."""
        if hasattr(self, "api"):
            await self.api.close()
        await self.hass.stop()
        self.log += self.hass.log

    async def kill(self) -> None:
        """End it as a power failure would."""
        await self.api.close()
        self.hass.kill()
        self.log += self.hass.log

    def complaints(self, expected: tuple[str, ...]) -> list[LogRecord]:
        """Return what the logs of all runs complain about, but what was expected."""
        return complaints(self.log, expected)

    # --- The flow --------------------------------------------------------------------------

    def broker_form(self, **changes: Any) -> dict[str, Any]:
        """Return the answers to the form that asks for the broker; None leaves a field empty."""
        answers = {
            "host": "127.0.0.1",
            "port": self.port,
            "username": self.broker.username,
            "password": self.broker.password,
            "encryption": "none",
            "advanced": {"prefix": "hy/gw"},
        } | changes
        return {key: answer for key, answer in answers.items() if answer is not None}

    async def add_mqtt(self) -> str:
        """Set up Home Assistant's own MQTT at the broker; return the entry's id."""
        answers = {
            "broker": "127.0.0.1",
            "port": self.broker.port,
            "username": self.broker.username,
            "password": self.broker.password,
            "other_settings": {"set_client_cert": False, "set_ca_cert": "off"},
        }
        step = await self.api.start_flow("mqtt")
        step = await self.api.answer_flow(step, answers)
        assert step["type"] == "create_entry", step
        return str(step["result"]["entry_id"])

    async def add_answering_gateway(self, gateway_id: str, name: str, **changes: Any) -> str:
        """Add a gateway that answers, by its id; return the entry's id.

        `changes` are answers about a broker of its own, beside those in use.
        """
        api = self.api
        step = await api.start_flow()
        if step["step_id"] == "user":
            step = await api.answer_flow(step, {"broker": "new"})
        step = await api.answer_flow(step, self.broker_form(**changes))
        step = await api.answer_flow(step, {"next_step_id": "gateway_id"})
        step = await api.wait_flow(await api.answer_flow(step, {"gateway_id": gateway_id}))
        assert step["step_id"] == "probed", step
        step = await api.answer_flow(step, {"name": name})
        assert step["type"] == "create_entry", step
        return str(step["result"]["entry_id"])

    async def add_heard_gateway(self, gateway_id: str, name: str, report: str) -> str:
        """Add a gateway that is heard with a report; return the entry's id."""
        api = self.api
        step = await api.answer_flow(await api.start_flow(), self.broker_form())
        step = await api.answer_flow(step, {"next_step_id": "listen"})
        assert step["type"] == "progress", step
        await wait_for(self._read_log, lambda log: f"{report_topic('+')} (QoS" in log)
        await self.broker.publish(report_topic(gateway_id), report)
        step = await api.wait_flow(step)
        assert step["step_id"] == "heard", step
        step = await api.answer_flow(step, {"gateways": [gateway_id]})
        step = await api.answer_flow(step, {"name": name})
        assert step["type"] == "create_entry", step
        return str(step["result"]["entry_id"])

    async def _read_log(self) -> str:
        return self.broker.log

    # --- States ----------------------------------------------------------------------------

    async def entity_id(self, unique_id: str) -> str:
        """Return the entity id of a registered entity."""
        if unique_id not in self._ids:
            registered = await self.api.entities()
            self._ids = {entity["unique_id"]: entity["entity_id"] for entity in registered}
        return self._ids[unique_id]

    async def state(self, unique_id: str) -> dict[str, Any] | None:
        """Return the state of an entity, None where there is none (yet)."""
        try:
            entity_id = await self.entity_id(unique_id)
        except KeyError:
            return None
        return (await self.api.states()).get(entity_id)

    async def wait_state(
        self,
        unique_id: str,
        is_right: Callable[[dict[str, Any]], bool],
        timeout_s: float = 20.0,
    ) -> dict[str, Any]:
        """Return the state of an entity once it is right; raises TimeoutError."""

        async def fetch() -> dict[str, Any] | None:
            return await self.state(unique_id)

        state = await wait_for(fetch, lambda got: got is not None and is_right(got), timeout_s)
        assert state is not None
        return state

    async def enable_all_entities(self) -> None:
        """Enable what is disabled by default, and have it set up."""
        disabled = [each for each in await self.api.entities() if each["disabled_by"]]
        for entity in disabled:
            await self.api.command(
                "config/entity_registry/update",
                entity_id=entity["entity_id"],
                disabled_by=None,
            )
        for entry_id in {entity["config_entry_id"] for entity in disabled}:
            await self.api.reload_entry(entry_id)


class WatchedHouse(House):
    """A Home Assistant with the probe in it."""

    def __init__(self, folder: Path, broker: Mosquitto, **more: Any) -> None:
        """Prepare it, as a `House`."""
        self._received = folder.with_suffix(".received")
        super().__init__(
            folder,
            broker,
            components={"hy_probe": PROBE},
            configuration="hy_probe:\n",
            environment={
                "PYTHONPATH": str(PROBE / "early"),
                "HY_PROBE_RECEIVED": str(self._received),
            },
            **more,
        )

    async def figures(self) -> dict[str, Any]:
        """Return what the probe measured since it was reset."""
        figures: dict[str, Any] = await self.api.request("GET", "/api/hy_probe")
        return figures

    async def reset_figures(self) -> None:
        """Let the probe begin anew."""
        await self.api.request("POST", "/api/hy_probe")

    def received(self) -> Counter[str]:
        """Return every frame that the integration ever took, and how often."""
        path = self._received
        return Counter(path.read_text(encoding="ascii").split()) if path.exists() else Counter()


def position(percent: int) -> Callable[[dict[str, Any]], bool]:
    """Return whether a valve's state shows a position and that it stands still."""
    word = "open" if percent else "closed"
    return lambda state: (
        state["state"] == word and state["attributes"].get("current_position") == percent
    )

"""A client of Home Assistant's REST and WebSocket interfaces, as far as demo and tests need it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
import time
from typing import Any, Self

import aiohttp

DOMAIN = "hy_heating"

_HTTP_ERRORS = 400


class ApiError(Exception):
    """Home Assistant refused a request; the text has what it said."""

    def __init__(self, what: str, answer: Any) -> None:  # noqa: ANN401 - JSON is any of its types
        """Take what was asked and what was answered."""
        super().__init__(f"{what}: {answer}")
        self.answer = answer


class HassApi:
    """One user's access; use `log_in` or `onboard`, then it as an asynchronous context."""

    def __init__(self, url: str) -> None:
        """Have access to the Home Assistant at a URL."""
        self.url = url
        self._client_id = f"{url}/"
        self._session = aiohttp.ClientSession()
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._lock = asyncio.Lock()
        self._last_id = 0

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Close the connections."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._socket is not None:
            await self._socket.close()
        await self._session.close()

    # --- Requests --------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        data: Any = None,  # noqa: ANN401 - JSON is any of its types
        form: Mapping[str, str] | None = None,
    ) -> Any:  # noqa: ANN401 - the same
        """Return the JSON answer of a REST request with JSON or a form; raises ApiError."""
        url = self.url + path
        async with self._session.request(method, url, json=data, data=form) as response:
            is_json = response.content_type == "application/json"
            answer = await response.json() if is_json else await response.text()
            if response.status >= _HTTP_ERRORS:
                raise ApiError(f"{method} {path} gave status {response.status}", answer)
            return answer

    async def command(self, kind: str, **fields: Any) -> Any:  # noqa: ANN401 - JSON is any of its types
        """Return the result of a WebSocket command; raises ApiError."""
        async with self._lock:
            try:
                answer = await self._ask(kind, fields)
            except aiohttp.ClientError, TypeError:
                # Home Assistant hangs up on who was quiet for a minute; TypeError: that it says so.
                self._socket = None
                answer = await self._ask(kind, fields)
        if not answer["success"]:
            raise ApiError(kind, answer["error"])
        return answer["result"]

    async def _ask(self, kind: str, fields: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON is any of its types
        socket = self._socket = self._socket or await self._open_socket()
        self._last_id += 1
        await socket.send_json({"id": self._last_id, "type": kind, **fields})
        while (answer := await socket.receive_json())["id"] != self._last_id:
            pass
        return answer

    async def _open_socket(self) -> aiohttp.ClientWebSocketResponse:
        socket = await self._session.ws_connect(f"{self.url}/api/websocket", max_msg_size=0)
        await socket.receive_json()
        token = self._session.headers["Authorization"].removeprefix("Bearer ")
        await socket.send_json({"type": "auth", "access_token": token})
        if (answer := await socket.receive_json())["type"] != "auth_ok":
            raise ApiError("log in to the WebSocket", answer)
        return socket

    # --- Onboarding and login --------------------------------------------------------------

    async def onboard(self, name: str, username: str, password: str) -> None:
        """Create the owner of a new Home Assistant and finish its onboarding."""
        user = {
            "name": name,
            "username": username,
            "password": password,
            "client_id": self._client_id,
            "language": "en",
        }
        answer = await self.request("POST", "/api/onboarding/users", user)
        await self._use_code(answer["auth_code"])
        await self.request("POST", "/api/onboarding/analytics", {})
        step = {"client_id": self._client_id, "redirect_uri": self._client_id}
        await self.request("POST", "/api/onboarding/integration", step)

    async def log_in(self, username: str, password: str) -> None:
        """Log in as a user; raises ApiError where user name or password are wrong."""
        flow = await self.request(
            "POST",
            "/auth/login_flow",
            {
                "client_id": self._client_id,
                "handler": ["homeassistant", None],
                "redirect_uri": self._client_id,
            },
        )
        credentials = {
            "client_id": self._client_id,
            "username": username,
            "password": password,
        }
        answer = await self.request("POST", f"/auth/login_flow/{flow['flow_id']}", credentials)
        if answer["type"] != "create_entry":
            raise ApiError("log in", answer.get("errors"))
        await self._use_code(answer["result"])

    async def _use_code(self, code: str) -> None:
        form = {"client_id": self._client_id, "grant_type": "authorization_code", "code": code}
        tokens = await self.request("POST", "/auth/token", form=form)
        self._session.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    async def wait_running(self, timeout_s: float = 120.0) -> None:
        """Wait until everything is set up; raises TimeoutError."""

        async def state() -> str:
            return str((await self.request("GET", "/api/config"))["state"])

        await wait_for(state, lambda state: state == "RUNNING", timeout_s)

    # --- States and actions ----------------------------------------------------------------

    async def states(self) -> dict[str, dict[str, Any]]:
        """Return all states by entity id."""
        return {state["entity_id"]: state for state in await self.request("GET", "/api/states")}

    async def act(self, action: str, target: str, **data: Any) -> Any:  # noqa: ANN401 - JSON is any of its types
        """Have an action (domain.name) done with an entity; return the states it changed."""
        domain, name = action.split(".")
        return await self.request(
            "POST", f"/api/services/{domain}/{name}", {"entity_id": target, **data}
        )

    async def ask(self, action: str, **data: Any) -> Any:  # noqa: ANN401 - JSON is any of its types
        """Have an action (domain.name) done that answers with data; return the data."""
        domain, name = action.split(".")
        path = f"/api/services/{domain}/{name}?return_response"
        return (await self.request("POST", path, data))["service_response"]

    # --- Config entries and flows ----------------------------------------------------------

    async def entries(self) -> list[dict[str, Any]]:
        """Return the integration's config entries."""
        entries: list[dict[str, Any]] = await self.command("config_entries/get", domain=DOMAIN)
        return entries

    async def start_flow(self, domain: str = DOMAIN) -> dict[str, Any]:
        """Start a config flow, the integration's own or another's; return its first step."""
        path = "/api/config/config_entries/flow"
        return _flow(await self.request("POST", path, {"handler": domain}))

    async def open_flow(self, flow_id: str) -> dict[str, Any]:
        """Return the step that a flow under way waits with, such as a discovered one."""
        return _flow(await self.request("GET", f"/api/config/config_entries/flow/{flow_id}"))

    async def discovered(self) -> list[dict[str, Any]]:
        """Return the integration's flows that a user is shown as discovered."""
        flows = await self.command("config_entries/flow/progress")
        return [flow for flow in flows if flow["handler"] == DOMAIN]

    async def answer_flow(
        self, step: Mapping[str, Any], answers: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Answer a step of a flow; return the next one, which may show progress."""
        path = f"/api/config/config_entries/flow/{step['flow_id']}"
        return _flow(await self.request("POST", path, answers))

    async def wait_flow(self, step: Mapping[str, Any], timeout_s: float = 60.0) -> dict[str, Any]:
        """Return the step of a flow that follows those of progress; raises TimeoutError."""
        path = f"/api/config/config_entries/flow/{step['flow_id']}"

        async def fetch() -> dict[str, Any]:
            return _flow(await self.request("GET", path))

        if step["type"] != "progress":
            return dict(step)
        return await wait_for(fetch, lambda step: step["type"] != "progress", timeout_s)

    async def upload(self, name: str, content: bytes) -> str:
        """Upload a file for a form; return what stands for it there."""
        form = aiohttp.FormData()
        form.add_field("file", content, filename=name)
        async with self._session.post(f"{self.url}/api/file_upload", data=form) as response:
            return str((await response.json())["file_id"])

    async def set_options(self, entry_id: str, **options: Any) -> None:
        """Change options of an entry, as its form does; the others stay as they are."""
        path = "/api/config/config_entries/options/flow"
        step = await self.request("POST", path, {"handler": entry_id})
        as_it_is = {
            each["name"]: each["default"] for each in step["data_schema"] if "default" in each
        }
        for each in step["data_schema"]:
            if suggested := (each.get("description") or {}).get("suggested_value"):
                as_it_is[each["name"]] = suggested
        answer = await self.request("POST", f"{path}/{step['flow_id']}", as_it_is | options)
        if answer["type"] != "create_entry":
            raise ApiError("set options", answer)

    async def reload_entry(self, entry_id: str) -> None:
        """Unload an entry and set it up again."""
        await self.request("POST", f"/api/config/config_entries/entry/{entry_id}/reload")

    async def remove_entry(self, entry_id: str) -> None:
        """Remove an entry."""
        await self.request("DELETE", f"/api/config/config_entries/entry/{entry_id}")

    # --- Registries ------------------------------------------------------------------------

    async def entities(self) -> list[dict[str, Any]]:
        """Return the integration's registered entities, disabled ones too."""
        entities = await self.command("config/entity_registry/list")
        return [entity for entity in entities if entity["platform"] == DOMAIN]

    async def devices(self) -> list[dict[str, Any]]:
        """Return the integration's devices."""
        devices = await self.command("config/device_registry/list")
        return [
            device
            for device in devices
            if any(domain == DOMAIN for domain, _ in device["identifiers"])
        ]


def _flow(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON is any of its types
    flow: dict[str, Any] = answer
    return flow


async def wait_for[T](
    fetch: Callable[[], Awaitable[T]],
    is_right: Callable[[T], bool],
    timeout_s: float = 20.0,
    pause_s: float = 0.1,
) -> T:
    """Fetch something until it is right; raises TimeoutError that has the last one."""
    deadline = time.monotonic() + timeout_s
    while not is_right(got := await fetch()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s, last: {got!r}"[:2000])
        await asyncio.sleep(pause_s)
    return got

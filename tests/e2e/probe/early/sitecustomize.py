"""Runs when a Python starts that has this folder on its path: a Home Assistant under test.

Writes down the frame of every report that the integration takes, one a line, in a file that
survives a `kill -9`. Done by changing the library's client when it is imported, because no
integration is sure to be set up before the first message arrives.
"""

from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
import os
import sys
from types import ModuleType
from typing import Any, override

CLIENT = "custom_components.hy_heating.hyheat.client"


class _Watcher(MetaPathFinder):
    @override
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != CLIENT:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec and spec.loader:
            _watch(spec.loader)
        return spec


def _watch(loader: Loader) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        received = os.open(
            os.environ["HY_PROBE_RECEIVED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600
        )
        client: Any = module
        tell = client.GatewayClient._tell

        def watch(self: object, event: Any) -> None:  # noqa: ANN401 - the module is not typed here
            if isinstance(event, client.ReadingReceived) and event.protocol_code is not None:
                os.write(received, event.reading.frame.hex().upper().encode() + b"\n")
            tell(self, event)

        client.GatewayClient._tell = watch

    loader.exec_module = exec_module  # type: ignore[method-assign] # the watch


sys.meta_path.insert(0, _Watcher())

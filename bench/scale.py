"""Past one machine: the recorder on a database server, and several instances at one broker."""

from . import scale_broker, scale_history
from .report import Results


def run(results: Results) -> None:
    """Measure both."""
    scale_history.run(results)
    scale_broker.run(results)

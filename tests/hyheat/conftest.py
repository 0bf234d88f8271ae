"""What every test of the library shares."""

from hypothesis import HealthCheck, settings
import pytest

# The same examples in every run: a red run can be repeated. Time limits belong to pytest, and a
# busy machine is no fault. Mutation testing runs a test more than once in a process, which
# hypothesis would take for a mistake.
settings.register_profile(
    "hyheat",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)
settings.load_profile("hyheat")


def pytest_configure(config: pytest.Config) -> None:
    # On Python 3.14 hypothesis takes its own generator, which a thread-local holds, for lost.
    config.addinivalue_line(
        "filterwarnings",
        "ignore:It looks like `register_random`:hypothesis.errors.HypothesisWarning",
    )

"""What a user of the simulator can get wrong."""


class ScenarioError(Exception):
    """A scenario, a fault or a control request that makes no sense; the text says where and why."""

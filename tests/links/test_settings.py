"""What makes up a connection, and what makes two of them one."""

import pytest

from custom_components.hy_heating.links.settings import (
    BrokerSettings,
    HomeAssistantSettings,
    settings_from_data,
    with_settings,
)

DATA = {
    "host": "broker.example",
    "port": 8883,
    "username": "heat",
    "password": "secret",
    "tls": True,
    "tls_verify": True,
    "ca_certificate": "-----BEGIN CERTIFICATE-----",
    "prefix": "hy/gw",
    "link": "own",
    "discovery": True,
}
SHARED = {"link": "home_assistant", "prefix": "hy/gw", "discovery": True}


def test_data_makes_settings_and_settings_make_data() -> None:
    settings = BrokerSettings.from_data(DATA | {"gateway_id": "02345678903"})
    assert settings.as_data() == DATA
    assert settings.address == "broker.example:8883"
    assert settings_from_data(DATA) == settings


@pytest.mark.parametrize("name", ["username", "password", "ca_certificate"])
def test_what_may_be_absent(name: str) -> None:
    data = {key: value for key, value in DATA.items() if key != name}
    assert BrokerSettings.from_data(data).as_data() == DATA | {name: None}


@pytest.mark.parametrize("name", ["username", "ca_certificate"])
def test_an_empty_text_is_none(name: str) -> None:
    assert BrokerSettings.from_data(DATA | {name: ""}).as_data() == DATA | {name: None}


@pytest.mark.parametrize("name", ["host", "port", "tls", "tls_verify", "prefix"])
def test_what_must_be_there(name: str) -> None:
    data = {key: value for key, value in DATA.items() if key != name}
    with pytest.raises(KeyError, match=name):
        BrokerSettings.from_data(data)


def test_a_broker_is_nobodys_own_unless_that_is_said() -> None:
    data = {key: value for key, value in DATA.items() if key not in {"link", "discovery"}}
    assert settings_from_data(data).as_data() == DATA | {"discovery": False}


def test_home_assistants_mqtt_needs_only_a_prefix() -> None:
    settings = settings_from_data(SHARED)
    assert settings == HomeAssistantSettings(prefix="hy/gw", discovery=True)
    assert settings.as_data() == SHARED
    assert settings.address == "MQTT"
    assert not HomeAssistantSettings.from_data({"prefix": "hy/gw"}).discovery
    with pytest.raises(KeyError, match="prefix"):
        settings_from_data({"link": "home_assistant"})


def test_the_prefix_separates_two_links_over_home_assistants_mqtt() -> None:
    settings = HomeAssistantSettings(prefix="hy/gw")
    assert settings.key == HomeAssistantSettings(prefix="hy/gw", discovery=True).key
    assert settings.key != HomeAssistantSettings(prefix="hy/other").key
    keys: set[object] = {settings.key, BrokerSettings.from_data(DATA).key}
    assert len(keys) == 2


def test_nothing_is_left_of_a_link_that_was_exchanged() -> None:
    gateway = {"gateway_id": "02345678903", "area_id": "cellar"}
    shared = with_settings(DATA | gateway, HomeAssistantSettings(prefix="hy/gw", discovery=True))
    assert shared == SHARED | gateway
    assert with_settings(shared, BrokerSettings.from_data(DATA)) == DATA | gateway


def test_only_the_password_does_not_separate_two_connections() -> None:
    key = BrokerSettings.from_data(DATA).key
    same = DATA | {"password": "other", "discovery": False}
    assert BrokerSettings.from_data(same).key == key
    others = {
        "host": "other.example",
        "port": 1883,
        "username": None,
        "tls": False,
        "tls_verify": False,
        "ca_certificate": None,
        "prefix": "hy/other",
    }
    for name, value in others.items():
        assert BrokerSettings.from_data(DATA | {name: value}).key != key, name


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(BrokerSettings.from_data(DATA))

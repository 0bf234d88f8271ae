"""What makes up a connection, and what makes two of them one."""

import pytest

from custom_components.hy_heating.links.settings import BrokerSettings

DATA = {
    "host": "broker.example",
    "port": 8883,
    "username": "heat",
    "password": "secret",
    "tls": True,
    "tls_verify": True,
    "ca_certificate": "-----BEGIN CERTIFICATE-----",
    "prefix": "hy/gw",
}


def test_data_makes_settings_and_settings_make_data() -> None:
    settings = BrokerSettings.from_data(DATA | {"gateway_id": "02345678903"})
    assert settings.as_data() == DATA
    assert settings.address == "broker.example:8883"


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


def test_only_the_password_does_not_separate_two_connections() -> None:
    key = BrokerSettings.from_data(DATA).key
    assert BrokerSettings.from_data(DATA | {"password": "other"}).key == key
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

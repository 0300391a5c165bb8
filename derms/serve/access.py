"""How the daemon proves who it is, and others to it, as the settings say."""

from dataclasses import replace

from derms.auth import Credential, KeyRing, check_seeds, load_or_create_keys
from derms.mqtt import BrokerAddress, TlsFiles, parse_broker_url
from derms.settings import Settings
from derms.settings_access import revealed


def keys_of(settings: Settings) -> KeyRing:
    """What signs tokens: the setting, or the file in the state directory, which is made where there is none.

    Raises:
        ConfigError: It is weak, or the file cannot be read or made.
    """
    given = settings.jwt_secret
    return load_or_create_keys(settings.jwt_secret_file) if given is None else KeyRing(given.get_secret_value())


def seeds_of(settings: Settings) -> list[Credential]:
    """The users of the setting.

    Raises:
        ConfigError: One stands there twice, or has not one password or hash.
    """
    seeds = [
        Credential(
            username=user.username,
            role=user.role,
            password=revealed(user.password),
            password_hash=revealed(user.password_hash),
        )
        for user in settings.auth_users
    ]
    check_seeds(seeds)
    return seeds


def address_of(settings: Settings, url: str) -> BrokerAddress:
    """The broker, with the login that the settings give beside the URL.

    Raises:
        ConfigError: The URL is wrong.
    """
    address = parse_broker_url(url)
    if settings.mqtt_username is not None:
        address = replace(address, username=settings.mqtt_username)
    if settings.mqtt_password is not None:
        address = replace(address, password=settings.mqtt_password.get_secret_value())
    return address


def tls_files(settings: Settings) -> TlsFiles:
    """Certificates for the broker."""
    return TlsFiles(ca_file=settings.mqtt_ca_file, cert_file=settings.mqtt_cert_file, key_file=settings.mqtt_key_file)

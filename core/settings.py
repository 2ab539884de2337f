"""Settings from `dropcopy.toml` and the environment, checked at the start; the environment wins.

`NAME_FILE` (for example `DROPCOPY_SECRET_KEY_FILE`) reads the value of `NAME` from a file. A wrong setting raises
SettingsError with one sentence that names the setting, the value's place and the remedy.
"""

from __future__ import annotations

import fcntl
import ipaddress
import logging
import os
import re
import secrets
import socket
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from core.errors import SettingsError

log = logging.getLogger("dropcopy.settings")

PREFIX = "DROPCOPY_"
_LABEL = re.compile(r"(?!-)[\w-]{1,63}(?<!-)")  # one part of a host name, other scripts included
_BESIDE = {"CONFIG", "LOG", "CORPORA"}  # names of the environment that are read elsewhere


def split_address(value: str, example: str = "127.0.0.1:8000") -> tuple[str, int]:
    """`host:port`, `[v6]:port` or `:port` as a pair; raises ValueError."""
    host, colon, port = value.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"must look like {example}")
    return host.strip("[]") or "127.0.0.1", int(port)


def _listen(value: str) -> str:
    if value:
        split_address(value, "127.0.0.1:8025")
    return value


def _resolver(value: str) -> str:
    if value:
        host, _ = split_address(value, "127.0.0.1:53")
        try:
            socket.getaddrinfo(host, 53, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError):
            raise ValueError(f"the resolver {host} cannot be found; give its IP address and port, such as 127.0.0.1:53") from None
    return value


def _always_listens(value: str) -> str:
    split_address(value)
    return value


def _number_of_port(value: str) -> None:
    try:
        _ = urlsplit(value).port
    except ValueError:
        raise ValueError("has a port that is no number up to 65535") from None


def _database(value: str) -> str:
    if value and urlsplit(value).scheme not in ("postgresql", "postgres"):
        raise ValueError("must begin with postgresql://, or be empty for SQLite in the data folder")
    if value and not urlsplit(value).path.strip("/"):
        raise ValueError("must name a database, as in postgresql://user@host/dropcopy")
    _number_of_port(value)
    return value


def _queue(value: str) -> str:
    if value and urlsplit(value).scheme not in ("redis", "rediss", "postgresql", "postgres"):
        raise ValueError("must begin with redis:// or postgresql://")
    _number_of_port(value)
    path = urlsplit(value).path.strip("/")
    if value.startswith("redis") and path and not path.isdecimal():  # the client would take database 0 in silence
        raise ValueError("must end with the number of a database, as in redis://127.0.0.1:6379/0")
    return value


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise ValueError("must be a web address such as https://crm.example.com")
    _number_of_port(value)
    return value.rstrip("/")


def _relay(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("smtp", "smtps") or not parts.hostname):
        raise ValueError("must look like smtp://user:password@host:587")
    _number_of_port(value)
    return value


def _domain(value: str) -> str:
    name = value.strip().strip(".").lower()
    if name and not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError("must be a domain name such as crm.example.com")
    return name


def _networks(value: str) -> str:
    for part in value.split(","):
        if part.strip():
            try:
                ipaddress.ip_network(part.strip(), strict=False)
            except ValueError:
                raise ValueError(f"{part.strip()} is no network such as 10.0.0.0/8") from None
    return value


Listen = Annotated[str, AfterValidator(_listen)]


class Settings(BaseModel):
    """Name, default and reason of every setting, in one place."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Path = Field(Path("data"), description="Folder of the databases, the queue and the secret key.")
    database_url: Annotated[str, AfterValidator(_database)] = Field("", description="Empty: SQLite in the data folder; postgresql://… for many machines.")
    queue_url: Annotated[str, AfterValidator(_queue)] = Field("", description="Empty: follows the database; redis://… when wanted.")
    http: Annotated[str, AfterValidator(_always_listens)] = Field("127.0.0.1:8000", description="Where the pages and the API listen.")
    smtp: Listen = Field("127.0.0.1:8025", description="Where SMTP listens; empty switches it off.")
    lmtp: Listen = Field("", description="Where LMTP listens; empty switches it off.")
    dns: Annotated[str, AfterValidator(_resolver)] = Field("", description="host:port of the resolver; empty uses the system's.")
    base_url: Annotated[str, AfterValidator(_base_url)] = Field("", description="The web address people use; empty: made from http.")
    mail_domain: Annotated[str, AfterValidator(_domain)] = Field("", description="Domain of the drop addresses; empty: as set up.")
    secret_key: str = Field("", description="Signs sessions and encrypts secrets; empty: made once and kept in the data folder.", repr=False)
    plugins_dir: Path | None = Field(None, description="Folder with loose plugin files.")
    smtp_cert: Path | None = Field(None, description="Certificate (PEM) for STARTTLS.")
    smtp_key: Path | None = Field(None, description="Private key (PEM) for STARTTLS.")
    smtp_hostname: Annotated[str, AfterValidator(_domain)] = Field("", description="The name SMTP greets with; empty: the mail domain.")
    smtp_connections_per_ip: int = Field(100, ge=1, le=100_000, description="Most SMTP connections of one client address.")
    relay_url: Annotated[str, AfterValidator(_relay)] = Field("", description="smtp://user:password@host:port for mail that Dropcopy sends.", repr=False)
    trusted_proxies: int = Field(0, ge=0, le=10, description="Number of proxies in front of the web server.")
    trusted_networks: Annotated[str, AfterValidator(_networks)] = Field("", description="Networks (CIDR, by commas) of mail relays in front of us whose Received fields and XFORWARD are believed.")
    trusted_authserv_ids: str = Field("", description="Names (by commas) whose Authentication-Results are believed.")
    workers: int = Field(0, ge=0, le=64, description="Worker threads; 0: two for each processor.")

    @property
    def web_url(self) -> str:
        """The address people type: base_url, or http://host:port of the web server."""
        if self.base_url:
            return self.base_url
        host, port = split_address(self.http)
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what listens everywhere is found at home
        return f"http://[{here}]:{port}" if ":" in here else f"http://{here}:{port}"

    @property
    def on_sqlite(self) -> bool:
        return not self.database_url

    def listed(self, name: str) -> tuple[str, ...]:
        """A setting that lists names by commas, as a tuple."""
        return tuple(part.strip() for part in str(getattr(self, name)).split(",") if part.strip())


def _from_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The settings file {path} cannot be read: {error}. Correct it or remove it.") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in Settings.model_fields:
        variable = PREFIX + name.upper()
        if variable in environ:
            found[name] = environ[variable]
        elif variable + "_FILE" in environ:
            place = environ[variable + "_FILE"]
            try:
                found[name] = Path(place).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"{variable}_FILE names {place}, which cannot be read: {error}.") from error
            if not found[name]:  # taken as unset it would mean another database or another key
                raise SettingsError(f"{variable}_FILE names {place}, which is empty.")
    return found


def _check_the_rest(environ: Mapping[str, str]) -> None:
    """The level of the log, and names that look like settings and are none (an older or newer version may know them)."""
    level = environ.get(PREFIX + "LOG", "")
    if level and level.upper() not in logging.getLevelNamesMapping():
        raise SettingsError(f"{PREFIX}LOG is wrong: must be one of DEBUG, INFO, WARNING, ERROR. The value given was {level!r}.")
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {PREFIX + name for name in _BESIDE}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name.removesuffix("_FILE") not in known:
            close = get_close_matches(name, known, 1, 0.8)
            log.warning("%s is no setting of Dropcopy and does nothing.%s", name, f" Is {close[0]} meant?" if close else "")


def _complain(error: ValidationError, origins: Mapping[str, str]) -> SettingsError:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return SettingsError(f"{origins.get(name, name)} is no setting of Dropcopy. Remove it or correct its spelling.")
    message = first["msg"].removeprefix("Value error, ")
    field = Settings.model_fields.get(name)
    secret = field is not None and (not field.repr or "@" in str(first["input"]))  # a password never reaches a log
    given = "" if secret else f" The value given was {first['input']!r}."
    return SettingsError(f"{origins.get(name, name)} is wrong: {message}.{given}")


def load_settings(environ: Mapping[str, str] | None = None, *, toml: Path | None = None) -> Settings:
    """Read and check the settings. Raises SettingsError; makes the data folder and the secret key when they are missing."""
    environ = os.environ if environ is None else environ
    _check_the_rest(environ)
    path = toml or Path(environ.get("DROPCOPY_CONFIG", "dropcopy.toml"))
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if path.exists():
        values = _from_toml(path)
        origins = {name: f"{name} in {path}" for name in values}
    elif "DROPCOPY_CONFIG" in environ:
        raise SettingsError(f"DROPCOPY_CONFIG names {path}, which does not exist.")
    for name, value in _from_environment(environ).items():
        if value == "" and Settings.model_fields[name].annotation not in (str,):
            continue
        values[name] = value
        origins[name] = PREFIX + name.upper()
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise _complain(error, origins) from None
    return _with_files(settings)


def _with_files(settings: Settings) -> Settings:
    if bool(settings.smtp_cert) != bool(settings.smtp_key):
        raise SettingsError("DROPCOPY_SMTP_CERT and DROPCOPY_SMTP_KEY belong together: set both or neither.")
    for name in ("smtp_cert", "smtp_key"):
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            raise SettingsError(f"DROPCOPY_{name.upper()} names {path}, which is no file.")
    if settings.plugins_dir is not None and not settings.plugins_dir.is_dir():
        raise SettingsError(f"DROPCOPY_PLUGINS_DIR names {settings.plugins_dir}, which is no folder.")
    folder = settings.data_dir.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SettingsError(f"DROPCOPY_DATA_DIR names {folder}, which cannot be made: {error.strerror}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(f"DROPCOPY_DATA_DIR names {folder}, in which this user may not write.")
    key = settings.secret_key or _kept_key(folder / "secret.key")
    if len(key) < 16:
        raise SettingsError("DROPCOPY_SECRET_KEY is too short: give at least 16 characters, better 64.")
    return settings.model_copy(update={"data_dir": folder, "secret_key": key})


def _kept_key(path: Path) -> str:
    """The key kept in the data folder, made by whoever comes first: whole or not there, also for those who start at the same moment and after a power cut."""
    try:
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise SettingsError(f"DROPCOPY_DATA_DIR names {path.parent}, which cannot be read: {error.strerror}.") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        return _read_key(path) if os.path.lexists(path) else _make_key(path, folder)  # a link to a place that is not there is no missing key
    finally:
        os.close(folder)


def _read_key(path: Path) -> str:
    try:
        key = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The secret key file {path} cannot be read: {error}. Restore it from a backup.") from error
    if not key:
        raise SettingsError(f"The secret key file {path} is empty. Restore it from a backup, or remove it to make a new one.")
    return key


def _make_key(path: Path, folder: int) -> str:
    key = secrets.token_hex(32)
    half = path.with_name("secret.key.new")
    try:
        half.unlink(missing_ok=True)  # of a start that was killed
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key + "\n")
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
        os.fsync(folder)
    except OSError as error:
        raise SettingsError(f"The secret key cannot be kept in {path}: {error.strerror}.") from error
    return key

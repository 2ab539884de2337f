"""Settings from the environment and dropcopy.toml: a wrong one stops the start with one sentence that names it."""

from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import rmtree

import pytest

from core.errors import SettingsError
from core.house import _make_private
from core.settings import Settings, load_settings, split_address


def settings(folder: Path, toml: str = "", **environ: str) -> Settings:
    (folder / "dropcopy.toml").write_text(toml)
    given = {"DROPCOPY_DATA_DIR": str(folder / "data"), "DROPCOPY_CONFIG": str(folder / "dropcopy.toml")}
    return load_settings({**given, **{f"DROPCOPY_{name.upper()}": value for name, value in environ.items()}})


def test_nothing_given_means_the_embedded_defaults(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.http, found.smtp, found.on_sqlite, found.queue_url) == ("127.0.0.1:8000", "127.0.0.1:8025", True, "")
    assert found.data_dir == tmp_path / "data"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    found = settings(tmp_path, 'http = "127.0.0.1:1111"\nsmtp = "127.0.0.1:2222"', http="127.0.0.1:3333")
    assert (found.http, found.smtp) == ("127.0.0.1:3333", "127.0.0.1:2222")


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s" * 40 + "\n")
    assert settings(tmp_path, secret_key_file=str(tmp_path / "key")).secret_key == "s" * 40


def test_the_secret_key_is_made_once_and_kept_for_this_user_only(tmp_path: Path) -> None:
    first, second = settings(tmp_path).secret_key, settings(tmp_path).secret_key
    assert first == second
    assert len(first) == 64
    assert os.stat(tmp_path / "data" / "secret.key").st_mode & 0o077 == 0


def test_processes_that_start_together_on_an_empty_folder_have_one_key(tmp_path: Path) -> None:
    for _ in range(20):
        folder = tmp_path / "together"
        folder.mkdir()
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(lambda _, folder=folder: settings(folder).secret_key, range(8)))
        assert len(keys) == 1
        assert [file.name for file in (folder / "data").iterdir()] == ["secret.key"]
        rmtree(folder)


def test_a_key_that_is_a_link_to_a_place_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret.key").symlink_to(tmp_path / "not-mounted" / "secret.key")
    with pytest.raises(SettingsError, match="cannot be read"):
        settings(tmp_path)
    assert (tmp_path / "data" / "secret.key").is_symlink()


def test_a_key_that_was_half_made_when_the_power_went_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret.key.new").write_text("abc")
    assert len(settings(tmp_path).secret_key) == 64


def test_an_empty_smtp_switches_it_off(tmp_path: Path) -> None:
    assert settings(tmp_path, smtp="").smtp == ""


@pytest.mark.parametrize(
    "name, value, told",
    [
        ("http", "8000", "must look like"),
        ("http", "", "must look like"),
        ("http", "127.0.0.1:70000", "must look like"),
        ("smtp", "localhost", "must look like"),
        ("dns", "127.0.0.1", "must look like 127.0.0.1:53"),
        ("dns", "no-such-host.invalid:53", "cannot be found"),
        ("queue_url", "redis://127.0.0.1:6379/first", "number of a database"),
        ("base_url", "https://crm.example.com:99999", "port"),
        ("mail_domain", "-x..y", "domain name"),
        ("smtp_hostname", "mx.example\r\n250 hello", "domain name"),
        ("log", "LOUD", "one of DEBUG"),
        ("database_url", "mysql://x/y", "postgresql://"),
        ("database_url", "sqlite:////tmp/other.db", "postgresql://"),
        ("database_url", "postgresql://localhost", "must name a database"),
        ("database_url", "postgresql://localhost:abc/x", "port"),
        ("queue_url", "amqp://x", "redis://"),
        ("base_url", "crm.example.com", "web address"),
        ("relay_url", "mail.example.com", "smtp://"),
        ("relay_url", "smtp://host:99999", "port"),
        ("mail_domain", "a b.example", "domain name"),
        ("trusted_proxies", "many", "integer"),
        ("trusted_proxies", "11", "less than or equal to 10"),
        ("trusted_networks", "10.0.0.0/8, 10.0.0.0/99", "10.0.0.0/99 is no network"),
        ("workers", "-1", "greater than or equal to 0"),
        ("secret_key", "short", "too short"),
        ("plugins_dir", "/nowhere/at/all", "no folder"),
        ("smtp_cert", "/nowhere/cert.pem", "belong together"),
        ("secret_key_file", "/nowhere/key", "cannot be read"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(tmp_path: Path, name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(tmp_path, **{name: value})
    sentence = str(raised.value)
    assert f"DROPCOPY_{name.upper()}" in sentence
    assert told in sentence
    assert "\n" not in sentence
    assert sentence.endswith(".")


@pytest.mark.parametrize("name, value", [("relay_url", "ftp://user:hush-hush@host"), ("database_url", "mysql://me:hush-hush@host/x"), ("secret_key", "hush-hush")])
def test_a_wrong_setting_never_shows_a_password(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(tmp_path, **{name: value})
    assert "hush-hush" not in str(raised.value)


def test_certificate_and_key_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"DROPCOPY_SMTP_CERT names .* which is no file"):
        settings(tmp_path, smtp_cert=str(tmp_path / "no.pem"), smtp_key=str(tmp_path / "no.key"))


@pytest.mark.parametrize(
    "toml, told",
    [("htpp = '127.0.0.1:1'", "htpp in .* is no setting"), ("http = 8000", "http in .* is wrong"), ("http = ", "cannot be read"), ("[smtp]\nx = 1", "smtp in .* is wrong")],
)
def test_a_wrong_line_of_the_file_is_named(tmp_path: Path, toml: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        settings(tmp_path, toml)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"DROPCOPY_CONFIG names .* which does not exist"):
        load_settings({"DROPCOPY_CONFIG": str(tmp_path / "no.toml"), "DROPCOPY_DATA_DIR": str(tmp_path)})


def test_a_data_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file stands here")
    with pytest.raises(SettingsError, match="DROPCOPY_DATA_DIR names"):
        settings(tmp_path)


def test_an_empty_key_file_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret.key").write_text("")
    with pytest.raises(SettingsError, match=r"secret key file .* is empty"):
        settings(tmp_path)


def test_an_empty_file_of_a_setting_is_no_setting(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("\n")
    with pytest.raises(SettingsError, match=r"DROPCOPY_DATABASE_URL_FILE names .* which is empty"):
        settings(tmp_path, database_url_file=str(tmp_path / "url"))


def test_a_key_that_cannot_be_kept_leaves_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(SettingsError, match=r"secret key cannot be kept in .*: No space left"):
            settings(tmp_path)
    assert not (tmp_path / "data" / "secret.key").exists()
    assert len(settings(tmp_path).secret_key) == 64


def test_a_misspelt_name_of_the_environment_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings(tmp_path, htpp="127.0.0.1:1", corpora="/somewhere")
    assert [record.getMessage() for record in caplog.records] == ["DROPCOPY_HTPP is no setting of Dropcopy and does nothing. Is DROPCOPY_HTTP meant?"]


@pytest.mark.parametrize("http, url", [("0.0.0.0:80", "http://127.0.0.1:80"), ("[::]:80", "http://[::1]:80"), (":8000", "http://127.0.0.1:8000"), ("[::1]:8", "http://[::1]:8")])
def test_what_listens_everywhere_is_shown_as_an_address_that_opens(tmp_path: Path, http: str, url: str) -> None:
    assert settings(tmp_path, http=http).web_url == url


def test_addresses_are_taken_apart() -> None:
    assert split_address("[::1]:25") == ("::1", 25)
    assert split_address(":8025") == ("127.0.0.1", 8025)


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not (field.description or "").endswith(".")] == []


def test_files_that_others_could_read_are_closed_to_them_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = settings(tmp_path)
    names = ["main.db", "intake.db", "queue.db", "main.db-wal", "secret.key"]
    for name in names:
        (found.data_dir / name).touch()
        (found.data_dir / name).chmod(0o644)
    (found.data_dir / "intake.db").chmod(0o600)
    _make_private(found)
    assert {name: stat.S_IMODE((found.data_dir / name).stat().st_mode) for name in names} == dict.fromkeys(names, 0o600)
    assert sorted(record.args[0].name for record in caplog.records) == ["main.db", "main.db-wal", "queue.db", "secret.key"]  # type: ignore[union-attr,index]
    caplog.clear()
    _make_private(found)
    assert not caplog.records


def test_a_file_that_cannot_be_closed_to_others_is_named_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refused(self: Path, mode: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    found = settings(tmp_path)
    (found.data_dir / "main.db").touch()
    (found.data_dir / "main.db").chmod(0o644)
    monkeypatch.setattr(Path, "chmod", refused)
    _make_private(found)
    assert "chmod 600" in caplog.text

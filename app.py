"""Dropcopy: `create_app()` for a web server, and the command line. Nothing else lives here."""

from __future__ import annotations

import ctypes
import ipaddress
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import click
from flask import Flask

import core.web
from core import health
from core.errors import BadInput, SettingsError
from core.house import House, build
from core.reasons import REASONS
from core.settings import Settings, load_settings, split_address
from core.stop_signal import StopSignal
from core.store import drops
from core.store.company import is_set_up
from core.store.database import connected

ROOT = Path(__file__).resolve().parent


def create_app(settings: Settings | None = None, house: House | None = None) -> Flask:
    """The web application. Raises SettingsError with one clear sentence."""
    house = house or build(settings or load_settings())
    app = Flask("dropcopy", root_path=str(ROOT), template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"))
    core.web.install(app, house)
    return app


# --- the command line ---------------------------------------------------------------------------------------------


def _stop_with(sentence: str) -> NoReturn:
    click.echo(sentence, err=True)
    raise SystemExit(2)


@contextmanager
def _sentences() -> Iterator[None]:
    """Every expected trouble ends in one sentence on stderr, never in a traceback."""
    try:
        yield
    except (SettingsError, BadInput) as error:
        _stop_with(str(error))


def _log_to_stderr() -> None:
    level = os.environ.get("DROPCOPY_LOG", "INFO").upper()
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("huey").setLevel(logging.WARNING)
    logging.getLogger("waitress").setLevel(logging.WARNING)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Dropcopy files the mail of sales teams on the right contact, organisation, deal, lead or project."""


@main.command()
def run() -> None:
    """Start receiver, web and worker together; Ctrl-C ends them in order."""
    with _sentences():
        settings = load_settings()
        house = build(settings)
        _greet(house)
    code = _supervise(("worker", "web", "receive"))
    raise SystemExit(code)


def _greet(house: House) -> None:
    settings = house.settings
    click.echo(f"Web      {settings.web_url}")
    click.echo(f"SMTP     {settings.smtp or 'off'}")
    with connected():
        if is_set_up():
            click.echo(f"Address  {drops.universal()[0]}  (put it in Bcc)")
        else:
            click.echo(f"Address  made at the first visit: open {settings.web_url}/setup")
    click.echo("Ctrl-C ends it.", nl=True)
    sys.stdout.flush()


def _end_with_parent() -> None:
    """In the child: when `run` is killed outright, its parts end in order in place of holding the ports for ever (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # 1 = PR_SET_PDEATHSIG


# Ended in this order: first nothing new comes in, then nobody asks, then what was begun is finished.
_ENDING = ("receive", "web", "worker")


def _supervise(names: tuple[str, ...]) -> int:
    """Run the commands as children, start one again that dies, and end them in order."""
    stop = StopSignal()
    start: Callable[[str], subprocess.Popen[bytes]] = lambda name: subprocess.Popen(  # noqa: E731
        [sys.executable, str(ROOT / "app.py"), name], start_new_session=True, preexec_fn=_end_with_parent
    )
    children: dict[str, subprocess.Popen[bytes]] = {name: start(name) for name in names}
    began = dict.fromkeys(names, time.monotonic())
    code = 0
    while not stop.wait(0.2):
        for name, child in children.items():
            if child.poll() is None:
                continue
            if child.returncode == 2 or time.monotonic() - began[name] < 2:
                click.echo(f"The {name} process could not go on; the sentence above says why.", err=True)
                code = 1
                stop.tell()
                break
            click.echo(f"The {name} process ended unexpectedly and is started again.", err=True)
            children[name], began[name] = start(name), time.monotonic()
    for name in _ENDING:
        ending = children.get(name)
        if ending is not None and ending.poll() is None:
            ending.send_signal(signal.SIGTERM)
            try:
                ending.wait(timeout=40)
            except subprocess.TimeoutExpired:
                ending.kill()
    return code


def _largest_request(house: House) -> int:
    """Bytes: what the hungriest source may be sent. A longer request is refused by its Content-Length, before it is read."""
    limits = (int(house.intake.message_limit * source.body_factor) + source.body_extra for source in house.plugins.sources.values())
    return max(16 << 20, *limits) + 1


@main.command()
def web() -> None:
    """Serve the pages, the API and the webhooks."""
    from waitress.server import create_server

    from core.web.stopping import finish

    stop = StopSignal()  # who is told to stop while it starts stops in order, too
    with _sentences():
        settings = load_settings()
        _log_to_stderr()
        house = build(settings)
    host, port = split_address(house.settings.http)
    app = create_app(house=house)
    core.web.settle(app)
    sockets: dict[int, Any] = {}
    try:
        server = create_server(app, map=sockets, host=host, port=port, threads=8, ident="", channel_timeout=60, max_request_body_size=_largest_request(house), clear_untrusted_proxy_headers=False)
    except OSError as error:
        _stop_with(f"DROPCOPY_HTTP names {house.settings.http}, where nothing can listen: {error.strerror}. Choose another port.")
    threading.Thread(target=server.run, name="waitress", daemon=True).start()
    while not stop.wait(1.0):  # an admin may change the message limit while we run
        server.adj.max_request_body_size = _largest_request(house)
    finish(sockets)
    server.close()
    app.extensions["dropcopy-reading"].close()
    house.intake.close()


@main.command()
def receive() -> None:
    """Take mail: SMTP, LMTP and the sources that are polled."""
    from core.receiver import Receiver

    stop = StopSignal()
    with _sentences():
        settings = load_settings()
        _log_to_stderr()
        receiver = Receiver(build(settings))
        receiver.start()
    stop.wait()
    receiver.stop()


@main.command()
def worker() -> None:
    """Read, judge and file what came in."""
    from core.chores import Chores
    from core.worker import Worker

    stop = StopSignal()
    with _sentences():
        settings = load_settings()
        _log_to_stderr()
        house = build(settings)
    trouble = house.bell.trouble(house.settings)
    if trouble:
        logging.getLogger("dropcopy.queue").error(trouble)
    chores = Chores(house)
    one = Worker(house, chores.run, chores.tell)
    one.start()
    stop.wait()
    one.stop()


@main.command()
@click.option("--company", required=True, help="Name of the company.")
@click.option("--slug", required=True, help="Short name; the BCC address is made from it.")
@click.option("--mail-domain", required=True, help="Domain of the drop addresses.")
@click.option("--admin-email", required=True, help="Address of the first admin.")
@click.option("--admin-password-file", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File with the admin's password.")
@click.option("--policy", default="single-open", show_default=True, help="Linking policy.")
@click.option("--json", "_json", is_flag=True, help="Print JSON (always so).")
def setup(company: str, slug: str, mail_domain: str, admin_email: str, admin_password_file: Path, policy: str, _json: bool) -> None:
    """Set Dropcopy up without a browser; prints the addresses and an admin's API token as JSON."""
    from core.store.setup import set_up

    with _sentences():
        try:
            password = admin_password_file.read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput("--admin-password-file", f"{admin_password_file} cannot be read: {error}") from None
        house = build(load_settings())
        with connected():
            result = set_up(
                company=company, slug=slug, mail_domain=mail_domain, admin_email=admin_email, password=password, policy=policy,
                policies=house.plugins.policies, seal=house.seal, now=house.now(),
            )  # fmt: skip
    click.echo(json.dumps(result))


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def load(file: Path, as_json: bool) -> None:
    """Load reps, organisations, contacts, deals, leads, projects and never-log entries from a JSON file."""
    from core.store import drops
    from core.store.company import company
    from core.store.load import load as enter

    with _sentences():
        try:
            content = json.loads(file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
            raise BadInput(str(file), f"it cannot be read as JSON: {error}") from None
        house = build(load_settings())
        with connected():
            counts = enter(content, house.now())
            if company().mail_domain:
                drops.give_addresses(house.seal, house.now())
    text = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if number) or "nothing"
    click.echo(json.dumps(counts) if as_json else f"Loaded {text}.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--check", is_flag=True, help="Compare the two files of mail as well; ends with 1 when something has no partner.")
@click.option("--repair", is_flag=True, help="With --check: mend what is safe to mend.")
def status(as_json: bool, check: bool, repair: bool) -> None:
    """Inbound mail by state, and the health of the sources."""
    with _sentences():
        house = build(load_settings())
        with connected():
            report = health.report(house, check=check or repair, repair=repair)
    click.echo(json.dumps(report) if as_json else health.in_words(report))
    if report.get("check", {}).get("wrong"):
        raise SystemExit(1)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def reasons(as_json: bool) -> None:
    """List every reason code with its sentence and remedy."""
    rows = [{"code": r.code, "sentence": r.sentence, "remedy": r.remedy} for r in REASONS.values()]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
    else:
        for row in rows:
            click.echo(f"{row['code']}\n    {row['sentence']}" + (f"\n    {row['remedy']}" if row["remedy"] else ""))


@main.command()
@click.argument("files", nargs=-1, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--cases", type=click.Path(dir_okay=False, path_type=Path), help="A file of cases, one JSON object a line.")
@click.option("--mail-from", help="Envelope sender.")
@click.option("--rcpt", multiple=True, help="Envelope recipient; may be given several times.")
@click.option("--client-ip", help="Address of the server that sent the mail.")
@click.option("--helo", help="Name that server gave.")
@click.option("--source", default="explain", help="Kind of way in.")
@click.option("--json", "_json", is_flag=True, help="Print JSON (always so).")
def explain(files: tuple[Path, ...], cases: Path | None, mail_from: str | None, rcpt: tuple[str, ...], client_ip: str | None, helo: str | None, source: str, _json: bool) -> None:
    """Say what would happen to a mail, and why. Nothing is stored."""
    from core.explain import Explainer
    from core.explain import cases as explained

    with _sentences():
        if not files and cases is None:
            raise BadInput("explain", "name a mail file, or --cases FILE.jsonl")
        if client_ip is not None and not _is_ip(client_ip):
            raise BadInput("--client-ip", f"{client_ip!r} is no IP address")
        missing = next((f for f in (*files, *([cases] if cases else [])) if not f.is_file()), None)
        if missing is not None:
            raise BadInput(str(missing), "there is no such file")
        explainer = Explainer(build(load_settings()))
        arrival = {"mail_from": mail_from, "rcpt_to": list(rcpt), "client_ip": client_ip, "helo": helo, "source": source}
        try:
            for result in explained(cases, explainer) if cases else ():
                click.echo(_readable_json(result))
            for file in files:
                case = {"id": str(file), "raw_path": str(file.absolute()), "arrival": arrival}
                click.echo(_readable_json(explainer.case(case, Path()), indent=2 if len(files) == 1 else None))
        finally:
            explainer.close()


def _readable_json(result: dict[str, Any], indent: int | None = None) -> str:
    """JSON with its letters as they are; half a surrogate pair, which no UTF-8 can hold, as the escape that JSON has for it."""
    return json.dumps(result, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace").decode("utf-8")


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


@main.command("reset-password")
@click.argument("email")
def reset_password(email: str) -> None:
    """Print a link with which a rep can set a new password, once, within 24 hours."""
    from core.store.one_time import password_link

    with _sentences():
        house = build(load_settings())
        with connected():
            click.echo(password_link(email, house))


@main.command()
@click.argument("url")
@click.option("--token-file", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File with the bearer token of a generic webhook source.")
def deliver(url: str, token_file: Path) -> None:
    """Hand a mail on standard input to a webhook source: for pipe transports. Ends with 75 when it should be tried again."""
    from core.deliver import deliver as hand_over

    try:
        token = token_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        click.echo(f"{token_file} cannot be read.", err=True)
        raise SystemExit(75) from None
    raise SystemExit(hand_over(url, token, sys.stdin.buffer.read(), os.environ))


@main.command()
@click.option("--message-id", default="", help="Its Message-ID.")
@click.option("--sender", default="", help="Who sent it: an address or a part of one.")
@click.option("--subject", default="", help="Words of its subject.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def find(message_id: str, sender: str, subject: str, as_json: bool) -> None:
    """Why is my mail not here? Says what became of a mail."""
    with _sentences():
        if not (message_id or sender or subject):
            raise BadInput("find", "give --message-id, --sender or --subject")
        house = build(load_settings())
        with connected():
            rows: list[dict[str, Any]] = health.find(house, message_id, sender, subject)
    if as_json:
        click.echo(json.dumps(rows))
    else:
        for row in rows or [{"received_at": "", "sentence": "No mail like this has arrived here."}]:
            click.echo(f"{row['received_at']} {row['sentence']}".strip())


if __name__ == "__main__":
    main()

"""`/livez`, `/readyz`, `/metrics`: for those who watch over the machine. No data of the company."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from peewee import fn
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from core import health
from core.house import House
from core.store import inbound, leases, step_times
from core.store.models import Outcome, SourceInstance
from core.web.access import public

pages = Blueprint("health", __name__)


def _house() -> House:
    return current_app.extensions["dropcopy"]


@pages.get("/livez")
@public
def livez() -> Response:
    """The process answers."""
    return Response("ok\n", mimetype="text/plain")


@pages.get("/readyz")
@public
def readyz() -> tuple[Response, int]:
    """Mail can be taken and filed: the databases answer with the tables of this version, and a worker is there."""
    found = health.readiness(_house())
    troubles = [trouble for name in health.NEEDED if (trouble := found[name])]
    checks = {name: trouble or "ok" for name, trouble in found.items()}
    return jsonify(ready=not troubles, sentence=next(iter(troubles), ""), checks=checks), 503 if troubles else 200


class _Numbers:
    """Reads the numbers from the database when asked: right for any number of processes."""

    def __init__(self, house: House) -> None:
        self._house = house

    def collect(self) -> Iterator[Any]:
        counts = inbound.counts(self._house.now())
        states = GaugeMetricFamily("dropcopy_inbound_messages", "Inbound messages by state.", labels=["state"])
        for state in ("received", "processing", "logged", "held", "ignored"):
            states.add_metric([state], counts[state])
        yield states
        yield GaugeMetricFamily("dropcopy_inbound_accepted", "Inbound messages accepted so far.", value=counts["accepted"])
        yield GaugeMetricFamily("dropcopy_oldest_waiting_seconds", "Age of the oldest mail that waits.", value=counts["oldest_waiting_s"])
        yield GaugeMetricFamily("dropcopy_workers", "Workers that were heard of within a minute.", value=leases.living_workers(self._house.now()))
        reasons = GaugeMetricFamily("dropcopy_inbound_reasons", "Inbound messages by state and reason.", labels=["state", "reason"])
        query = Outcome.select(Outcome.state, Outcome.reason, fn.COUNT(1)).where(Outcome.state != "logged").group_by(Outcome.state, Outcome.reason)
        for state, reason, number in query.tuples():
            reasons.add_metric([state, reason], number)
        yield reasons
        times = CounterMetricFamily("dropcopy_step_seconds", "Seconds that a step of the pipeline has taken in all.", labels=["step"])
        numbers = CounterMetricFamily("dropcopy_step_runs", "How often a step of the pipeline has run.", labels=["step"])
        for step, number, seconds in step_times.read():
            times.add_metric([step], seconds)
            numbers.add_metric([step], number)
        yield times
        yield numbers
        sources = GaugeMetricFamily("dropcopy_source_last_mail_timestamp", "When a source last brought a mail.", labels=["source"])
        for name, last in SourceInstance.select(SourceInstance.name, SourceInstance.last_mail_at).tuples():
            sources.add_metric([name], last.timestamp() if last else 0)
        yield sources


def _may_read_metrics() -> bool:
    """This machine and private networks only: the numbers tell how busy a company is."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return False
    return address.is_loopback or address.is_private


@pages.get("/metrics")
@public
def metrics() -> Response:
    """Prometheus."""
    if not _may_read_metrics():
        return Response(status=404)
    registry = CollectorRegistry()
    registry.register(_Numbers(_house()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

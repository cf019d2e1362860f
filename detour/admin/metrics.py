"""Prometheus metrics: names and units by its conventions, labels of bounded number.

Labels are names from the configuration; a model's name comes from clients, so beyond `MAX_MODELS` all
others are counted as ``other``. Sources: prometheus.io, "Metric and label naming"; "Histograms".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import cache
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from detour import __version__
from detour.admin.context import Context
from detour.admin.sight import STATES, Sight
from router_core.usage.entry import Entry

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
MAX_MODELS: Final = 200

FIRST_BYTE: Final = (0.1, 0.2, 0.4, 0.7, 1, 1.5, 2, 3, 5, 8, 13, 30, 60)
DURATION: Final = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SPEED: Final = (5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 400)

TOKEN_TYPES: Final = ("input", "output", "reasoning", "cache_read", "cache_write")


class Metrics:
    """Counts finished exchanges, and looks at the instance when it is scraped."""

    def __init__(self, context: Context) -> None:
        self.registry = CollectorRegistry()
        self._models: set[str] = set()
        target = ("provider", "model", "credential")
        self._exchanges = _series(
            Counter(
                "detour_exchanges",
                "Exchanges that are over, by result: ok, error, cancelled, refused.",
                (*target, "operation", "result"),
                registry=self.registry,
            )
        )
        self._failures = _series(
            Counter(
                "detour_attempt_failures",
                "Attempts that came to nothing.",
                ("provider", "credential", "phase", "status"),
                registry=self.registry,
            )
        )
        self._tokens = _series(
            Counter(
                "detour_tokens",
                "Tokens; output includes reasoning, input excludes caches.",
                (*target, "type"),
                registry=self.registry,
            )
        )
        self._first_byte = _series(
            Histogram(
                "detour_first_byte_seconds",
                "From the request to the first byte of its answer.",
                ("provider", "model"),
                buckets=FIRST_BYTE,
                registry=self.registry,
            )
        )
        self._duration = _series(
            Histogram(
                "detour_exchange_duration_seconds",
                "From the request to the last byte of its answer.",
                ("provider", "model"),
                buckets=DURATION,
                registry=self.registry,
            )
        )
        self._speed = _series(
            Histogram(
                "detour_output_tokens_per_second",
                "Output tokens a second after the first byte, of streams.",
                ("provider", "model"),
                buckets=SPEED,
                registry=self.registry,
            )
        )
        self._instance = _Instance(context.started)
        self.registry.register(self._instance)
        context.activity.counters.append(self.count)

    def count(self, entry: Entry) -> None:
        """Take one finished exchange into account."""
        model = self._model(entry.model)
        target = (entry.provider, model, entry.credential)
        self._exchanges(*target, entry.operation, entry.result).inc()
        for failure in entry.failures:
            status = str(failure.status) if failure.status else ("timeout" if failure.timeout else "none")
            self._failures(failure.provider, failure.credential, failure.phase, status).inc()
        for kind in TOKEN_TYPES:
            if tokens := getattr(entry, kind):
                self._tokens(*target, kind).inc(tokens)
        if entry.result != "ok" or entry.operation != "generate":
            return
        if entry.first_byte_ms is not None:
            self._first_byte(entry.provider, model).observe(entry.first_byte_ms / 1000)
        if entry.duration_ms is not None:
            self._duration(entry.provider, model).observe(entry.duration_ms / 1000)
            spent = entry.duration_ms - (entry.first_byte_ms or 0)
            if entry.stream and entry.output and spent > 0:
                self._speed(entry.provider, model).observe(entry.output * 1000 / spent)

    def _model(self, name: str) -> str:
        if name in self._models:
            return name
        if len(self._models) >= MAX_MODELS:
            return "other"
        self._models.add(name)
        return name

    def text(self, sight: Sight) -> bytes:
        """The exposition; the gauges are those of `sight`."""
        self._instance.sight = sight
        return generate_latest(self.registry)


def _series(metric: Counter | Histogram) -> Callable[..., Any]:
    """`metric.labels`, which takes a lock and compares names, asked once for each series."""
    return cache(metric.labels)


class _Instance(Collector):
    """What is looked at when a scrape comes: gauges, and counters that others keep."""

    def __init__(self, started: float) -> None:
        self._started = started
        self.sight: Sight | None = None

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        sight = self.sight
        if sight is None:
            return
        info = GaugeMetricFamily("detour_build_info", "The version that runs.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield GaugeMetricFamily(
            "detour_start_time_seconds", "When it started, since the epoch.", self._started
        )
        running = len(sight.running)
        yield GaugeMetricFamily("detour_exchanges_running", "Exchanges under way.", running)
        yield self._connections(sight)
        tunnelled = sum(refusal["tunnelled_for"] > 0 for refusal in sight.refusals)
        yield GaugeMetricFamily(
            "detour_clients_tunnelled", "Clients that refused the certificate and are let through.", tunnelled
        )
        yield from self._credentials(sight)
        yield from self._ledger(sight)
        yield from self._budgets(sight)

    def _connections(self, sight: Sight) -> Metric:
        counted = CounterMetricFamily(
            "detour_connections",
            "Connections of clients to other hosts, by what became of them.",
            labels=["fate"],
        )
        for name, number in asdict(sight.connections).items():
            counted.add_metric([name], number)
        return counted

    def _credentials(self, sight: Sight) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "detour_credential_state",
            "1 for the state that a credential is in.",
            labels=["provider", "credential", "state"],
        )
        flight = GaugeMetricFamily(
            "detour_credential_in_flight",
            "Requests under way with a credential.",
            labels=["provider", "credential"],
        )
        until = GaugeMetricFamily(
            "detour_credential_cooldown_seconds",
            "Seconds until a credential's cooldown ends; absent without one.",
            labels=["provider", "credential"],
        )
        window = GaugeMetricFamily(
            "detour_quota_used_ratio",
            "Used share of a quota window.",
            labels=["provider", "credential", "window"],
        )
        for status in sight.credentials:
            who = [status.provider, status.id]
            for name in STATES:
                state.add_metric([*who, name], float(status.state == name))
            flight.add_metric(who, status.in_flight)
            if status.until is not None:
                until.add_metric(who, max(0.0, status.until - time.time()))
            for quota in status.windows:
                window.add_metric([*who, quota.name], quota.used)
        yield from (state, flight, until, window)

    def _ledger(self, sight: Sight) -> Iterator[Metric]:
        status = sight.ledger
        if status is None:
            return
        yield GaugeMetricFamily(
            "detour_ledger_up", "Whether the ledger's database answers.", float(status.state == "ok")
        )
        yield GaugeMetricFamily("detour_ledger_queued", "Entries that wait in memory.", status.queued)
        yield GaugeMetricFamily("detour_ledger_spool_bytes", "Entries that wait on disk.", status.spooled)
        yield GaugeMetricFamily("detour_ledger_dropped", "Entries lost since the start.", status.dropped)

    def _budgets(self, sight: Sight) -> Iterator[Metric]:
        used = GaugeMetricFamily(
            "detour_budget_used_ratio", "Used share of a budget.", labels=["budget", "unit", "per"]
        )
        for budget in sight.budgets:
            used.add_metric([budget.name, budget.unit, budget.per], budget.used / budget.limit)
        yield used

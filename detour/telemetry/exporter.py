"""The process that makes spans and metrics of what a proxy reports, and exports them by OTLP.

An exchange is a server span, a child of the client's ``traceparent`` where it sent one; each attempt below it is
a client span. Nothing is put into upstream requests: what the client sent goes on as it is, and what it did not
send is not invented.

It reads from its standard input, in the frames of `router_core.frames` and in `marshal` form, lists of
`detour.telemetry.report` tuples, and exports what it has when that ends. On its standard output it says what is
for the proxy's log, in lines of JSON: ``{"log": [level, text]}``.

Sources: opentelemetry.io, "Semantic conventions for generative AI" (status: development), "SDK environment
variables".
"""

from __future__ import annotations

import contextlib
import logging
import marshal
import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from detour import __version__
from detour.telemetry.report import Report, Tried, read
from router_core.child import give_way
from router_core.frames import decode

PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "claude": "anthropic",
    "codex": "openai",
    "gemini": "gcp.gemini",
    "gemini-cli": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""The conventions' names of providers, where they differ from Detour's."""

DURATIONS: Final = tuple(0.01 * 2**i for i in range(14))
TOKENS: Final = tuple(float(4**i) for i in range(14))
"""Bucket boundaries that the conventions ask for."""

NICE: Final = 19
"""More than other children are: nobody waits for what it says."""

_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Exporter:
    """Makes spans and metrics of reports."""

    def __init__(self, tracing: TracerProvider, metering: MeterProvider) -> None:
        self._providers = (tracing, metering)
        self._tracer = tracing.get_tracer("detour", __version__)
        meter = metering.get_meter("detour", __version__)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Duration of an operation.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        self._first = meter.create_histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time to the first chunk of a stream.",
            explicit_bucket_boundaries_advisory=DURATIONS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens used.",
            explicit_bucket_boundaries_advisory=TOKENS,
        )

    def take(self, reports: Iterable[Report]) -> None:
        for report in reports:
            self._trace(report)
            self._measure(report)

    def close(self) -> None:
        """Exports what is left."""
        for provider in self._providers:
            provider.shutdown()

    def _trace(self, report: Report) -> None:
        parent = _PROPAGATOR.extract(report.trace) if report.trace else None
        span = self._tracer.start_span(
            f"{report.operation} {report.asked}".strip(),
            parent,
            trace.SpanKind.SERVER,
            {
                **_common(report, report.provider, report.asked),
                "detour.exchange.id": report.id,
                "detour.attempts": len(report.tried),
                "detour.client": report.client,
                "detour.tool": report.tool,
            },
            start_time=report.begin,
        )
        inside = trace.set_span_in_context(span)
        for tried in report.tried:
            self._trace_attempt(report, tried, inside)
        _end(span, report)

    def _trace_attempt(self, report: Report, tried: Tried, inside: Any) -> None:
        host, port = _address(tried.base_url)
        attributes: dict[str, Any] = {
            **_common(report, tried.provider, tried.model),
            "server.address": host,
            "detour.attempt": tried.number,
            "detour.credential": tried.credential,
        }
        if port:
            attributes["server.port"] = port
        if tried is report.tried[-1]:
            attributes |= _usage(report)
            if report.stream and report.first_byte_ms is not None:
                attributes["gen_ai.response.time_to_first_chunk"] = report.first_byte_ms / 1000
        name = f"{report.operation} {tried.model}".strip()
        client = trace.SpanKind.CLIENT
        span = self._tracer.start_span(name, inside, client, attributes, start_time=tried.begin)
        _end(span, tried)

    def _measure(self, report: Report) -> None:
        attributes = {
            "gen_ai.operation.name": report.operation,
            "gen_ai.provider.name": PROVIDERS.get(report.provider, report.provider),
            "gen_ai.request.model": report.model,
        }
        failed = {"error.type": report.error_type} if report.error_type else {}
        if report.duration_ms is not None:
            self._duration.record(report.duration_ms / 1000, {**attributes, **failed})
        if report.stream and report.first_byte_ms is not None:
            self._first.record(report.first_byte_ms / 1000, attributes)
        for kind, tokens in (("input", report.prompt), ("output", report.output)):
            if tokens is not None:
                self._tokens.record(tokens, {**attributes, "gen_ai.token.type": kind})


def _common(report: Report, provider: str, model: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": report.operation,
        "gen_ai.provider.name": PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model,
        "gen_ai.request.stream": report.stream,
    }
    if report.session:
        attributes["gen_ai.conversation.id"] = report.session
    return attributes


def _usage(report: Report) -> dict[str, int]:
    """Input counts everything that was sent, cached or not, as the conventions want it."""
    counts = {
        "gen_ai.usage.input_tokens": report.prompt,
        "gen_ai.usage.output_tokens": report.output,
        "gen_ai.usage.cache_read.input_tokens": report.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": report.cache_write,
        "gen_ai.usage.reasoning.output_tokens": report.reasoning,
    }
    return {name: count for name, count in counts.items() if count is not None}


@cache
def _address(base_url: str) -> tuple[str, int | None]:
    url = urlsplit(base_url)
    return url.hostname or "", url.port


def _end(span: Span, told: Report | Tried) -> None:
    if told.error_type:
        span.set_attribute("error.type", told.error_type)
        span.set_status(Status(StatusCode.ERROR, told.error[:200] or None))
    span.end(told.end)


def by_otlp(env: Mapping[str, str] = os.environ) -> Exporter:
    """Exports as the environment asks for."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = {} if env.get("OTEL_SERVICE_NAME") else {"service.name": "detour"}
    resource = Resource.create({**name, "service.version": __version__})
    tracing = TracerProvider(resource=resource)
    # Exports in a thread of its own; what does not fit its queue is dropped.
    tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    metering = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource)
    return Exporter(tracing, metering)


class _ToProxy(logging.Handler):
    """What is logged here is for the proxy's log."""

    def __init__(self, sink: int) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            os.write(
                self._sink,
                orjson.dumps({"log": [record.levelno, f"telemetry: {self.format(record)}"]}) + b"\n",
            )


def serve(source: int, sink: int) -> None:
    """Exports until the end of `source`."""
    give_way(NICE)
    logging.basicConfig(handlers=[_ToProxy(sink)], format="%(message)s", level=logging.WARNING)
    exporter = by_otlp()
    pending = bytearray()
    while data := os.read(source, 1 << 20):
        pending += data
        for message in decode(pending):
            exporter.take(map(read, marshal.loads(message)))
    exporter.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        serve(sys.stdin.fileno(), sys.stdout.fileno())

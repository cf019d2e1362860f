"""The process that makes spans and metrics of what a proxy reports, and exports them by OTLP.

Nothing is put into upstream requests: what the client sent goes on as it is, and what it did not send is not
invented.

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
from typing import Final

import orjson
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from detour import __version__
from detour.telemetry.report import Report, read
from detour.telemetry.spans import PROVIDERS, Spans
from router_core.child import give_way
from router_core.frames import decode

DURATIONS: Final = tuple(0.01 * 2**i for i in range(14))
TOKENS: Final = tuple(float(4**i) for i in range(14))
"""Bucket boundaries that the conventions ask for."""

NICE: Final = 19
"""More than other children are: nobody waits for what it says."""


class Exporter:
    """Makes spans and metrics of reports."""

    def __init__(self, spans: Spans, processor: SpanProcessor, metering: MeterProvider) -> None:
        self._spans = spans
        self._processor = processor
        self._metering = metering
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
            for span in self._spans.of(report):
                self._processor.on_end(span)
            self._measure(report)

    def close(self) -> None:
        """Exports what is left."""
        self._processor.shutdown()
        self._metering.shutdown()

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


def by_otlp(env: Mapping[str, str] = os.environ) -> Exporter:
    """Exports as the environment asks for."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = {} if env.get("OTEL_SERVICE_NAME") else {"service.name": "detour"}
    resource = Resource.create({**name, "service.version": __version__})
    # Exports in a thread of its own; what does not fit its queue is dropped.
    processor = BatchSpanProcessor(OTLPSpanExporter())
    metering = MeterProvider(
        [PeriodicExportingMetricReader(OTLPMetricExporter())],
        resource=resource,
        # Examples are taken of what is measured inside a span, and nothing is here.
        exemplar_filter=AlwaysOffExemplarFilter(),
    )
    return Exporter(Spans(TracerProvider(resource=resource)), processor, metering)


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

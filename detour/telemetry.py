"""OpenTelemetry traces and metrics of exchanges, by its conventions for generative AI.

Comes with ``detour[otel]`` and is configured by OpenTelemetry's own variables: on where
``OTEL_EXPORTER_OTLP_ENDPOINT`` (or that of traces or metrics) is set. An exchange is a server span, a child
of the client's ``traceparent`` where it sent one; each attempt below it is a client span. Nothing is put
into upstream requests: what the client sent goes on as it is, and what it did not send is not invented.

Sources: opentelemetry.io, "Semantic conventions for generative AI" (status: development), "SDK environment
variables".
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from detour import __version__
from router_core.exchange import Attempt, Exchange
from router_core.formats import Format, Operation
from router_core.usage.entry import Entry

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

ENDPOINTS: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)

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


def start(env: Mapping[str, str] = os.environ) -> Telemetry | None:
    """Telemetry as the environment asks for it; None where it does not, or where the extra is not installed."""
    if not any(env.get(name) for name in ENDPOINTS) or env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        logger.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but telemetry needs: pip install 'detour[otel]'")
        return None
    resource = _resource(env)
    tracing = TracerProvider(resource=resource)
    # Exports in a thread of its own; what does not fit its queue is dropped.
    tracing.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    metering = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource=resource)
    return Telemetry(tracing, metering)


def _resource(env: Mapping[str, str]) -> Any:
    from opentelemetry.sdk.resources import Resource

    name = {} if env.get("OTEL_SERVICE_NAME") else {"service.name": "detour"}
    return Resource.create({**name, "service.version": __version__})


class Telemetry:
    """Watches an `Activity`: call `finished` with each exchange that is over."""

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

    def finished(self, entry: Entry, exchange: Exchange) -> None:
        """Costs microseconds; exporting is done elsewhere."""
        self._trace(entry, exchange)
        self._measure(entry, exchange)

    def _trace(self, entry: Entry, exchange: Exchange) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {
            n.lower(): v for n, v in exchange.request.headers if n.lower() in ("traceparent", "tracestate")
        }
        parent = TraceContextTextMapPropagator().extract(carrier)
        begin = int(exchange.created * 1e9)
        span = self._tracer.start_span(
            _name(exchange, entry.asked),
            parent,
            trace.SpanKind.SERVER,
            {
                **_common(exchange, entry.provider, entry.asked),
                "detour.exchange.id": exchange.id,
                "detour.attempts": len(exchange.attempts),
                "detour.client": entry.client,
                "detour.tool": entry.tool,
            },
            start_time=begin,
        )
        inside = trace.set_span_in_context(span)
        for attempt in exchange.attempts:
            self._trace_attempt(entry, exchange, attempt, inside)
        if entry.result in ("error", "refused"):
            _failed(span, str(entry.status or "_OTHER"), entry.error)
        span.end(_at(exchange, exchange.ended))

    def _trace_attempt(self, entry: Entry, exchange: Exchange, attempt: Attempt, inside: Any) -> None:
        from opentelemetry import trace

        model = attempt.model or ""
        url = urlsplit(attempt.endpoint.base_url)
        attributes: dict[str, Any] = {
            **_common(exchange, attempt.provider.name, model),
            "server.address": url.hostname or "",
            "detour.attempt": attempt.number,
            "detour.credential": attempt.credential_id or "",
        }
        if url.port:
            attributes["server.port"] = url.port
        last = attempt is exchange.attempt
        if last:
            attributes |= _usage(exchange)
            if exchange.stream and entry.first_byte_ms is not None:
                attributes["gen_ai.response.time_to_first_chunk"] = entry.first_byte_ms / 1000
        begin = int((exchange.created + attempt.started - exchange.started) * 1e9)
        name = _name(exchange, model)
        span = self._tracer.start_span(name, inside, trace.SpanKind.CLIENT, attributes, start_time=begin)
        outcome = attempt.outcome
        status = outcome.status if outcome else None
        if outcome and not outcome.cancelled and (outcome.phase != "done" or status is None or status >= 400):
            kind = str(status) if status else "timeout" if outcome.timeout else "_OTHER"
            _failed(span, kind, outcome.error or "")
        span.end(_at(exchange, attempt.ended or (exchange.ended if last else None)))

    def _measure(self, entry: Entry, exchange: Exchange) -> None:
        attributes = {
            "gen_ai.operation.name": _operation(exchange),
            "gen_ai.provider.name": PROVIDERS.get(entry.provider, entry.provider),
            "gen_ai.request.model": entry.model,
        }
        failed = {"error.type": str(entry.status or "_OTHER")} if entry.result in ("error", "refused") else {}
        if entry.duration_ms is not None:
            self._duration.record(entry.duration_ms / 1000, {**attributes, **failed})
        if exchange.stream and entry.first_byte_ms is not None:
            self._first.record(entry.first_byte_ms / 1000, attributes)
        for kind, tokens in (("input", exchange.usage.prompt), ("output", entry.output)):
            if tokens is not None:
                self._tokens.record(tokens, {**attributes, "gen_ai.token.type": kind})

    def close(self) -> None:
        """Export what is left. Waits for the exporter: call it in a thread."""
        for provider in self._providers:
            provider.shutdown()


def _operation(exchange: Exchange) -> str:
    surface = exchange.surface
    if surface.operation is Operation.GENERATE:
        return "generate_content" if surface.format is Format.GEMINI else "chat"
    return str(surface.operation)


def _name(exchange: Exchange, model: str) -> str:
    return f"{_operation(exchange)} {model}".strip()


def _common(exchange: Exchange, provider: str, model: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": _operation(exchange),
        "gen_ai.provider.name": PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model,
        "gen_ai.request.stream": exchange.stream,
    }
    if exchange.session:
        attributes["gen_ai.conversation.id"] = exchange.session
    return attributes


def _usage(exchange: Exchange) -> dict[str, int]:
    """Input counts everything that was sent, cached or not, as the conventions want it."""
    usage = exchange.usage
    counts = {
        "gen_ai.usage.input_tokens": usage.prompt,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.cache_read.input_tokens": usage.cache_read,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning,
    }
    return {name: count for name, count in counts.items() if count is not None}


def _failed(span: Any, kind: str, message: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, message[:200] or None))


def _at(exchange: Exchange, moment: float | None) -> int:
    """Nanoseconds since the epoch of a monotonic time; of the exchange's beginning where it is not known."""
    return int((exchange.created + max(0.0, (moment or exchange.started) - exchange.started)) * 1e9)

"""Spans of what a proxy reports.

An exchange is a server span, a child of the client's ``traceparent`` where it sent one; each attempt below it is
a client span. They are over when they are told, so they are made as finished ones: OpenTelemetry's tracer, which
makes spans that may still change, takes four times as long.

Source: opentelemetry.io, "Semantic conventions for generative AI" (status: development).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from detour import __version__
from detour.telemetry.report import Report, Tried

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

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_SCOPE: Final = InstrumentationScope("detour", __version__)
_UNSET: Final = Status()


class _Resource(Resource):
    """Told from others by identity: the exporter looks it up for each span, and to hash its values takes long."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class Spans:
    """Makes finished spans by a provider's resource, sampler and ids."""

    def __init__(self, provider: TracerProvider) -> None:
        self._sampler = provider.sampler
        self._ids = provider.id_generator
        self._resource = _Resource(provider.resource.attributes, provider.resource.schema_url)

    def of(self, report: Report) -> Iterator[ReadableSpan]:
        """The spans of a report, attempts first; none where the sampler takes none."""
        outside = _PROPAGATOR.extract(report.trace) if report.trace else None
        parent = trace.get_current_span(outside).get_span_context() if outside is not None else None
        if parent is not None and not parent.is_valid:
            parent = outside = None
        trace_id = parent.trace_id if parent else self._ids.generate_trace_id()
        name = f"{report.operation} {report.asked}".strip()
        attributes = {
            **_common(report, report.provider, report.asked),
            "detour.exchange.id": report.id,
            "detour.attempts": len(report.tried),
            "detour.client": report.client,
            "detour.tool": report.tool,
        }
        # A trace is taken as a whole: samplers decide by its id or its parent.
        decided = self._sampler.should_sample(outside, trace_id, name, SpanKind.SERVER, attributes)
        if not decided.decision.is_sampled():
            return
        context = self._context(trace_id, decided.trace_state)
        for tried in report.tried:
            yield self._of_attempt(report, tried, context)
        attributes |= decided.attributes
        yield self._span(name, context, parent, SpanKind.SERVER, attributes, report)

    def _of_attempt(self, report: Report, tried: Tried, parent: SpanContext) -> ReadableSpan:
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
        context = self._context(parent.trace_id, parent.trace_state)
        return self._span(name, context, parent, SpanKind.CLIENT, attributes, tried)

    def _context(self, trace_id: int, state: trace.TraceState | None) -> SpanContext:
        return SpanContext(
            trace_id, self._ids.generate_span_id(), False, TraceFlags(TraceFlags.SAMPLED), state
        )

    def _span(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, Any],
        told: Report | Tried,
    ) -> ReadableSpan:
        status = _UNSET
        if told.error_type:
            attributes["error.type"] = told.error_type
            status = Status(StatusCode.ERROR, told.error[:200] or None)
        return ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            attributes,
            kind=kind,
            status=status,
            start_time=told.begin,
            end_time=told.end,
            instrumentation_scope=_SCOPE,
        )


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

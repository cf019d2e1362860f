"""Spans and metrics against the conventions for generative AI, and their way out of the proxy."""

import logging
import marshal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from router_core.exchange import Exchange, Usage
from router_core.usage.entry import entry_of
from tests.router_core.usage.exchanges import attempt, exchange

pytest.importorskip("opentelemetry.sdk", reason="the extra detour[otel] is not installed")

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON, Sampler
from opentelemetry.trace import SpanKind, StatusCode

from detour import telemetry
from detour.telemetry import Telemetry
from detour.telemetry.exporter import DURATIONS, Exporter
from detour.telemetry.report import read, report_of
from detour.telemetry.spans import Spans

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Told:
    """What an exchange becomes."""

    def __init__(self, *exchanges: Exchange, sampler: Sampler = DEFAULT_ON) -> None:
        exporter, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        spans, processor = Spans(TracerProvider(sampler=sampler)), SimpleSpanProcessor(exporter)
        reports = marshal.dumps([report_of(entry_of(one).entry, one) for one in exchanges])
        Exporter(spans, processor, MeterProvider([self._reader])).take(map(read, marshal.loads(reports)))
        self.spans: list[Any] = list(exporter.get_finished_spans())

    def metrics(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        assert data
        return {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}


def test_an_exchange_is_a_server_span_with_client_spans_for_its_attempts() -> None:
    usage = Usage(input=3, output=40, reasoning=15, cache_read=1111, cache_write=418)
    told = Told(
        exchange(
            attempt(1, credential="first", phase="headers", status=429),
            attempt(2, credential="second"),
            usage=usage,
            session="s1",
            model="sonnet",
            headers=[("Traceparent", f"00-{TRACE}-{PARENT}-01")],
        )
    )
    first, second, whole = told.spans
    assert (whole.kind, whole.name) == (SpanKind.SERVER, "chat sonnet")
    assert whole.parent and f"{whole.context.trace_id:032x}" == TRACE
    assert f"{whole.parent.span_id:016x}" == PARENT
    for span in (first, second):
        assert (span.kind, span.name) == (SpanKind.CLIENT, "chat claude-sonnet-4-5-20250929")
        assert span.parent.span_id == whole.context.span_id
        attributes = dict(span.attributes)
        assert attributes["gen_ai.operation.name"] == "chat"
        assert attributes["gen_ai.provider.name"] == "anthropic"
        assert attributes["gen_ai.request.stream"] is True
        assert attributes["gen_ai.conversation.id"] == "s1"
        assert attributes["server.address"] == "api.anthropic.example"
    assert (first.status.status_code, first.attributes["error.type"]) == (StatusCode.ERROR, "429")
    assert "gen_ai.usage.input_tokens" not in first.attributes
    assert {k: v for k, v in second.attributes.items() if k.startswith("gen_ai.usage")} == {
        "gen_ai.usage.input_tokens": 1532,
        "gen_ai.usage.output_tokens": 40,
        "gen_ai.usage.cache_read.input_tokens": 1111,
        "gen_ai.usage.cache_creation.input_tokens": 418,
        "gen_ai.usage.reasoning.output_tokens": 15,
    }
    assert second.attributes["gen_ai.response.time_to_first_chunk"] == 0.25
    assert whole.status.status_code is StatusCode.UNSET
    assert whole.end_time - whole.start_time == pytest.approx(2.25e9, abs=1e6)


def test_without_a_traceparent_a_trace_begins() -> None:
    *_, whole = Told(exchange(status=500)).spans
    assert whole.parent is None
    assert whole.attributes["error.type"] == "500"


@pytest.mark.parametrize("damaged", ["00-zz-1-01", f"00-{'0' * 32}-{PARENT}-01", ""])
def test_a_damaged_traceparent_is_no_parent(damaged: str) -> None:
    *_, whole = Told(exchange(headers=[("traceparent", damaged)])).spans
    assert whole.parent is None and whole.context.is_valid


def test_what_the_sampler_leaves_out_is_measured_only() -> None:
    unsampled = exchange(headers=[("traceparent", f"00-{TRACE}-{PARENT}-00"), ("tracestate", "a=b")])
    assert Told(unsampled).spans == []
    told = Told(exchange(), sampler=ALWAYS_OFF)
    assert told.spans == [] and told.metrics()


def test_a_trace_keeps_the_clients_state() -> None:
    told = Told(exchange(headers=[("traceparent", f"00-{TRACE}-{PARENT}-01"), ("tracestate", "a=b")]))
    assert [dict(span.context.trace_state) for span in told.spans] == [{"a": "b"}] * len(told.spans)


def test_metrics() -> None:
    metrics = Told(exchange(), exchange(status=500, stream=False)).metrics()
    assert metrics["gen_ai.client.operation.duration"].unit == "s"
    ok, failed = metrics["gen_ai.client.operation.duration"].data.data_points
    assert (ok.count, ok.explicit_bounds) == (1, DURATIONS)
    assert "error.type" not in ok.attributes
    assert failed.attributes["error.type"] == "500"
    points = {
        p.attributes["gen_ai.token.type"]: p for p in metrics["gen_ai.client.token.usage"].data.data_points
    }
    assert (points["input"].sum, points["output"].sum, points["input"].count) == (2000, 400, 2)
    assert metrics["gen_ai.client.operation.time_to_first_chunk"].data.data_points[0].count == 1


@pytest.mark.parametrize(
    "env", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}]
)
def test_it_is_off_unless_asked_for(env: dict[str, str]) -> None:
    assert telemetry.start(env) is None


def test_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(telemetry, "_installed", lambda: False)
    assert telemetry.start({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}) is None
    assert "pip install 'detour[otel]'" in caplog.text


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.taken: list[tuple[str, bytes]] = []


class _Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.taken.append((self.path, body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_process_of_its_own_exports_what_is_over(collector: Collector) -> None:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    started = telemetry.start()
    assert started
    for one in (exchange(attempt(1, phase="headers", status=429), attempt(2), model="sonnet"), exchange()):
        started.finished(entry_of(one).entry, one)
    started.close(60.0)
    bodies = dict(collector.taken)
    assert set(bodies) == {"/v1/traces", "/v1/metrics"}
    (resource,) = ExportTraceServiceRequest.FromString(bodies["/v1/traces"]).resource_spans
    assert {a.key: a.value.string_value for a in resource.resource.attributes}["service.name"] == "detour"
    spans = resource.scope_spans[0].spans
    model = "chat claude-sonnet-4-5-20250929"
    assert sorted(span.name for span in spans) == [model] * 4 + ["chat sonnet"]
    (metrics,) = ExportMetricsServiceRequest.FromString(bodies["/v1/metrics"]).resource_metrics
    counts = {m.name: sum(p.count for p in m.histogram.data_points) for m in metrics.scope_metrics[0].metrics}
    assert counts["gen_ai.client.operation.duration"] == 2


def test_a_collector_that_does_not_answer_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    started = telemetry.start()
    assert started
    one = exchange()
    started.finished(entry_of(one).entry, one)
    started.close(60.0)
    assert "telemetry: Failed to export" in caplog.text


def test_an_exporter_that_dies_is_said_and_what_it_misses_is_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telemetry, "QUEUE", 3)
    with caplog.at_level(logging.WARNING):
        started = Telemetry(lambda: [sys.executable, "-c", "raise SystemExit(3)"])
        one = exchange()
        for _ in range(5):
            started.finished(entry_of(one).entry, one)
        started.close(60.0)
    assert "telemetry: 2 exchanges were dropped" in caplog.text


def test_an_exporter_that_is_gone_when_it_is_told_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    class Gone:
        killed = 0

        def tell(self, _message: bytes) -> None:
            raise BrokenPipeError

        def heard(self, _timeout: float | None) -> Iterator[dict[str, Any]]:
            raise EOFError

        def kill(self) -> int:
            self.killed += 1
            return 3

    told, gone = Telemetry(lambda: []), Gone()
    told.close()  # its thread is to leave the turn to this one
    told._process = gone  # type: ignore[assignment]
    over = exchange(attempt())
    told.finished(entry_of(over).entry, over)
    with caplog.at_level(logging.WARNING):
        told._turn()
    assert (told._process, gone.killed) == (None, 1)
    assert "1 exchanges were dropped" in caplog.text


def test_the_proxy_itself_loads_nothing_of_opentelemetry() -> None:
    program = (
        "import sys, detour.launcher, detour.telemetry\n"
        "print(*{'opentelemetry.sdk', 'google.protobuf'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []

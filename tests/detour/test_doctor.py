"""Each check of the doctor, by a configuration or a machine that is in the state it looks for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import httpx
import pytest

from detour import doctor, runtime
from detour.admin.token import ensure_token
from detour.ca import ensure_ca
from detour.doctor import box, machine, network, processes
from detour.doctor.network import Answer
from detour.gateway.ruleset import Held
from router_core.config.loader import Loaded, parse


def loaded(folder: Path, text: str = "") -> Loaded:
    return parse(f"version: 1\ndata_dir: {folder}/data\n{text}".encode(), folder / "detour.yaml", {})


def told(findings) -> list[tuple[str, str, str]]:
    return [(f.level, f.subject, f.what) for f in findings]


def test_this_interpreter_and_this_mitmproxy_will_do():
    assert [f.level for f in [*machine.interpreter(), *machine.mitmproxy()]] == ["ok", "ok"]


def test_what_is_missing_of_mitmproxy_is_said(monkeypatch):
    from addons.failover import selfcheck

    monkeypatch.setattr(selfcheck, "problems", lambda: ["HttpStream.flow_done is gone"])

    (found,) = machine.mitmproxy()
    assert (
        found.level == "bad" and "HttpStream.flow_done is gone" in found.what and "failover" in found.remedy
    )


def test_a_taken_port_is_said_with_its_holder(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        config = loaded(tmp_path, f"listen: {{proxy: '127.0.0.1:{port}', gateway: null, admin: null}}").config

        (found,) = machine.ports(config, {})

    assert (found.level, found.subject) == ("bad", "listen.proxy")
    assert f"127.0.0.1:{port}: Address already in use" in found.what
    if Path("/proc/net/tcp").exists():
        assert f"(pid {os.getpid()})" in found.what


def test_detours_own_ports_are_no_trouble(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        config = loaded(tmp_path, f"listen: {{proxy: '{address}', gateway: null, admin: null}}").config
        runtime.write(tmp_path / "data" / "runtime.json", runtime.Runtime(address, None, None, None))

        (found,) = machine.ports(config, {})

    assert (found.level, found.what) == ("ok", f"{address} is Detour's (pid {os.getpid()})")


def test_a_free_port_is_free(tmp_path):
    config = loaded(tmp_path, "listen: {proxy: '127.0.0.1:0', gateway: null, admin: null}").config

    assert told(machine.ports(config, {})) == [("ok", "listen.proxy", "127.0.0.1:0 is free")]


def test_the_authority(tmp_path):
    state = loaded(tmp_path)
    (absent,) = machine.authority(state, {})
    found = ensure_ca(state.config, state.registry, {})
    (made,) = machine.authority(state, {})
    found.key_pem.chmod(0o640)
    opened = list(machine.authority(state, {}))
    found.key_pem.write_text("broken")
    broken = list(machine.authority(state, {}))

    assert (absent.level, made.level) == ("note", "ok")
    assert opened[0].level == "bad" and "can be read by others" in opened[0].what
    assert broken[-1].level == "bad" and "holds no unencrypted private key" in broken[-1].what


def test_the_admin_token_is_named_and_its_mode_looked_at(tmp_path):
    config = loaded(tmp_path).config
    (absent,) = machine.admin_token(config, {})
    file = tmp_path / "data" / "admin-token"
    ensure_token(file)
    (made,) = machine.admin_token(config, {})
    file.chmod(0o644)
    (opened,) = machine.admin_token(config, {})

    assert [absent.level, made.level, opened.level] == ["note", "ok", "bad"]
    assert made.what == f"in {file}" and "can be read by other users" in opened.what


def test_an_authority_that_lacks_a_host_is_said(tmp_path):
    state = loaded(tmp_path)
    ensure_ca(state.config, state.registry, {})
    more = loaded(
        tmp_path,
        "providers: {mine: {extends: openai, hosts: [ai.example.com], base_url: 'https://ai.example.com/v1'}}",
    )

    (found,) = machine.authority(more, {})

    assert found.level == "note" and "does not name ai.example.com" in found.what


async def test_credentials_by_what_stands_behind_them(tmp_path):
    (tmp_path / "key").write_text("sk-secret-secret-secret\n")
    state = loaded(
        tmp_path,
        f"""credentials:
  - {{id: set, provider: openai, api_key: env:SET}}
  - {{id: unset, provider: openai, api_key: env:UNSET}}
  - {{id: file, provider: openai, api_key: "file:{tmp_path}/key"}}
  - {{id: nofile, provider: openai, api_key: "file:{tmp_path}/nokey"}}
  - {{id: command, provider: openai, api_key: {{command: [sh, -c, "exit 3"]}}}}
  - {{id: off, provider: openai, api_key: env:SET, enabled: false}}
""",
    )

    found = await machine.credentials(state, {"SET": "sk-secret-secret-secret", "PATH": os.environ["PATH"]})

    assert [(f.subject.removeprefix("credential "), f.level) for f in found] == [
        ("set", "ok"),
        ("unset", "note"),
        ("file", "ok"),
        ("nofile", "bad"),
        ("command", "bad"),
        ("off", "note"),
    ]
    assert "sk-secret" not in repr(found)


def test_a_proxy_setting_that_leads_in_a_circle_is_found(tmp_path):
    state = loaded(
        tmp_path,
        "upstream: {proxy: 'http://localhost:8080'}\n"
        "credentials: [{id: a, provider: openai, api_key: env:A, proxy: 'http://127.0.0.1:8080'}]\n",
    )

    found = told(machine.proxy_variables(state, {}))

    assert [(level, subject) for level, subject, _ in found] == [
        ("bad", "upstream.proxy"),
        ("bad", "credential a"),
    ]


def test_variables_that_lead_nowhere_or_past_detour_are_noted(tmp_path):
    env = {"HTTPS_PROXY": "http://127.0.0.1:8080", "NO_PROXY": "localhost,.anthropic.com"}

    found = [what for _, _, what in told(machine.proxy_variables(loaded(tmp_path), env))]

    assert found[0] == "HTTPS_PROXY leads to Detour, which does not run"
    assert found[1].startswith("NO_PROXY leads past Detour for api.anthropic.com")


def test_a_folder_that_cannot_be_written_is_bad(tmp_path):
    (tmp_path / "data").write_text("a file")

    (found,) = machine.folders(loaded(tmp_path).config, {})

    assert found.level == "bad" and f"{tmp_path}/data cannot be written" in found.what


@pytest.mark.parametrize(
    ("skews", "level", "what"),
    [
        ([], "note", "nobody could be asked for the time"),
        ([1.0, -2.0, 900.0], "ok", "agrees with the providers'"),
        ([3600.0, 3601.0, 0.0], "bad", "3600 s ahead of the providers'"),
        ([-3600.0], "bad", "3600 s behind the providers'"),
    ],
)
def test_the_clock_is_judged_by_the_median(skews, level, what):
    found = network.clock([Answer("https://a.example/", 1.0, skew) for skew in skews])

    assert (found.level, found.what) == (level, what)


async def test_any_answer_means_reachable_and_tells_the_time():
    def answer(request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        return httpx.Response(404, headers={"date": "Thu, 01 Jan 1970 00:00:00 GMT"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        found = await network.ask(client, "https://a.example/")

    assert found.milliseconds is not None and found.error == ""
    assert found.skew is not None and found.skew > 1e9


async def test_a_failure_is_told_in_its_own_words():
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    async with httpx.AsyncClient(transport=httpx.MockTransport(refuse)) as client:
        assert await network.ask(client, "https://a.example/") == Answer(
            "https://a.example/", error="connection refused"
        )


async def test_an_unreachable_provider_is_bad_only_where_it_is_used(tmp_path, monkeypatch):
    async def unreachable(client, url):
        return Answer(url, error="no route")

    monkeypatch.setattr(network, "ask", unreachable)

    found = {f.subject: f for f in await network.providers(loaded(tmp_path), {"openai"})}

    assert (
        found["openai"].level == "bad"
        and "api.openai.com cannot be reached: no route" in found["openai"].what
    )
    assert found["anthropic"].level == "note"
    assert found["ollama"].level == "note"


async def test_a_broken_upstream_setting_is_one_finding(tmp_path):
    (tmp_path / "broken.pem").write_text("no certificate")
    state = loaded(tmp_path, f"upstream: {{ca_bundle: {tmp_path}/broken.pem}}")

    (found,) = await network.providers(state, set())

    assert (found.level, found.subject) == ("bad", "upstream")


async def test_offline_asks_nobody(tmp_path, monkeypatch):
    async def never(*_):
        raise AssertionError("asked")

    monkeypatch.setattr(network, "providers", never)

    subjects = {f.subject for f in await doctor.examine(loaded(tmp_path), {}, offline=True)}

    assert {"python", "mitmproxy", "ca", "listen.proxy"} <= subjects


def test_clients_that_refuse_the_certificate_of_the_running_instance_are_named(tmp_path, monkeypatch):
    refusal = {
        "name": "codex at 127.0.0.1",
        "host": "api.openai.com",
        "reason": "TLS alert: unknown ca",
        "tunnelled_for": 301.0,
        "remedy": "it reads CODEX_CA_CERTIFICATE",
    }
    monkeypatch.setattr(machine.remote, "ask", lambda *_: {"refusals": [refusal]})

    (found,) = machine.refusals(loaded(tmp_path))

    assert (found.level, found.remedy) == ("note", "it reads CODEX_CA_CERTIFICATE")
    assert found.what.endswith(
        "for api.openai.com (TLS alert: unknown ca); it is tunnelled, and not routed, for 6m more"
    )


def test_without_an_instance_nobody_refuses(tmp_path):
    assert list(machine.refusals(loaded(tmp_path))) == []


def test_workers_are_weighed_against_cores_and_shared_state(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_cores", lambda: 2)
    redis = "state: redis://127.0.0.1:6379/0\n"

    def levels(text: str) -> list[str]:
        return [level for level, _, _ in told(processes.workers(loaded(tmp_path, text).config))]

    assert levels("listen: {workers: 1}") == []
    assert levels(redis + "listen: {workers: 2}") == ["ok"]
    assert levels("listen: {workers: 2}") == ["ok", "note"]
    assert levels(redis + "listen: {workers: 3}") == ["note"]


@pytest.mark.parametrize(("limit", "level"), [(1024, "note"), (4096, "ok"), (-1, "ok")])
def test_a_low_limit_of_open_files_is_noted(monkeypatch, limit, level):
    monkeypatch.setattr(processes.resource, "getrlimit", lambda _: (limit, limit))
    monkeypatch.setattr(processes.resource, "RLIM_INFINITY", -1)

    (found,) = processes.open_files()

    assert found.level == level


def test_a_unit_that_does_not_wait_for_the_end_is_noted(tmp_path):
    from detour import service

    config = loaded(tmp_path, "listen: {drain: 30s}").config
    longer = loaded(tmp_path, "listen: {drain: 2m}").config
    assert list(processes.unit(config, tmp_path)) == []
    service.install(["service"], tmp_path, Path("/opt/detour/bin/detour"), Path("/etc/detour/detour.yaml"))

    assert told(processes.unit(config, tmp_path)) == [("ok", "service", "a systemd unit is installed")]
    (found,) = processes.unit(longer, tmp_path)
    assert (found.level, found.remedy) == (
        "note",
        "TimeoutStopSec=135 in the unit, or a shorter listen.drain",
    )


BOX = "listen: {transparent: '0.0.0.0:8443'}\naccess: {networks: [10.0.0.0/8]}"


def test_the_rules_of_a_gateway_box_are_looked_for(tmp_path, monkeypatch):
    config = loaded(tmp_path, BOX).config
    monkeypatch.setattr(box.checks, "kernel", lambda wanted: [])
    monkeypatch.setattr(box.nft, "program", lambda: "/usr/sbin/nft")
    monkeypatch.setattr(box.nft, "may_change", lambda: True)

    monkeypatch.setattr(box.nft, "held", lambda: None)
    (absent,) = box.rules(config)
    monkeypatch.setattr(box.nft, "held", Held)
    (there,) = box.rules(config)
    monkeypatch.setattr(box.nft, "may_change", lambda: False)
    (unseen,) = box.rules(config)

    assert (absent.level, absent.remedy) == ("note", "run detour gateway up")
    assert (there.level, there.what) == ("ok", "in force, leading to 0.0.0.0:8443")
    assert unseen.level == "note" and "sudo detour doctor" in unseen.remedy
    assert list(box.rules(loaded(tmp_path).config)) == []


def test_a_gateway_box_without_nft_is_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(box.nft.shutil, "which", lambda *_, **__: None)

    (found,) = box.rules(loaded(tmp_path, BOX).config)

    assert found.level == "bad" and "install nftables" in found.what


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look at the authority of another user")
def test_the_authority_of_a_service_is_no_trouble_for_root(tmp_path):
    state = loaded(tmp_path)
    folder = tmp_path / "data" / "ca"
    folder.mkdir(parents=True)
    os.chown(folder, 10001, 10001)
    found = ensure_ca(state.config, state.registry, {})
    (service,) = machine.authority(state, {})
    os.chown(found.key_pem, 0, 0)
    roots, _ = machine.authority(state, {})

    assert service.level == "ok"
    assert (roots.level, roots.remedy) == ("bad", f"chown 10001 {found.key_pem}, or set ca.dir")

"""The DNS, asked over the wire: a server on loopback says what each test has it say."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from dns.asyncresolver import Resolver

from detour.gateway.resolve import Answer, ask

RECORDS = {
    ("api.test.", "A"): ("60", "192.0.2.1", "192.0.2.2"),
    ("api.test.", "AAAA"): ("30", "2001:db8::1"),
    ("blocked.test.", "A"): ("60", "0.0.0.0"),
    ("blocked.test.", "AAAA"): ("60", "::"),
    ("old.test.", "A"): ("60", "192.0.2.9"),
}
EXISTING = {name for name, _ in RECORDS}


class Server(asyncio.DatagramProtocol):
    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr) -> None:
        query = dns.message.from_wire(data)
        asked = query.question[0]
        name, kind = asked.name.to_text(), dns.rdatatype.to_text(asked.rdtype)
        if name == "silent.test.":
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if name == "broken.test.":
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name not in EXISTING:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif found := RECORDS.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(name, int(found[0]), "IN", kind, *found[1:]))
        self.transport.sendto(answer.to_wire(), addr)


@pytest.fixture
async def resolver() -> AsyncIterator[Resolver]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    found = Resolver(configure=False)
    found.nameservers = ["127.0.0.1"]
    found.port = transport.get_extra_info("sockname")[1]
    found.lifetime = 20.0
    yield found
    transport.close()


async def answers(resolver: Resolver, *hosts: str, families: tuple[int, ...] = (4, 6)) -> list[Answer]:
    return await ask(resolver, hosts, families)


async def test_addresses_of_both_families_and_the_shorter_time(resolver: Resolver) -> None:
    (found,) = await answers(resolver, "api.test")
    assert found.addresses == {ipaddress.ip_address(a) for a in ("192.0.2.1", "192.0.2.2", "2001:db8::1")}
    assert 0 < found.ttl <= 30
    assert found.error == ""


async def test_only_the_families_that_are_wanted(resolver: Resolver) -> None:
    (found,) = await answers(resolver, "api.test", families=(6,))
    assert found.addresses == {ipaddress.ip_address("2001:db8::1")}


async def test_a_name_with_one_family_only_is_no_error(resolver: Resolver) -> None:
    (found,) = await answers(resolver, "old.test")
    assert found.addresses == {ipaddress.ip_address("192.0.2.9")}
    assert found.error == ""


async def test_what_a_blocking_server_says_is_no_address(resolver: Resolver) -> None:
    assert (await answers(resolver, "blocked.test"))[0].addresses == frozenset()


async def test_each_failure_is_named_and_keeps_no_other_from_being_answered(resolver: Resolver) -> None:
    missing, broken, good = await answers(resolver, "missing.test", "broken.test", "old.test")
    assert (missing.error, broken.error) == ("there is no such name", "the DNS servers cannot answer")
    assert good.addresses


async def test_a_silent_server_is_given_up(resolver: Resolver) -> None:
    resolver.lifetime = 0.2
    assert await answers(resolver, "silent.test") == [Answer("silent.test", error="no DNS server answers")]

"""Entries on their way to the writer's process."""

from decimal import Decimal

import pytest

from router_core.exchange import Usage
from router_core.usage.batch import pack, unpack
from router_core.usage.entry import entry_of
from tests.router_core.usage.exchanges import attempt, exchange

EVERYTHING = Usage(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, {"web_search": 2}, tier="batch", cost=Decimal("0.00012"))


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(input=1, output=0, server_tools={"web_search": 3}),
        EVERYTHING,
        Usage(input=1, others={"advisor": EVERYTHING}),
    ],
    ids=["nothing", "counts", "everything", "another model"],
)
def test_what_is_packed_comes_out_again(usage: Usage) -> None:
    tried = (
        attempt(1, phase="headers", status=429),
        attempt(2, phase="connect", error="refused"),
        attempt(3),
    )
    batch = [entry_of(exchange(*tried, usage=usage, session="s")), entry_of(exchange(usage=usage))]
    assert unpack(pack(batch)) == batch


def test_a_status_that_is_more_than_a_number_can_be_packed() -> None:
    from http import HTTPStatus

    (found,) = unpack(pack([entry_of(exchange(status=HTTPStatus.TOO_MANY_REQUESTS))]))
    assert found.entry.status == 429

"""Values that live as long as their flow."""

import gc
import weakref
from pathlib import Path

from mitmproxy.test import tflow

from addons.attached import Attached
from addons.call import Call, calls
from addons.usage import Usage
from router_core.config.loader import parse
from router_core.core import Core
from router_core.exchange import ClientInfo, Exchange, Request, Surface
from router_core.formats import Format, Operation


def test_a_value_is_its_flows_own() -> None:
    values = Attached[str]("test")
    one, other = tflow.tflow(), tflow.tflow()
    values[one] = "here"
    assert values.get(one) == "here" and one in values
    assert values.get(other) is None and other not in values
    assert values.get(one.copy()) is None
    assert one.get_state().keys() == other.get_state().keys()
    assert values.pop(one) == "here" and values.pop(one) is None


def test_a_flow_is_freed_whatever_refers_to_it() -> None:
    core = Core(parse(b"credentials: []", Path("detour.yaml")))
    flow = tflow.tflow(resp=True)
    surface = Surface(Format.ANTHROPIC, Operation.GENERATE, None, None, False, "gateway")
    exchange = Exchange("x", surface, ClientInfo("127.0.0.1"), Request("POST", "/v1/messages", [], b"{}"))
    calls[flow] = Call(weakref.ref(flow), surface, core.config, exchange)
    Usage(core).responseheaders(flow)
    gone = weakref.ref(flow)
    del flow, exchange
    gc.collect()
    assert gone() is None

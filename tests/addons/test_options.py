"""Options are read quickly, and as mitmproxy reads them."""

import pytest
from mitmproxy import options

from addons.options import Options


def test_as_mitmproxy_reads_them() -> None:
    quick, own = Options(), options.Options()
    for made in (quick, own):
        made.update(mode=["regular@1"], confdir="/there", ssl_insecure=True)
    names = sorted(own.keys())
    assert [getattr(quick, name) for name in names] == [getattr(own, name) for name in names]
    with pytest.raises(AttributeError):
        _ = quick.no_such_option


def test_a_list_is_a_copy() -> None:
    made = Options()
    made.mode.append("socks5")
    assert made.mode == ["regular"]

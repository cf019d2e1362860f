"""The routing core: bytes and values in, bytes and values out. Never imports mitmproxy."""

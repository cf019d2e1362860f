"""Everything that imports mitmproxy: one feature, one file, one class."""

"""Everything that imports mitmproxy: one feature, one file, one class."""

from addons import sparing

sparing.install()

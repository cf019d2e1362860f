"""The shell around the addons and the routing core: command line, launcher, admin server."""

__version__ = "0.1.0"

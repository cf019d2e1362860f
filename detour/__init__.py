"""The shell around the addons and the routing core: command line, launcher, admin server."""

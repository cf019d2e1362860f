"""The sections of the configuration, by what they speak of; `router_core.config.schema` is the whole."""

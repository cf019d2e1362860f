"""Default configuration and the provider registry, as data that travels inside the wheel."""

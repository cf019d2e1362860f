"""The configuration: schema, loader, secrets."""

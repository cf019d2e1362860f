"""The WireGuard tunnel for laptops and phones: its peers, and what their devices are told."""

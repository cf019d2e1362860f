"""A gateway box in network namespaces: real nftables, real dnsmasq, real clients."""

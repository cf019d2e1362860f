"""A gateway box: the firewall rules that lead providers' connections to Detour, and the addresses in them."""

"""For `mitmdump -s addons/detour.py --set detour_config=FILE`; also for mitmproxy and mitmweb."""

from addons.suite import Suite

addons = [Suite()]

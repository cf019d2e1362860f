"""Failover inside the proxy core: an HTTP layer and a stream that can send a request again.

mitmproxy has no such primitive, so this subclasses `HttpLayer` and `HttpStream`. They are not public API;
`addons.failover.selfcheck` tests at start-up that everything used here is still there.

How it works, in one paragraph. The base stream sends the request to one upstream and relays whatever
comes back. `FailoverStream` keeps the answer's beginning back until it is certain that the client should
see it. An answer that says "not me, not now" ends the attempt instead: the old upstream stream is
cancelled, the `upstream_attempt` hook lets the route addon choose and prepare the next attempt, and the
request goes out again under a *fresh stream id*. The id matters: events from upstream carry nothing but a
stream id, so late news of an abandoned attempt would otherwise be taken for the new one's, and HTTP/2
forbids sending twice on one stream.
"""

"""Rewrite rules: what each upstream accepts and what each client can bear, as data.

`compile_rules` makes the `Rules` of a configuration once; `router_core.prepare` and `router_core.respond`
run them over a request and its answer. How a rule is written stands in `router_core.rewrite.schema`, all
built-in ones in `router_core.rewrite.catalogue`.
"""

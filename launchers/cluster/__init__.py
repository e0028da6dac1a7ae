"""A run over many processes and machines: the objects of `host` as Ray actors.

`runner` is what `tolman train --launcher ray` uses; docs/cluster.md describes the roles.
"""

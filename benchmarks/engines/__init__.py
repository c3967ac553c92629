"""The engines `benchmarks/peers.py` sets beside the product, one file an engine, each run in a process of its own.

On the benchmark's side: `specs` (which engines there are), `environments` (where they are installed), `conversion` (to
their own formats), `driver` (their processes), `pictures`, `agreement` (do they compute the same?), `measurement`,
`machine`, `results` and `report`.

On the engine's side, where nothing of mnv2deploy need be installed: `worker` (the loop that answers the driver), `peer`
(what all peers do to a picture), `decoding` (and to raw outputs), and ``*_engine.py``.
"""

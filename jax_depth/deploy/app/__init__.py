"""Depth in the browser and over HTTP: `jax-depth app`.

What arrives crosses `guard` (who may ask for what), `decode` (bytes to pixels, within
`limits`), `service` (pixels to a depth map, through the queue of `batching`) and
leaves through `endpoint` (the HTTP call) or `page` (the browser).
"""

"""The page of ``gnnreloc demo`` (extra ``demo``): search videos by example in a browser."""

from gnnreloc.demo.service import EdgeMap, Found, Limits, Service

__all__ = ["EdgeMap", "Found", "Limits", "Service"]

"""gnnreloc: find the moment in a long video that shows the same action as a query clip."""

__version__ = "0.1.0"

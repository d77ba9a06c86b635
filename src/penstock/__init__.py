"""Penstock: one chain for machine-learning models, from data to production.

The package imports nothing; public names load their module when first used.
"""

from __future__ import annotations

__version__ = "0.1.0"

"""What the management API says of the router's health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from openai import BaseModel

__all__ = ["Health", "of_error"]


class Health(BaseModel):
    """`GET /health`. What the router does not tell is none; what it tells beyond these fields is kept (`to_dict()`)."""

    status: str
    """`healthy`, `degraded`, or `draining`: it is about to end."""
    version: Optional[str] = None
    uptime: Optional[int] = None
    """Seconds since it started."""
    models: Optional[dict[str, Any]] = None
    """The classifier's heads: name to state, such as `loaded`."""
    cache: Optional[dict[str, Any]] = None
    """Of the semantic cache: status, entries, hit_rate."""
    endpoints: Optional[dict[str, str]] = None
    """The backends' endpoints: name to state, such as `healthy`."""


def of_error(body: object) -> Health | None:
    """The health object that a 503 carries: a router that ends says so with that status."""
    if isinstance(body, Mapping) and isinstance(body.get("status"), str):
        return Health.construct(**body)
    return None

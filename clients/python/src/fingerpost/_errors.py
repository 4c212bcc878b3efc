"""Errors that only the router makes, as subclasses of the SDK's own: `except openai.APIStatusError` goes on working."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import openai

__all__ = ["RateLimited", "SecurityViolation", "Unavailable", "typed"]


class SecurityViolation(openai.PermissionDeniedError):
    """403: a guard refused the request, or its answer. `code` says which: `pii_detected`, `jailbreak_detected`, ..."""

    @property
    def details(self) -> Mapping[str, Any]:
        """What the guard says beyond its code; empty where it says nothing."""
        return _details(self.body)

    @property
    def entities_found(self) -> list[str]:
        """The types of personal data that were found, such as `EMAIL_ADDRESS`. Their values are never told."""
        found = self.details.get("entities_found")
        return [str(kind) for kind in found] if isinstance(found, list) else []

    @property
    def action_taken(self) -> str | None:
        """What the guard did: `block`."""
        action = self.details.get("action_taken")
        return action if isinstance(action, str) else None


class RateLimited(openai.RateLimitError):
    """429: a limit of the router, or of the backend behind it."""

    @property
    def retry_after(self) -> float | None:
        """Seconds until the next request may succeed; none where no number is told."""
        headers = self.response.headers
        told = (headers.get("retry-after"), headers.get("x-ratelimit-retry-after"), _details(self.body).get("retry_after"))
        return next((seconds for seconds in map(_seconds, told) if seconds is not None), None)


class Unavailable(openai.InternalServerError):
    """503: what the request needs is not there now. `code` says what: `classifier_unavailable`, `upstream_unavailable`, ..."""


def typed(error: openai.APIStatusError) -> openai.APIStatusError:
    """The error as the class that fits it, with the SDK's message, response and body; the SDK's own where none does."""
    kind: type[openai.APIStatusError] | None = None
    if error.status_code == 403 and error.type == "security_violation":
        kind = SecurityViolation
    elif error.status_code == 429:
        kind = RateLimited
    elif error.status_code == 503:
        kind = Unavailable
    return kind(error.message, response=error.response, body=error.body) if kind else error


def _details(body: object) -> Mapping[str, Any]:
    details = body.get("details") if isinstance(body, Mapping) else None
    return details if isinstance(details, Mapping) else {}


def _seconds(value: object) -> float | None:
    """A finite number that is not negative, from JSON or a header. The other form of `retry-after`, a date, is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None

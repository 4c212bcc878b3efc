"""What the router decided about a request, from the answer's body, its headers, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openai import APIResponse, AsyncAPIResponse

__all__ = ["Routing", "routing"]


@dataclass(frozen=True)
class Routing:
    """What the router decided. What the answer does not tell is none: `routing_metadata` stands in chat completions that are not
    streamed, headers in every answer."""

    selected_model: str | None = None
    """The model that served."""
    endpoint: str | None = None
    """The endpoint that answered."""
    confidence: float | None = None
    """The classifier's, 0 to 1."""
    category: str | None = None
    """The classifier's label."""
    decision: str | None = None
    """The rule that chose the model; none for a named or the default model."""
    fallback: str | None = None
    """Why the default model served without a verdict, such as `classifier_timeout`."""
    processing_time_ms: int | None = None
    """Milliseconds that routing held the request."""
    classification_time_ms: int | None = None
    """Those of them spent waiting for the classifier."""
    cache_hit: bool | None = None
    """Whether the answer came from the semantic cache."""
    security_checks: dict[str, bool | None] = field(default_factory=dict)
    """Guard (`pii`, `jailbreak`) to whether it found something; none where it has no verdict. Without guards it is empty."""
    unscannable: int = 0
    """How many images, files and the like the guards could not read."""
    request_id: str | None = None
    """`x-request-id`, as in the router's logs."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """`routing_metadata` as it came."""


def routing(response: object) -> Routing:
    """What the router decided about the request that `response` answers.

    Takes a chat completion (its `routing_metadata`), a stream (its headers), what `.with_raw_response.create(...)` returns (both),
    what `.with_streaming_response.create(...)` does (its headers) and an `openai.APIStatusError` (its headers). A `Response` of the Responses API carries neither: ask for it `.with_raw_response`.
    """
    headers = _headers(response)
    metadata = _metadata(response)
    checks, unscannable = _checks(headers.get("x-security-checks"), metadata.get("security_checks"))
    told = {name: metadata.get(name) for name in ("confidence", "category", "decision", "cache_hit")}
    return Routing(
        **told,
        selected_model=headers.get("x-selected-model") or metadata.get("selected_model"),
        endpoint=headers.get("x-semantic-destination-endpoint") or metadata.get("endpoint"),
        fallback=headers.get("x-routing-fallback") or metadata.get("fallback"),
        processing_time_ms=_whole(headers.get("x-processing-time"), metadata.get("processing_time_ms")),
        classification_time_ms=_whole(headers.get("x-classification-time"), metadata.get("classification_time_ms")),
        security_checks=checks,
        unscannable=unscannable,
        request_id=headers.get("x-request-id"),
        metadata=metadata,
    )


def _headers(response: object) -> Mapping[str, str]:
    for holder in (response, getattr(response, "response", None)):
        headers = getattr(holder, "headers", None)
        if isinstance(headers, Mapping):
            return headers
    return {}


def _metadata(response: object) -> Mapping[str, Any]:
    # Of `.with_raw_response`: the SDK keeps what `parse` returns, and a stream is not read by it. `.with_streaming_response` may be unread.
    if hasattr(response, "http_response") and not isinstance(response, (APIResponse, AsyncAPIResponse)):
        response = response.parse()  # type: ignore[attr-defined]
    metadata = getattr(response, "routing_metadata", None)
    return metadata if isinstance(metadata, Mapping) else {}


def _checks(header: str | None, metadata: object) -> tuple[dict[str, bool | None], int]:
    """The header says all, `pii:false,jailbreak:unknown,unscannable:2`; without it the body does."""
    if header:
        parts = dict(part.strip().partition(":")[::2] for part in header.split(","))
        skipped = parts.pop("unscannable", None)
        checks = {name: {"true": True, "false": False}.get(value) for name, value in parts.items() if name}
        return checks, _whole(skipped, None) or 0
    if not isinstance(metadata, Mapping):
        return {}, 0
    checks = {name: check.get("detected") for name, check in metadata.items() if isinstance(check, Mapping)}
    return checks, _whole(None, metadata.get("unscannable")) or 0


def _whole(header: str | None, metadata: object) -> int | None:
    if header is not None and header.isdecimal():
        return int(header)
    return metadata if isinstance(metadata, int) else None

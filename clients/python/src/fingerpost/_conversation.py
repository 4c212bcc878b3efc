"""A conversation over the Responses API: each turn goes on from the one before, whatever model answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from openai.types.responses import Response, ResponseInputParam

if TYPE_CHECKING:
    from ._client import AsyncFingerpost, Fingerpost

__all__ = ["AsyncConversation", "Conversation"]


class _Turns:
    def __init__(self, last_id: str | None, defaults: dict[str, Any]) -> None:
        self.last_id = last_id
        """The id of the last answer; set it to go on from an earlier one."""
        self._defaults = defaults

    def _next(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        if {**self._defaults, **kwargs}.get("stream"):
            raise TypeError("a conversation does not stream: use client.responses.stream(previous_response_id=conversation.last_id)")
        follow = {"previous_response_id": self.last_id} if self.last_id else {}
        return {"model": "auto", **self._defaults, **kwargs, **follow}


class Conversation(_Turns):
    """Made by `Fingerpost.conversation`."""

    def __init__(self, client: Fingerpost, last_id: str | None, defaults: dict[str, Any]) -> None:
        super().__init__(last_id, defaults)
        self._client = client

    def ask(self, input: str | ResponseInputParam, **kwargs: Any) -> Response:
        """The next turn. `kwargs` as in `client.responses.create`. A turn that fails leaves the conversation as it was."""
        response: Response = self._client.responses.create(input=input, **self._next(kwargs))
        self.last_id = response.id
        return response


class AsyncConversation(_Turns):
    """Made by `AsyncFingerpost.conversation`."""

    def __init__(self, client: AsyncFingerpost, last_id: str | None, defaults: dict[str, Any]) -> None:
        super().__init__(last_id, defaults)
        self._client = client

    async def ask(self, input: str | ResponseInputParam, **kwargs: Any) -> Response:
        """The next turn. `kwargs` as in `client.responses.create`. A turn that fails leaves the conversation as it was."""
        response: Response = await self._client.responses.create(input=input, **self._next(kwargs))
        self.last_id = response.id
        return response

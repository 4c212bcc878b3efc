"""The clients: the SDK's own, with the router's defaults and what only the router has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, overload

import openai
from openai import AsyncOpenAI, AsyncStream, Omit, OpenAI, Stream
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam
from typing_extensions import Self, override

from . import _errors, _health
from ._conversation import AsyncConversation, Conversation
from ._health import Health

__all__ = ["AsyncFingerpost", "Fingerpost"]

BASE_URL = "http://127.0.0.1:8801/v1"
MANAGEMENT_URL = "http://127.0.0.1:8080"
API_KEY = "none"


class Fingerpost(OpenAI):
    """`openai.OpenAI` for a Fingerpost router. Keyword arguments are the SDK's.

    `base_url`, `management_url` and `api_key` are what is given or the defaults, never `OPENAI_BASE_URL` or `OPENAI_API_KEY`: a key
    of OpenAI's is not for the router. Who shows the same key shares stored conversations.
    """

    management_url: str
    """Where the management API is; it is asked without the key."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | Callable[[], str] | None = None,
        management_url: str = MANAGEMENT_URL,
        **kwargs: Any,
    ) -> None:
        super().__init__(base_url=base_url or BASE_URL, api_key=api_key or API_KEY, **kwargs)
        self.management_url = management_url

    @overload
    def chat_completion(
        self, prompt: str | Iterable[ChatCompletionMessageParam], model: str = ..., stream: Literal[False] = ..., **kwargs: Any
    ) -> ChatCompletion: ...

    @overload
    def chat_completion(
        self, prompt: str | Iterable[ChatCompletionMessageParam], model: str = ..., *, stream: Literal[True], **kwargs: Any
    ) -> Stream[ChatCompletionChunk]: ...

    @overload
    def chat_completion(
        self, prompt: str | Iterable[ChatCompletionMessageParam], model: str = ..., stream: bool = ..., **kwargs: Any
    ) -> ChatCompletion | Stream[ChatCompletionChunk]: ...

    def chat_completion(
        self,
        prompt: str | Iterable[ChatCompletionMessageParam],
        model: str = "auto",
        stream: bool = False,
        **kwargs: Any,
    ) -> ChatCompletion | Stream[ChatCompletionChunk]:
        """Answers a prompt, or messages. `kwargs` as in `client.chat.completions.create`."""
        return self.chat.completions.create(messages=_messages(prompt), model=model, stream=stream, **kwargs)

    def conversation(self, last_id: str | None = None, **defaults: Any) -> Conversation:
        """A conversation over the Responses API, from its start or from the response `last_id`. `defaults` go with every turn."""
        return Conversation(self, last_id, defaults)

    def get_health(self) -> Health:
        """The router's health, of the management API. Not retried: it says what is now."""
        try:
            return self.get(_health_url(self), cast_to=Health, options={"headers": _ANONYMOUS, "max_retries": 0})
        except openai.APIStatusError as error:
            return _known(error)

    @override
    def copy(self, *, management_url: str | None = None, **kwargs: Any) -> Self:
        copied = super().copy(**kwargs)
        copied.management_url = management_url or self.management_url
        return copied

    with_options = copy

    @override
    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> openai.APIStatusError:
        return _errors.typed(super()._make_status_error(err_msg, body=body, response=response))


class AsyncFingerpost(AsyncOpenAI):
    """`openai.AsyncOpenAI` for a Fingerpost router; the asynchronous `Fingerpost`."""

    management_url: str
    """Where the management API is; it is asked without the key."""

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | Callable[[], Awaitable[str]] | None = None,
        management_url: str = MANAGEMENT_URL,
        **kwargs: Any,
    ) -> None:
        super().__init__(base_url=base_url or BASE_URL, api_key=api_key or API_KEY, **kwargs)
        self.management_url = management_url

    @overload
    async def chat_completion(
        self, prompt: str | Iterable[ChatCompletionMessageParam], model: str = ..., stream: Literal[False] = ..., **kwargs: Any
    ) -> ChatCompletion: ...

    @overload
    async def chat_completion(
        self, prompt: str | Iterable[ChatCompletionMessageParam], model: str = ..., *, stream: Literal[True], **kwargs: Any
    ) -> AsyncStream[ChatCompletionChunk]: ...

    @overload
    async def chat_completion(
        self, prompt: str | Iterable[ChatCompletionMessageParam], model: str = ..., stream: bool = ..., **kwargs: Any
    ) -> ChatCompletion | AsyncStream[ChatCompletionChunk]: ...

    async def chat_completion(
        self,
        prompt: str | Iterable[ChatCompletionMessageParam],
        model: str = "auto",
        stream: bool = False,
        **kwargs: Any,
    ) -> ChatCompletion | AsyncStream[ChatCompletionChunk]:
        """Answers a prompt, or messages. `kwargs` as in `client.chat.completions.create`."""
        return await self.chat.completions.create(messages=_messages(prompt), model=model, stream=stream, **kwargs)

    def conversation(self, last_id: str | None = None, **defaults: Any) -> AsyncConversation:
        """A conversation over the Responses API, from its start or from the response `last_id`. `defaults` go with every turn."""
        return AsyncConversation(self, last_id, defaults)

    async def get_health(self) -> Health:
        """The router's health, of the management API. Not retried: it says what is now."""
        try:
            return await self.get(_health_url(self), cast_to=Health, options={"headers": _ANONYMOUS, "max_retries": 0})
        except openai.APIStatusError as error:
            return _known(error)

    @override
    def copy(self, *, management_url: str | None = None, **kwargs: Any) -> Self:
        copied = super().copy(**kwargs)
        copied.management_url = management_url or self.management_url
        return copied

    with_options = copy

    @override
    def _make_status_error(self, err_msg: str, *, body: object, response: Any) -> openai.APIStatusError:
        return _errors.typed(super()._make_status_error(err_msg, body=body, response=response))


# The gateway's key is not for the management API.
_ANONYMOUS = {"Authorization": Omit(), "OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}


def _messages(prompt: str | Iterable[ChatCompletionMessageParam]) -> Iterable[ChatCompletionMessageParam]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def _health_url(client: Fingerpost | AsyncFingerpost) -> str:
    return client.management_url.rstrip("/") + "/health"


def _known(error: openai.APIStatusError) -> Health:
    """The health that an answer with a status of its own tells; raises where it is another error."""
    health = _health.of_error(error.body) if error.status_code == 503 else None
    if health is None:
        raise error
    return health

"""The Python client, clients/python: most of it against the real stack, whose address is in `OPENAI_BASE_URL`. What that stack does not
answer (a guard's 403, the router's own 429, health) comes from a transport of the SDK's that is told what to answer."""

import json
import os
import unittest

import httpx2
import openai
from openai import DefaultAsyncHttpxClient, DefaultHttpxClient

from fingerpost import (
    AsyncFingerpost,
    Fingerpost,
    RateLimited,
    SecurityViolation,
    Unavailable,
    routing,
)

BASE_URL = os.environ["OPENAI_BASE_URL"]
# What every classifier takes for mathematics.
SUM = "What is 2+2?"
HEALTH = {
    "status": "healthy",
    "version": "1.0.0",
    "uptime": 3600,
    "models": {"category_classifier": "loaded", "pii_detector": "loaded", "jailbreak_guard": "loaded"},
    "cache": {"status": "healthy", "entries": 1247, "hit_rate": 0.73},
    "endpoints": {"endpoint1": "healthy", "endpoint3": "degraded"},
}
PII = {
    "error": {
        "message": "PII detected in the request: EMAIL_ADDRESS, PERSON.",
        "type": "security_violation",
        "code": "pii_detected",
        "param": None,
        "details": {"entities_found": ["EMAIL_ADDRESS", "PERSON"], "action_taken": "block"},
    }
}
LIMIT = {
    "error": {
        "message": "Rate limit exceeded",
        "type": "rate_limit_error",
        "code": "too_many_requests",
        "param": None,
        "details": {"limit": 1000, "window": "1h", "retry_after": 60},
    }
}


def scripted(status, body, headers=None):
    """A transport that answers so, and the requests that it got."""
    seen = []

    def answer(request):
        seen.append(request)
        return httpx2.Response(status, json=body, headers=headers)

    return httpx2.MockTransport(answer), seen


def offline(status, body, headers=None, **options):
    transport, seen = scripted(status, body, headers)
    return Fingerpost(http_client=DefaultHttpxClient(transport=transport), max_retries=0, **options), seen


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


class AgainstTheStack(unittest.TestCase):
    def setUp(self):
        self.client = Fingerpost(BASE_URL, max_retries=0, timeout=20)

    def tearDown(self):
        self.client.close()

    def test_chat_of_a_prompt_is_routed(self):
        completion = self.client.chat_completion(SUM)
        self.assertIn("served by math-expert", completion.choices[0].message.content)
        decided = routing(completion)
        self.assertEqual((decided.selected_model, decided.category), ("math-expert", "math"))
        self.assertGreater(decided.confidence, 0.5)
        self.assertEqual(decided.metadata, completion.to_dict()["routing_metadata"])
        self.assertIs(decided.cache_hit, False)

    def test_chat_of_messages_with_the_sdks_parameters(self):
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]
        completion = self.client.chat_completion(messages, "gpt-3.5-turbo", temperature=0.5, extra_headers={"x-request-id": "abc-1"})
        self.assertEqual(completion.model, "general")
        self.assertEqual(completion._request_id, "abc-1")
        self.assertIsNone(routing(completion).decision)

    def test_chat_streamed(self):
        with self.client.chat_completion(SUM, stream=True) as stream:
            decided = routing(stream)
            text = text_of(stream)
        self.assertTrue(text.startswith("served by math-expert"), text)
        self.assertEqual(decided.selected_model, "math-expert")
        self.assertTrue(decided.endpoint)
        self.assertIsInstance(decided.processing_time_ms, int)
        self.assertTrue(decided.request_id)

    def test_raw_responses_tell_body_and_headers(self):
        ask = self.client.chat.completions.with_raw_response.create
        messages = [{"role": "user", "content": SUM}]
        raw = ask(model="auto", messages=messages)
        decided = routing(raw)
        self.assertEqual((decided.selected_model, decided.category), ("math-expert", "math"))
        self.assertEqual(decided.endpoint, decided.metadata["endpoint"])
        self.assertEqual(decided.request_id, raw.headers["x-request-id"])
        self.assertEqual(decided.security_checks, {})
        raw = ask(model="general", messages=messages, stream=True)
        self.assertEqual(routing(raw).selected_model, "general")
        self.assertTrue(text_of(raw.parse()).startswith("served by general"), "the stream is still to be read")
        with self.client.chat.completions.with_streaming_response.create(model="general", messages=messages) as response:
            self.assertEqual(routing(response).selected_model, "general")

    def test_responses(self):
        raw = self.client.responses.with_raw_response.create(model="auto", input=SUM)
        self.assertEqual(routing(raw).selected_model, "math-expert")
        self.assertEqual(raw.parse().model, "math-expert")
        first = self.client.responses.create(model="general", input="Hello, my name is Ada.")
        second = self.client.responses.create(model="general", input="What is my name?", previous_response_id=first.id)
        self.assertEqual(second.output_text, "Your name is Ada.")

    def test_responses_streamed(self):
        with self.client.responses.create(model="general", input="flow", stream=True) as stream:
            self.assertEqual(routing(stream).selected_model, "general")
            events = list(stream)
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        self.assertEqual(events[-1].response.output_text, text)
        with self.client.responses.stream(model="keeper", input="flow") as stream:
            self.assertEqual([event.type for event in stream][-1], "response.completed")

    def test_a_conversation_goes_on_from_its_last_answer(self):
        for model in ("general", "keeper"):
            conversation = self.client.conversation(model=model)
            first = conversation.ask("Hello, my name is Ben.")
            self.assertEqual(conversation.last_id, first.id)
            with self.assertRaises(openai.NotFoundError):
                conversation.ask("lost", model="gpt-9")
            self.assertEqual(conversation.last_id, first.id, "a failed turn changes nothing")
            self.assertEqual(conversation.ask("What is my name?").output_text, "Your name is Ben.")
            again = self.client.conversation(first.id, model=model)
            self.assertEqual(again.ask("What is my name?").previous_response_id, first.id)
        with self.assertRaises(TypeError):
            self.client.conversation().ask("x", stream=True)

    def test_models(self):
        ids = [model.id for model in self.client.models.list()]
        self.assertTrue({"auto", "general", "math-expert"} <= set(ids), ids)

    def test_errors_of_the_sdk_pass_through(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client.chat_completion("hi", "gpt-9")
        self.assertEqual((type(caught.exception), caught.exception.code), (openai.NotFoundError, "model_not_found"))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.chat_completion([])
        self.assertEqual(caught.exception.param, "messages")
        with self.assertRaises(openai.PermissionDeniedError) as caught:
            self.client.chat_completion('[[fake:{"status":403}]]', "general")
        self.assertNotIsInstance(caught.exception, SecurityViolation, "a backend's own 403 is none")

    def test_what_is_unavailable(self):
        for stream in (False, True):
            with self.assertRaises(Unavailable) as caught:
                self.client.chat_completion('[[fake:{"reset":true}]]', "general", stream=stream)
            self.assertIsInstance(caught.exception, openai.InternalServerError)
            self.assertEqual((caught.exception.status_code, caught.exception.code), (503, "upstream_unavailable"))
            self.assertEqual(routing(caught.exception).request_id, caught.exception.request_id)

    def test_a_backends_rate_limit(self):
        with self.assertRaises(RateLimited) as caught:
            self.client.chat_completion('[[fake:{"status":429}]]', "general")
        self.assertIsInstance(caught.exception, openai.RateLimitError)
        self.assertEqual(caught.exception.retry_after, 7)


class AsynchronouslyAgainstTheStack(unittest.IsolatedAsyncioTestCase):
    async def test_chat_and_responses(self):
        async with AsyncFingerpost(BASE_URL, max_retries=0, timeout=20) as client:
            completion = await client.chat_completion(SUM)
            self.assertEqual(routing(completion).selected_model, "math-expert")
            stream = await client.chat_completion("stream please", "general", stream=True)
            self.assertEqual(routing(stream).selected_model, "general")
            chunks = [chunk async for chunk in stream]
            self.assertTrue(text_of(chunks).startswith("served by general"))
            raw = await client.responses.with_raw_response.create(model="auto", input=SUM)
            self.assertEqual(routing(raw).selected_model, "math-expert")
            conversation = client.conversation(model="general")
            await conversation.ask("my name is Eve")
            self.assertEqual((await conversation.ask("What is my name?")).output_text, "Your name is Eve.")
            with self.assertRaises(Unavailable):
                await client.chat_completion('[[fake:{"reset":true}]]', "general")

    async def test_health(self):
        transport, seen = scripted(200, HEALTH)
        async with AsyncFingerpost(http_client=DefaultAsyncHttpxClient(transport=transport)) as client:
            self.assertEqual((await client.get_health()).cache["entries"], 1247)
            again = client.with_options(timeout=3, management_url="http://10.0.0.9:8080")
            await again.get_health()
        urls = [str(request.url) for request in seen]
        self.assertEqual(urls, ["http://127.0.0.1:8080/health", "http://10.0.0.9:8080/health"])


class Offline(unittest.TestCase):
    def test_defaults_do_not_come_from_the_environment(self):
        self.assertIn("OPENAI_API_KEY", os.environ)
        with Fingerpost() as client:
            self.assertEqual((str(client.base_url), client.api_key), ("http://127.0.0.1:8801/v1/", "none"))
            self.assertEqual(client.management_url, "http://127.0.0.1:8080")
            self.assertEqual(client.with_options(api_key="k").management_url, client.management_url)

    def test_health_is_asked_without_the_key(self):
        client, seen = offline(200, HEALTH, api_key="sk-secret", management_url="http://127.0.0.1:18080/", organization="org")
        health = client.get_health()
        self.assertEqual(health.to_dict(), HEALTH)
        self.assertEqual((health.status, health.uptime, health.endpoints["endpoint3"]), ("healthy", 3600, "degraded"))
        self.assertEqual((seen[0].method, str(seen[0].url)), ("GET", "http://127.0.0.1:18080/health"))
        self.assertNotIn("authorization", seen[0].headers)
        self.assertNotIn("openai-organization", seen[0].headers)

    def test_health_while_draining_and_without_health(self):
        client, seen = offline(503, {"status": "draining", "version": "1", "uptime": 5})
        self.assertEqual(client.with_options(max_retries=2).get_health().status, "draining")
        self.assertEqual(len(seen), 1, "not retried")
        client, _ = offline(503, {"error": {"message": "busy", "type": "server_error", "code": "overloaded", "param": None}})
        with self.assertRaises(Unavailable) as caught:
            client.get_health()
        self.assertEqual(caught.exception.code, "overloaded")
        client, _ = offline(404, {"status": "no"})
        with self.assertRaises(openai.NotFoundError):
            client.get_health()

    def test_a_violation(self):
        client, _ = offline(403, PII, {"x-security-checks": "pii:true,jailbreak:unknown,unscannable:2"})
        for call in (
            lambda: client.chat_completion("mail jo@example.com"),
            lambda: client.chat_completion("mail jo@example.com", stream=True),
            lambda: client.responses.create(model="auto", input="mail jo@example.com"),
        ):
            with self.assertRaises(openai.APIStatusError) as caught:
                call()
            error = caught.exception
            self.assertIsInstance(error, SecurityViolation)
            self.assertIsInstance(error, openai.PermissionDeniedError)
            self.assertEqual((error.status_code, error.code), (403, "pii_detected"))
            self.assertEqual((error.entities_found, error.action_taken), (["EMAIL_ADDRESS", "PERSON"], "block"))
            self.assertIn("PII detected", str(error))
            decided = routing(error)
            self.assertEqual((decided.security_checks, decided.unscannable), ({"pii": True, "jailbreak": None}, 2))

    def test_a_violation_without_entities(self):
        body = {"error": {"message": "m", "type": "security_violation", "code": "jailbreak_detected", "param": None}}
        client, _ = offline(403, body)
        with self.assertRaises(SecurityViolation) as caught:
            client.chat_completion("x")
        self.assertEqual((caught.exception.entities_found, caught.exception.action_taken), ([], None))

    def test_a_violation_in_mid_stream(self):
        frames = 'data: {"id": "c", "object": "chat.completion.chunk", "choices": []}\n\ndata: ' + json.dumps(PII) + "\n\n"
        reply = httpx2.Response(200, text=frames, headers={"content-type": "text/event-stream"})
        transport = httpx2.MockTransport(lambda request: reply)
        with Fingerpost(http_client=DefaultHttpxClient(transport=transport)) as client:
            stream = client.chat_completion("x", stream=True)
            self.assertEqual(next(stream).id, "c")
            with self.assertRaises(openai.APIError) as caught:
                next(stream)
        self.assertEqual((caught.exception.type, caught.exception.code), ("security_violation", "pii_detected"))

    def test_a_rate_limit(self):
        for headers, body, expected in (
            ({"retry-after": "1.5", "x-ratelimit-retry-after": "9"}, LIMIT, 1.5),
            ({"x-ratelimit-retry-after": "9"}, LIMIT, 9),
            ({}, LIMIT, 60),
            ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, LIMIT, 60),
            ({"retry-after": "nan"}, {}, None),
            ({"retry-after": "-1"}, {"error": "text"}, None),
        ):
            with self.subTest(headers=headers, body=body):
                client, _ = offline(429, body, headers)
                with self.assertRaises(RateLimited) as caught:
                    client.chat_completion("x")
                self.assertEqual(caught.exception.retry_after, expected)

    def test_checks_of_a_body(self):
        checks = {"pii": {"detected": True, "types": ["PERSON"], "action": "annotate"}, "jailbreak": {"detected": None}, "unscannable": 1}
        body = {"id": "c", "object": "chat.completion", "choices": [], "routing_metadata": {"security_checks": checks}}
        client, _ = offline(200, body)
        decided = routing(client.chat_completion("x"))
        self.assertEqual((decided.security_checks, decided.unscannable), ({"pii": True, "jailbreak": None}, 1))
        self.assertEqual(routing(object()).metadata, {})


if __name__ == "__main__":
    unittest.main()

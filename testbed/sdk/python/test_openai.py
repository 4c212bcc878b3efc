"""The official OpenAI SDK for Python against the real stack; `OPENAI_BASE_URL` says where it is."""

import json
import unittest

import openai
from openai import OpenAI

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]


def user(text):
    return [{"role": "user", "content": text}]


def misbehave(**behaviour):
    """A prompt whose marker tells the fake backend how to answer."""
    return user("[[fake:" + json.dumps(behaviour) + "]]")


class OpenAISDK(unittest.TestCase):
    def setUp(self):
        self.client = OpenAI(max_retries=0, timeout=20)
        self.chat = self.client.chat.completions

    def tearDown(self):
        self.client.close()

    def test_auto_is_routed(self):
        completion = self.chat.create(model="auto", messages=user("What is 2+2?"))
        self.assertIn("served by math-expert", completion.choices[0].message.content)
        self.assertEqual(completion.usage.total_tokens, 12)
        metadata = completion.to_dict()["routing_metadata"]
        self.assertEqual(metadata["selected_model"], "math-expert")
        self.assertEqual(metadata["category"], "math")

    def test_named_model_and_alias(self):
        for name in ("general", "gpt-3.5-turbo"):
            completion = self.chat.create(model=name, messages=user("hi"))
            self.assertIn("served by general", completion.choices[0].message.content)
            self.assertEqual(completion.model, "general")

    def test_response_headers(self):
        raw = self.chat.with_raw_response.create(model="auto", messages=user("hi"))
        self.assertEqual(raw.headers["x-selected-model"], "math-expert")
        self.assertTrue(raw.headers["x-processing-time"].isdigit())

    def test_streaming(self):
        for model, backend in (("auto", "math-expert"), ("general", "general")):
            stream = self.chat.create(
                model=model, messages=user("stream please"), stream=True, stream_options={"include_usage": True}
            )
            chunks = list(stream)
            text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            self.assertTrue(text.startswith(f"served by {backend}"), text)
            self.assertEqual(chunks[-2].choices[0].finish_reason, "stop")
            self.assertEqual(chunks[-1].usage.total_tokens, 12)

    def test_streaming_split_at_every_byte(self):
        stream = self.chat.create(model="general", messages=misbehave(chunk_bytes=1), stream=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        self.assertTrue(text.startswith("served by general"), text)

    def test_tools(self):
        completion = self.chat.create(model="auto", messages=user("please use the tool"), tools=TOOLS)
        self.assertEqual(completion.choices[0].finish_reason, "tool_calls")
        call = completion.choices[0].message.tool_calls[0]
        self.assertEqual((call.function.name, json.loads(call.function.arguments)), ("weather", {"city": "Paris"}))
        answered = user("please") + [completion.choices[0].message.model_dump(exclude_none=True)]
        answered.append({"role": "tool", "tool_call_id": call.id, "content": "sunny"})
        again = self.chat.create(model="general", messages=answered, tools=TOOLS)
        self.assertEqual(again.choices[0].finish_reason, "stop")

    def test_tools_streamed(self):
        stream = self.chat.create(model="general", messages=user("use the tool"), tools=TOOLS, stream=True)
        calls = [call for chunk in stream if chunk.choices for call in chunk.choices[0].delta.tool_calls or []]
        self.assertEqual(calls[0].function.name, "weather")

    def test_models(self):
        ids = [model.id for model in self.client.models.list()]
        self.assertIn("auto", ids)
        self.assertIn("general", ids)
        self.assertEqual(self.client.models.retrieve("general").id, "general")
        with self.assertRaises(openai.NotFoundError):
            self.client.models.retrieve("nope")

    def test_embeddings_and_completions(self):
        embedding = self.client.embeddings.create(model="general", input="x", encoding_format="float")
        self.assertEqual(embedding.data[0].embedding, [0.6, 0.8])
        completion = self.client.completions.create(model="general", prompt="x")
        self.assertIn("served by general", completion.choices[0].text)

    def test_errors_of_the_gateway(self):
        with self.assertRaises(openai.NotFoundError) as caught:
            self.chat.create(model="gpt-9", messages=user("hi"))
        self.assertEqual((caught.exception.code, caught.exception.param), ("model_not_found", "model"))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat.create(model="general", messages=[])
        self.assertEqual(caught.exception.param, "messages")
        self.assertEqual(caught.exception.type, "invalid_request_error")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.embeddings.create(model="auto", input="x")
        self.assertEqual(caught.exception.code, "auto_not_supported")
        with self.assertRaises(openai.InternalServerError) as caught:
            self.chat.create(model="general", messages=misbehave(reset=True))
        self.assertEqual((caught.exception.status_code, caught.exception.code), (503, "upstream_unavailable"))

    def test_errors_of_the_backend(self):
        for status, kind in (
            (400, openai.BadRequestError),
            (401, openai.AuthenticationError),
            (403, openai.PermissionDeniedError),
            (404, openai.NotFoundError),
            (409, openai.ConflictError),
            (422, openai.UnprocessableEntityError),
            (429, openai.RateLimitError),
            (500, openai.InternalServerError),
        ):
            with self.subTest(status=status), self.assertRaises(kind) as caught:
                self.chat.create(model="general", messages=misbehave(status=status))
            self.assertEqual(caught.exception.status_code, status)
            if status == 429:
                self.assertEqual(caught.exception.response.headers["retry-after"], "7")

    def test_a_broken_stream_raises(self):
        stream = self.chat.create(model="general", messages=misbehave(close_after=2), stream=True)
        with self.assertRaises(Exception):
            list(stream)


if __name__ == "__main__":
    unittest.main()

"""The Responses API of the official OpenAI SDK for Python: `general` is served by a chat backend and remembered by the router,
`keeper` by backends that keep responses themselves. `OPENAI_BASE_URL` says where it is."""

import functools
import json
import unittest

import openai
from openai import OpenAI
from pydantic import BaseModel

MODELS = ("general", "keeper")

WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather in a city.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def each_model(test):
    """Runs a test once for every model."""

    @functools.wraps(test)
    def run(self):
        for model in MODELS:
            with self.subTest(model=model):
                test(self, model)

    return run


class Place(BaseModel):
    name: str
    visits: int
    tags: list[str]


class Responses(unittest.TestCase):
    def setUp(self):
        self.client = OpenAI(max_retries=0, timeout=20)
        self.responses = self.client.responses

    def tearDown(self):
        self.client.close()

    @each_model
    def test_create_and_continue(self, model):
        first = self.responses.create(model=model, input="Hello, my name is Ada.", metadata={"k": "v"})
        self.assertIn("served by", first.output_text)
        self.assertEqual((first.status, first.model, first.metadata), ("completed", model, {"k": "v"}))
        self.assertEqual(first.usage.total_tokens, 12)
        second = self.responses.create(model=model, input="What is my name?", previous_response_id=first.id)
        self.assertEqual(second.output_text, "Your name is Ada.")
        self.assertEqual(second.previous_response_id, first.id)

    def test_auto(self):
        response = self.responses.create(model="auto", input="What is 2+2?")
        self.assertEqual(response.model, "math-expert")

    @each_model
    def test_retrieve_delete_input_items(self, model):
        created = self.responses.create(model=model, input="keep this")
        self.assertEqual(self.responses.retrieve(created.id).to_dict(), created.to_dict())
        items = list(self.responses.input_items.list(created.id))
        self.assertEqual(items[0].content[0].text, "keep this")
        self.responses.delete(created.id)
        with self.assertRaises(openai.NotFoundError):
            self.responses.retrieve(created.id)

    def test_input_items_by_pages(self):
        previous = None
        for turn in range(3):
            response = self.responses.create(model="general", input=f"turn {turn}", previous_response_id=previous)
            previous = response.id
        items = list(self.responses.input_items.list(previous, order="asc", limit=2))
        self.assertEqual([item.role for item in items], ["user", "assistant", "user", "assistant", "user"])

    @each_model
    def test_stream_helper(self, model):
        with self.responses.stream(model=model, input="please stream this") as stream:
            events = list(stream)
            final = stream.get_final_response()
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        self.assertEqual(text, final.output_text)
        self.assertEqual([event.sequence_number for event in events], list(range(len(events))))
        self.assertEqual(events[-1].type, "response.completed")
        self.assertEqual(self.responses.retrieve(final.id).output_text, text)

    @each_model
    def test_stream_helper_with_tools(self, model):
        with self.responses.stream(model=model, input="use the tool", tools=[WEATHER]) as stream:
            arguments = [event for event in stream if event.type == "response.function_call_arguments.delta"]
            final = stream.get_final_response()
        self.assertEqual(arguments[-1].snapshot, final.output[0].arguments)
        self.assertEqual(json.loads(final.output[0].arguments), {"city": "Paris"})

    @each_model
    def test_stream_of_a_stored_response(self, model):
        created = self.responses.create(model=model, input="again")
        events = list(self.responses.retrieve(created.id, stream=True, starting_after=1))
        self.assertEqual(events[0].sequence_number, 2)
        self.assertEqual(events[-1].response.output_text, created.output_text)

    @each_model
    def test_parse(self, model):
        parsed = self.responses.parse(model=model, input="a place", text_format=Place)
        self.assertEqual(parsed.output_parsed, Place(name="word", visits=7, tags=["word"]))
        with self.responses.stream(model=model, input="a place", text_format=Place) as stream:
            list(stream)
            self.assertEqual(stream.get_final_response().output_parsed.visits, 7)

    @each_model
    def test_tool_loop(self, model):
        asked = self.responses.create(model=model, input="please use the tool", tools=[WEATHER])
        call = asked.output[0]
        self.assertEqual((call.type, call.name, json.loads(call.arguments)), ("function_call", "weather", {"city": "Paris"}))
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
        answer = self.responses.create(model=model, input=[output], tools=[WEATHER], previous_response_id=asked.id)
        self.assertIn("sunny", answer.output_text)

    @each_model
    def test_tool_loop_without_storing(self, model):
        items = [{"role": "user", "content": "please use the tool"}]
        asked = self.responses.create(model=model, input=items, tools=[WEATHER], store=False)
        calls = [item.to_dict() for item in asked.output]
        output = {"type": "function_call_output", "call_id": calls[0]["call_id"], "output": "rainy"}
        answer = self.responses.create(model=model, input=[*items, *calls, output], tools=[WEATHER], store=False)
        self.assertIn("rainy", answer.output_text)

    def test_background(self):
        response = self.responses.create(model="keeper", input="later", background=True)
        statuses = [response.status] + [self.responses.retrieve(response.id).status for _ in range(2)]
        self.assertEqual(statuses, ["queued", "in_progress", "completed"])
        other = self.responses.create(model="keeper", input="never", background=True)
        self.assertEqual(self.responses.cancel(other.id).status, "cancelled")

    def test_input_tokens(self):
        self.assertEqual(self.responses.input_tokens.count(model="keeper", input="x").input_tokens, 11)
        with self.assertRaises(openai.BadRequestError):
            self.responses.input_tokens.count(model="general", input="x")

    def test_conversations(self):
        opening = [{"type": "message", "role": "developer", "content": "Be kind."}]
        conversation = self.client.conversations.create(metadata={"topic": "demo"}, items=opening)
        for prompt, answer in (("my name is Ben", "served by general"), ("What is my name?", "Your name is Ben.")):
            response = self.responses.create(model="general", input=prompt, conversation=conversation.id)
            self.assertIn(answer, response.output_text)
            self.assertEqual(response.conversation.id, conversation.id)
        items = list(self.client.conversations.items.list(conversation.id, order="asc"))
        self.assertEqual([item.role for item in items], ["developer", "user", "assistant", "user", "assistant"])
        item = self.client.conversations.items.retrieve(items[1].id, conversation_id=conversation.id)
        self.assertEqual(item.content[0].text, "my name is Ben")
        self.client.conversations.items.delete(items[1].id, conversation_id=conversation.id)
        changed = self.client.conversations.update(conversation.id, metadata={"topic": "other"})
        self.assertEqual(self.client.conversations.retrieve(conversation.id).metadata, changed.metadata)
        self.assertTrue(self.client.conversations.delete(conversation.id).deleted)
        with self.assertRaises(openai.NotFoundError):
            self.client.conversations.retrieve(conversation.id)

    @each_model
    def test_errors(self, model):
        with self.assertRaises(openai.BadRequestError) as caught:
            self.responses.create(model=model, input="x", previous_response_id="resp_unknown")
        self.assertEqual(caught.exception.code, "previous_response_not_found")
        stranger = self.client.with_options(api_key="sk-stranger")
        created = self.responses.create(model=model, input="mine")
        with self.assertRaises(openai.NotFoundError):
            stranger.responses.retrieve(created.id)
        with self.assertRaises(openai.BadRequestError) as caught:
            self.responses.create(model="general", input="x", tools=[{"type": "web_search"}])
        self.assertEqual(caught.exception.param, "tools[0].type")

    def test_a_failed_stream(self):
        broken = "[[fake:" + json.dumps({"finish_reason": "none"}) + "]]"
        with self.responses.stream(model="general", input=broken) as stream:
            types = [event.type for event in stream]
        self.assertEqual(types[-1], "response.failed")


if __name__ == "__main__":
    unittest.main()

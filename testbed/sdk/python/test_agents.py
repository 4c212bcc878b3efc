"""The OpenAI Agents SDK and LangChain's Responses mode: tool loops and memory over the router. `OPENAI_BASE_URL` says where it is."""

import unittest

from agents import (
    Agent,
    ModelSettings,
    OpenAIConversationsSession,
    Runner,
    function_tool,
    set_default_openai_client,
    set_tracing_disabled,
)
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI

MODELS = ("general", "keeper")

set_tracing_disabled(True)


@function_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


class Agents(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        # A client of its own: connections do not outlive a test's event loop.
        self.client = AsyncOpenAI(max_retries=0, timeout=20)
        set_default_openai_client(self.client)

    async def asyncTearDown(self):
        await self.client.close()

    def agent(self, model):
        return Agent(name="forecaster", instructions="Help.", model=model, tools=[weather])

    async def test_tool_loop_over_previous_response_id(self):
        for model in MODELS:
            with self.subTest(model=model):
                agent = self.agent(model)
                first = await Runner.run(agent, "my name is Joe; use the tool", auto_previous_response_id=True)
                self.assertIn("sunny in Paris", first.final_output)
                second = await Runner.run(agent, "What is my name?", previous_response_id=first.last_response_id)
                self.assertEqual(second.final_output, "Your name is Joe.")

    async def test_streamed_tool_loop(self):
        for model in MODELS:
            with self.subTest(model=model):
                result = Runner.run_streamed(self.agent(model), "please use the tool", auto_previous_response_id=True)
                kinds = [event.type async for event in result.stream_events()]
                self.assertIn("raw_response_event", kinds)
                self.assertIn("sunny in Paris", result.final_output)

    async def test_session_of_the_conversations_api(self):
        session = OpenAIConversationsSession(openai_client=self.client)
        first = await Runner.run(self.agent("general"), "my name is Pia; use the tool", session=session)
        self.assertIn("sunny in Paris", first.final_output)
        second = await Runner.run(self.agent("general"), "What is my name?", session=session)
        self.assertEqual((second.final_output, len(await session.get_items())), ("Your name is Pia.", 6))
        await session.clear_session()

    async def test_settings_are_sent_on(self):
        settings = ModelSettings(temperature=0.1, max_tokens=50, parallel_tool_calls=False, tool_choice="auto")
        agent = Agent(name="plain", model="general", tools=[weather], model_settings=settings)
        self.assertIn("served by general", (await Runner.run(agent, "hi")).final_output)


@tool
def forecast(city: str) -> str:
    """The forecast for a city."""
    return f"rain in {city}"


class LangChain(unittest.TestCase):
    def model(self, name):
        return ChatOpenAI(model=name, use_responses_api=True, use_previous_response_id=True, max_retries=0, timeout=20)

    def test_memory_over_previous_response_id(self):
        for name in MODELS:
            with self.subTest(model=name):
                model = self.model(name)
                messages = [HumanMessage("my name is Uma")]
                messages.append(model.invoke(messages))
                self.assertTrue(messages[-1].response_metadata["id"].startswith("resp_"))
                messages.append(HumanMessage("What is my name?"))
                self.assertEqual(model.invoke(messages).text, "Your name is Uma.")

    def test_tools(self):
        for name in MODELS:
            with self.subTest(model=name):
                model = self.model(name).bind_tools([forecast])
                messages = [HumanMessage("use the tool")]
                messages.append(model.invoke(messages))
                call = messages[-1].tool_calls[0]
                self.assertEqual((call["name"], call["args"]), ("forecast", {"city": "Paris"}))
                messages.append(ToolMessage(forecast.invoke(call["args"]), tool_call_id=call["id"]))
                self.assertIn("rain in Paris", model.invoke(messages).text)

    def test_streaming(self):
        for name in MODELS:
            with self.subTest(model=name):
                chunks = list(self.model(name).stream("flow"))
                text = "".join(chunk.text for chunk in chunks)
                self.assertTrue(text.startswith("served by"), text)
                self.assertGreater(len(chunks), 3)

    def test_structured_output(self):
        schema = {"title": "Place", "type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"], "additionalProperties": False}
        model = self.model("general").with_structured_output(schema, method="json_schema", strict=True)
        self.assertEqual(model.invoke("a place"), {"name": "word"})


if __name__ == "__main__":
    unittest.main()

// The Responses API of the official OpenAI SDK for JavaScript, and of the AI SDK: `general` is served by a chat backend and
// remembered by the router, `keeper` by backends that keep responses themselves. `OPENAI_BASE_URL` says where it is.

import assert from "node:assert/strict";
import { test } from "node:test";

import { createOpenAI } from "@ai-sdk/openai";
import { generateObject, generateText, isStepCount, streamText, tool } from "ai";
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ maxRetries: 0, timeout: 20_000 });
const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY });

const weather = {
  type: "function",
  name: "weather",
  strict: true,
  parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false },
};
const Place = z.object({ name: z.string(), visits: z.number().int() });

for (const model of ["general", "keeper"]) {
  test(`openai, ${model}: create, continue, read, list, delete`, async () => {
    const first = await client.responses.create({ model, input: "my name is Ada" });
    assert.match(first.output_text, /^served by/);
    const second = await client.responses.create({ model, input: "What is my name?", previous_response_id: first.id });
    assert.equal(second.output_text, "Your name is Ada.");
    assert.deepEqual((await client.responses.retrieve(first.id)).output, first.output);
    const items = [];
    for await (const item of client.responses.inputItems.list(second.id, { order: "asc" })) items.push(item);
    assert.ok(items.length >= 1);
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), OpenAI.NotFoundError);
  });

  test(`openai, ${model}: the stream helper`, async () => {
    const stream = client.responses.stream({ model, input: "please stream this" });
    let text = "";
    let number = 0;
    for await (const event of stream) {
      assert.equal(event.sequence_number, number++);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    const final = await stream.finalResponse();
    assert.equal(final.output_text, text);
    assert.equal((await client.responses.retrieve(final.id)).status, "completed");
  });

  test(`openai, ${model}: a tool loop and a parsed answer`, async () => {
    const asked = await client.responses.create({ model, input: "use the tool", tools: [weather] });
    const call = asked.output.find((item) => item.type === "function_call");
    const output = { type: "function_call_output", call_id: call.call_id, output: "sunny" };
    const again = await client.responses.create({ model, input: [output], tools: [weather], previous_response_id: asked.id });
    assert.match(again.output_text, /sunny/);
    const parsed = await client.responses.parse({ model, input: "a place", text: { format: zodTextFormat(Place, "place") } });
    assert.deepEqual(parsed.output_parsed, { name: "word", visits: 7 });
  });

  test(`AI SDK, ${model}: text, memory, stream`, async () => {
    const first = await generateText({ model: provider.responses(model), prompt: "my name is Eve" });
    assert.match(first.text, /^served by/);
    const previousResponseId = first.providerMetadata.openai.responseId;
    const options = { providerOptions: { openai: { previousResponseId } } };
    const second = await generateText({ model: provider.responses(model), prompt: "What is my name?", ...options });
    assert.equal(second.text, "Your name is Eve.");
    const stream = streamText({ model: provider.responses(model), prompt: "flow" });
    let text = "";
    for await (const piece of stream.textStream) text += piece;
    assert.match(text, /^served by/);
    assert.equal(await stream.finishReason, "stop");
  });

  test(`AI SDK, ${model}: a tool loop and an object`, async () => {
    const tools = {
      weather: tool({ inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => `sunny in ${city}` }),
    };
    const looped = await generateText({
      model: provider.responses(model),
      prompt: "use the tool",
      tools,
      stopWhen: isStepCount(3),
    });
    assert.match(looped.text, /sunny in Paris/);
    assert.equal(looped.steps.length, 2);
    const { object } = await generateObject({ model: provider.responses(model), prompt: "a place", schema: Place });
    assert.deepEqual(object, { name: "word", visits: 7 });
  });
}

test("conversations", async () => {
  const conversation = await client.conversations.create({ metadata: { topic: "demo" } });
  await client.responses.create({ model: "general", input: "my name is Ben", conversation: conversation.id });
  const again = await client.responses.create({ model: "general", input: "What is my name?", conversation: { id: conversation.id } });
  assert.equal(again.output_text, "Your name is Ben.");
  const items = [];
  for await (const item of client.conversations.items.list(conversation.id, { order: "asc" })) items.push(item.role);
  assert.deepEqual(items, ["user", "assistant", "user", "assistant"]);
  await client.conversations.delete(conversation.id);
  await assert.rejects(client.conversations.retrieve(conversation.id), OpenAI.NotFoundError);
});

test("errors are the SDK's own classes", async () => {
  await assert.rejects(client.responses.create({ model: "general", input: "x", previous_response_id: "resp_unknown" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError, String(error));
    return error.code === "previous_response_not_found";
  });
  await assert.rejects(client.responses.create({ model: "general", input: "x", tools: [{ type: "web_search" }] }), (error) => {
    return error instanceof OpenAI.BadRequestError && error.param === "tools[0].type";
  });
});

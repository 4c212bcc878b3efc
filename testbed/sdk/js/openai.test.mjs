// The official OpenAI SDK for JavaScript against the real stack; `OPENAI_BASE_URL` says where it is.

import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0, timeout: 20_000 });

const tools = [
  {
    type: "function",
    function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } },
  },
];

const user = (content) => [{ role: "user", content }];

// A prompt whose marker tells the fake backend how to answer.
const misbehave = (behaviour) => user(`[[fake:${JSON.stringify(behaviour)}]]`);

const chat = (model, messages, rest = {}) => client.chat.completions.create({ model, messages, ...rest });

test("auto is routed", async () => {
  const completion = await chat("auto", user("What is 2+2?"));
  assert.match(completion.choices[0].message.content, /^served by math-expert/);
  assert.equal(completion.usage.total_tokens, 12);
  assert.equal(completion.routing_metadata.selected_model, "math-expert");
});

test("a named model and an alias are honoured", async () => {
  for (const name of ["general", "gpt-3.5-turbo"]) {
    const completion = await chat(name, user("hi"));
    assert.match(completion.choices[0].message.content, /^served by general/);
    assert.equal(completion.model, "general");
  }
});

test("response headers", async () => {
  const { response } = await chat("auto", user("hi")).withResponse();
  assert.equal(response.headers.get("x-selected-model"), "math-expert");
  assert.match(response.headers.get("x-processing-time"), /^\d+$/);
});

test("streaming, at any split", async () => {
  for (const [model, backend, messages] of [
    ["auto", "math-expert", user("stream please")],
    ["general", "general", user("stream please")],
    ["general", "general", misbehave({ chunk_bytes: 1 })],
  ]) {
    const stream = await chat(model, messages, { stream: true, stream_options: { include_usage: true } });
    let text = "";
    let usage;
    let reason;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      reason = chunk.choices[0]?.finish_reason ?? reason;
      usage = chunk.usage ?? usage;
    }
    assert.ok(text.startsWith(`served by ${backend}`), text);
    assert.equal(reason, "stop");
    assert.equal(usage.total_tokens, 12);
  }
});

test("tools are passed through", async () => {
  const completion = await chat("auto", user("please use the tool"), { tools });
  assert.equal(completion.choices[0].finish_reason, "tool_calls");
  const call = completion.choices[0].message.tool_calls[0];
  assert.equal(call.function.name, "weather");
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "Paris" });
  const answer = { role: "tool", tool_call_id: call.id, content: "sunny" };
  const again = await chat("general", [...user("please"), completion.choices[0].message, answer], { tools });
  assert.equal(again.choices[0].finish_reason, "stop");
});

test("models are listed", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes("auto") && ids.includes("general"), ids.join());
  assert.equal((await client.models.retrieve("general")).id, "general");
  await assert.rejects(client.models.retrieve("nope"), OpenAI.NotFoundError);
});

test("embeddings and completions", async () => {
  const embedding = await client.embeddings.create({ model: "general", input: "x", encoding_format: "float" });
  assert.deepEqual(embedding.data[0].embedding, [0.6, 0.8]);
  const completion = await client.completions.create({ model: "general", prompt: "x" });
  assert.match(completion.choices[0].text, /served by general/);
});

test("errors of the gateway are the SDK's own classes", async () => {
  const fails = async (promise, kind, fields) => {
    await assert.rejects(promise, (error) => {
      assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
      for (const [name, value] of Object.entries(fields)) assert.equal(error[name], value, name);
      return true;
    });
  };
  await fails(chat("gpt-9", user("hi")), OpenAI.NotFoundError, { code: "model_not_found", param: "model" });
  await fails(chat("general", []), OpenAI.BadRequestError, { param: "messages", type: "invalid_request_error" });
  await fails(client.embeddings.create({ model: "auto", input: "x" }), OpenAI.BadRequestError, { code: "auto_not_supported" });
  const reset = chat("general", misbehave({ reset: true }));
  await fails(reset, OpenAI.InternalServerError, { status: 503, code: "upstream_unavailable" });
});

test("errors of the backend are the SDK's own classes", async () => {
  for (const [status, kind] of [
    [400, OpenAI.BadRequestError],
    [401, OpenAI.AuthenticationError],
    [403, OpenAI.PermissionDeniedError],
    [404, OpenAI.NotFoundError],
    [409, OpenAI.ConflictError],
    [422, OpenAI.UnprocessableEntityError],
    [429, OpenAI.RateLimitError],
    [500, OpenAI.InternalServerError],
  ]) {
    await assert.rejects(chat("general", misbehave({ status })), (error) => {
      assert.ok(error instanceof kind, `${status}: ${error.constructor.name}`);
      return error.status === status && (status !== 429 || error.headers.get("retry-after") === "7");
    });
  }
});

test("a broken stream raises", async () => {
  const stream = await chat("general", misbehave({ close_after: 2 }), { stream: true });
  await assert.rejects(async () => {
    for await (const chunk of stream) void chunk;
  });
});

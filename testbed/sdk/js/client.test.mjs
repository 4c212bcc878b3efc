// The TypeScript client, clients/typescript (built into dist): most of it against the real stack, whose address is in `OPENAI_BASE_URL`.
// What that stack does not answer (a guard's 403, the router's own 429, health) comes from a `fetch` that is told what to answer.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Fingerpost, RateLimited, SecurityViolation, Unavailable, routing } from "../../../clients/typescript/dist/index.js";

const client = new Fingerpost({ baseURL: process.env.OPENAI_BASE_URL, maxRetries: 0, timeout: 20_000 });
// What every classifier takes for mathematics.
const sum = "What is 2+2?";
const health = {
  status: "healthy",
  version: "1.0.0",
  uptime: 3600,
  models: { category_classifier: "loaded", pii_detector: "loaded", jailbreak_guard: "loaded" },
  cache: { status: "healthy", entries: 1247, hit_rate: 0.73 },
  endpoints: { endpoint1: "healthy", endpoint3: "degraded" },
};
const pii = {
  message: "PII detected in the request: EMAIL_ADDRESS, PERSON.",
  type: "security_violation",
  code: "pii_detected",
  param: null,
  details: { entities_found: ["EMAIL_ADDRESS", "PERSON"], action_taken: "block" },
};
const limit = { message: "Rate limit exceeded", type: "rate_limit_error", code: "too_many_requests", details: { retry_after: 60 } };

// A client whose transport answers so, and the requests that it got.
function offline(status, body, headers = {}, options = {}) {
  const seen = [];
  const fetch = async (url, init) => {
    seen.push({ url: String(url), method: init.method, headers: new Headers(init.headers) });
    return Response.json(body, { status, headers });
  };
  return [new Fingerpost({ fetch, maxRetries: 0, ...options }), seen];
}

async function textOf(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta?.content ?? "";
  return text;
}

// The error that a promise is rejected with, which has to be of these classes.
async function failure(promise, ...kinds) {
  const error = await promise.then(
    () => assert.fail("it should fail"),
    (reason) => reason,
  );
  for (const kind of kinds) assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
  return error;
}

test("a chat completion of a prompt is routed", async () => {
  const completion = await client.chatCompletion(sum);
  assert.match(completion.choices[0].message.content, /^served by math-expert/);
  const decided = routing(completion);
  assert.equal(decided.selectedModel, "math-expert");
  assert.equal(decided.category, "math");
  assert.ok(decided.confidence > 0.5);
  assert.equal(decided.cacheHit, false);
  assert.deepEqual(decided.metadata, completion.routing_metadata);
});

test("a chat completion of messages takes the SDK's parameters", async () => {
  const messages = [{ role: "system", content: "Be brief." }, { role: "user", content: "hi" }];
  const completion = await client.chatCompletion(messages, "gpt-3.5-turbo", { temperature: 0.5 });
  assert.equal(completion.model, "general");
  assert.equal(routing(completion).decision, undefined);
});

test("a chat completion is streamed", async () => {
  const answer = await client.chatCompletion(sum, "auto", { stream: true }).withResponse();
  const decided = routing(answer);
  assert.equal(decided.selectedModel, "math-expert");
  assert.ok(decided.endpoint);
  assert.equal(typeof decided.processingTimeMs, "number");
  assert.match(await textOf(answer.data), /^served by math-expert/);
});

test("headers and body are told together", async () => {
  const answer = await client.chatCompletion(sum).withResponse();
  const decided = routing(answer);
  assert.equal(decided.category, "math");
  assert.equal(decided.endpoint, decided.metadata.endpoint);
  assert.equal(decided.requestId, answer.response.headers.get("x-request-id"));
  assert.deepEqual(decided.securityChecks, {});
  assert.equal(routing(await client.chatCompletion("hi", "general").asResponse()).selectedModel, "general");
});

test("responses: routed, streamed, continued", async () => {
  const answer = await client.responses.create({ model: "auto", input: sum }).withResponse();
  assert.equal(routing(answer).selectedModel, "math-expert");
  const first = await client.responses.create({ model: "general", input: "my name is Ada" });
  const second = await client.responses.create({ model: "general", input: "What is my name?", previous_response_id: first.id });
  assert.equal(second.output_text, "Your name is Ada.");
  const streamed = await client.responses.create({ model: "general", input: "flow", stream: true }).withResponse();
  assert.equal(routing(streamed).selectedModel, "general");
  let text = "";
  let last;
  for await (const event of streamed.data) {
    if (event.type === "response.output_text.delta") text += event.delta;
    last = event;
  }
  assert.equal(last.type, "response.completed");
  assert.match(text, /^served by general/);
});

for (const model of ["general", "keeper"]) {
  test(`${model}: a conversation goes on from its last answer`, async () => {
    const conversation = client.conversation(undefined, { model });
    const first = await conversation.ask("Hello, my name is Ben.");
    await failure(conversation.ask("lost", { model: "gpt-9" }), Fingerpost.NotFoundError);
    assert.equal(conversation.lastId, first.id, "a failed turn changes nothing");
    assert.equal((await conversation.ask("What is my name?")).output_text, "Your name is Ben.");
    const again = await client.conversation(first.id, { model }).ask("What is my name?");
    assert.equal(again.previous_response_id, first.id);
  });
}

test("models are listed", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  for (const id of ["auto", "general", "math-expert"]) assert.ok(ids.includes(id), ids.join());
});

test("the SDK's errors pass through", async () => {
  const missing = await failure(client.chatCompletion("hi", "gpt-9"), Fingerpost.NotFoundError);
  assert.equal(missing.code, "model_not_found");
  const empty = await failure(client.chatCompletion([]), Fingerpost.BadRequestError);
  assert.equal(empty.param, "messages");
  const denied = await failure(client.chatCompletion('[[fake:{"status":403}]]', "general"), Fingerpost.PermissionDeniedError);
  assert.ok(!(denied instanceof SecurityViolation), "a backend's own 403 is none");
});

test("what is unavailable", async () => {
  for (const stream of [false, true]) {
    const call = client.chatCompletion('[[fake:{"reset":true}]]', "general", { stream });
    const error = await failure(call, Unavailable, Fingerpost.InternalServerError);
    assert.deepEqual([error.status, error.code], [503, "upstream_unavailable"]);
    assert.equal(routing(error).requestId, error.requestID);
  }
});

test("a backend's rate limit", async () => {
  const error = await failure(client.chatCompletion('[[fake:{"status":429}]]', "general"), RateLimited, Fingerpost.RateLimitError);
  assert.equal(error.retryAfter, 7);
});

test("defaults do not come from the environment", () => {
  assert.ok(process.env.OPENAI_API_KEY);
  const local = new Fingerpost();
  assert.deepEqual([local.baseURL, local.apiKey], ["http://127.0.0.1:8801/v1", "none"]);
  assert.equal(local.managementURL, "http://127.0.0.1:8080");
  const other = new Fingerpost({ managementURL: "http://10.0.0.9:8080" });
  assert.equal(other.withOptions({ apiKey: "k" }).managementURL, "http://10.0.0.9:8080");
  assert.equal(other.withOptions({ managementURL: "http://10.0.0.8:8080" }).managementURL, "http://10.0.0.8:8080");
});

test("health is asked without the key, and not retried", async () => {
  const options = { apiKey: "sk-secret", organization: "org", managementURL: "http://127.0.0.1:18080/", maxRetries: 2 };
  const [well, asked] = offline(200, health, {}, options);
  assert.deepEqual(await well.getHealth(), health);
  assert.deepEqual([asked[0].method.toUpperCase(), asked[0].url], ["GET", "http://127.0.0.1:18080/health"]);
  assert.equal(asked[0].headers.get("authorization"), null);
  assert.equal(asked[0].headers.get("openai-organization"), null);
  const [draining, tries] = offline(503, { status: "draining", uptime: 5 }, {}, options);
  assert.equal((await draining.getHealth()).status, "draining");
  assert.equal(tries.length, 1);
  const [busy] = offline(503, { error: { message: "busy", type: "server_error", code: "overloaded", param: null } });
  assert.equal((await failure(busy.getHealth(), Unavailable)).code, "overloaded");
  const [absent] = offline(404, { status: "no" });
  await failure(absent.getHealth(), Fingerpost.NotFoundError);
});

test("a violation", async () => {
  const [blocked] = offline(403, { error: pii }, { "x-security-checks": "pii:true,jailbreak:unknown,unscannable:2" });
  for (const call of [
    blocked.chatCompletion("mail jo@example.com"),
    blocked.chatCompletion("mail jo@example.com", "auto", { stream: true }),
    blocked.responses.create({ model: "auto", input: "mail jo@example.com" }),
  ]) {
    const error = await failure(call, SecurityViolation, Fingerpost.PermissionDeniedError, Fingerpost.APIError);
    assert.deepEqual([error.status, error.code, error.actionTaken], [403, "pii_detected", "block"]);
    assert.deepEqual(error.entitiesFound, ["EMAIL_ADDRESS", "PERSON"]);
    assert.match(error.message, /^403 PII detected/);
    const { securityChecks, unscannable } = routing(error);
    assert.deepEqual({ securityChecks, unscannable }, { securityChecks: { pii: true, jailbreak: null }, unscannable: 2 });
  }
  const [bare] = offline(403, { error: { message: "m", type: "security_violation", code: "jailbreak_detected" } });
  const error = await failure(bare.chatCompletion("x"), SecurityViolation);
  assert.deepEqual([error.code, error.entitiesFound, error.actionTaken], ["jailbreak_detected", [], undefined]);
});

test("a violation in mid-stream", async () => {
  const frames = `data: {"id":"c","object":"chat.completion.chunk","choices":[]}\n\ndata: ${JSON.stringify({ error: pii })}\n\n`;
  const fetch = async () => new Response(frames, { headers: { "content-type": "text/event-stream" } });
  const stream = await new Fingerpost({ fetch }).chatCompletion("x", "auto", { stream: true });
  const error = await failure(textOf(stream), Fingerpost.APIError);
  assert.deepEqual([error.type, error.code], ["security_violation", "pii_detected"]);
});

test("a rate limit", async () => {
  for (const [headers, body, expected] of [
    [{ "retry-after": "1.5", "x-ratelimit-retry-after": "9" }, { error: limit }, 1.5],
    [{ "x-ratelimit-retry-after": "9" }, { error: limit }, 9],
    [{}, { error: limit }, 60],
    [{ "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }, { error: limit }, 60],
    [{ "retry-after": "nan" }, {}, undefined],
    [{ "retry-after": "-1" }, { error: "text" }, undefined],
  ]) {
    const [limited] = offline(429, body, headers);
    const error = await failure(limited.chatCompletion("x"), RateLimited);
    assert.equal(error.retryAfter, expected, JSON.stringify(headers));
  }
});

test("checks of a body", async () => {
  const security_checks = { pii: { detected: true, types: ["PERSON"], action: "annotate" }, jailbreak: { detected: null }, unscannable: 1 };
  const [annotated] = offline(200, { id: "c", object: "chat.completion", choices: [], routing_metadata: { security_checks } });
  const { securityChecks, unscannable } = routing(await annotated.chatCompletion("x"));
  assert.deepEqual({ securityChecks, unscannable }, { securityChecks: { pii: true, jailbreak: null }, unscannable: 1 });
  assert.deepEqual(routing({}).metadata, {});
});

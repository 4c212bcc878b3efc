import OpenAI, { APIError, type APIPromise, type ClientOptions } from "openai";
import type { Stream } from "openai/streaming";

import { Conversation, type TurnParams } from "./conversation.js";
import { typed } from "./errors.js";
import { isHealth, type Health } from "./health.js";

const BASE_URL = "http://127.0.0.1:8801/v1";
const MANAGEMENT_URL = "http://127.0.0.1:8080";
const API_KEY = "none";
/** The gateway's key is not for the management API. */
const ANONYMOUS = { Authorization: null, "OpenAI-Organization": null, "OpenAI-Project": null };

/** The SDK's options, and where the management API is. */
export interface FingerpostOptions extends ClientOptions {
  /** Default `http://127.0.0.1:8080`. It is asked without the key. */
  managementURL?: string | undefined;
}

type Create = OpenAI.Chat.Completions.ChatCompletionCreateParams;
type Prompt = string | Create["messages"];

/** The parameters of a chat completion beyond messages, model and stream. */
export type ChatParams = Omit<OpenAI.Chat.Completions.ChatCompletionCreateParamsNonStreaming, "messages" | "model" | "stream">;

/** `OpenAI` for a Fingerpost router.
 *
 * `baseURL` and `apiKey` are what is given or the defaults, never `OPENAI_BASE_URL` or `OPENAI_API_KEY`: a key of OpenAI's is not for the
 * router. Who shows the same key shares stored conversations. */
export class Fingerpost extends OpenAI {
  /** Where the management API is. */
  readonly managementURL: string;

  constructor(options: FingerpostOptions = {}) {
    const { managementURL = MANAGEMENT_URL, baseURL, apiKey, ...rest } = options;
    super({ ...rest, baseURL: baseURL || BASE_URL, apiKey: apiKey || API_KEY });
    this.managementURL = managementURL;
  }

  /** Answers a prompt, or messages. */
  chatCompletion(prompt: Prompt, model?: string, params?: ChatParams & { stream?: false | null }): APIPromise<OpenAI.ChatCompletion>;
  chatCompletion(prompt: Prompt, model: string | undefined, params: ChatParams & { stream: true }): APIPromise<Stream<OpenAI.ChatCompletionChunk>>;
  chatCompletion(
    prompt: Prompt,
    model: string | undefined,
    params: ChatParams & { stream?: boolean | null },
  ): APIPromise<OpenAI.ChatCompletion | Stream<OpenAI.ChatCompletionChunk>>;
  chatCompletion(
    prompt: Prompt,
    model = "auto",
    params: ChatParams & { stream?: boolean | null } = {},
  ): APIPromise<OpenAI.ChatCompletion | Stream<OpenAI.ChatCompletionChunk>> {
    const messages: Create["messages"] = typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt;
    return this.chat.completions.create({ ...params, messages, model });
  }

  /** A conversation over the Responses API, from its start or from the response `lastId`. `defaults` go with every turn. */
  conversation(lastId?: string, defaults: TurnParams = {}): Conversation {
    return new Conversation(this, lastId, defaults);
  }

  /** The router's health, of the management API. Not retried: it says what is now. */
  async getHealth(): Promise<Health> {
    const url = `${this.managementURL.replace(/\/+$/, "")}/health`;
    try {
      return await this.get<Health>(url, { headers: ANONYMOUS, maxRetries: 0 });
    } catch (error) {
      if (error instanceof APIError && error.status === 503 && isHealth(error.error)) return error.error;
      throw error;
    }
  }

  override withOptions(options: Partial<FingerpostOptions>): this {
    const merged: Partial<FingerpostOptions> = { managementURL: this.managementURL, ...options };
    return super.withOptions(merged);
  }

  protected override makeStatusError(status: number, error: object, message: string | undefined, headers: Headers): APIError {
    return typed(super.makeStatusError(status, error, message, headers), message, headers);
  }
}

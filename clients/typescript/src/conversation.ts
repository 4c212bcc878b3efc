import type OpenAI from "openai";

/** The parameters of a turn: those of `client.responses.create` without what the conversation itself sets. */
export type TurnParams = Omit<
  OpenAI.Responses.ResponseCreateParamsNonStreaming,
  "input" | "previous_response_id" | "conversation" | "stream"
>;

/** A conversation over the Responses API: each turn goes on from the one before, whatever model answers. */
export class Conversation {
  /** `lastId`: the id of the last answer; set it to go on from an earlier one. `defaults` go with every turn. */
  constructor(
    private readonly client: OpenAI,
    public lastId?: string,
    private readonly defaults: TurnParams = {},
  ) {}

  /** The next turn. A turn that fails leaves the conversation as it was. */
  async ask(input: string | OpenAI.Responses.ResponseInput, params: TurnParams = {}): Promise<OpenAI.Responses.Response> {
    const follow = this.lastId === undefined ? {} : { previous_response_id: this.lastId };
    const response = await this.client.responses.create({ model: "auto", ...this.defaults, ...params, ...follow, input, stream: false });
    this.lastId = response.id;
    return response;
  }
}

/** The client of Fingerpost: the official OpenAI SDK, with what the router adds. */
export { Fingerpost, type ChatParams, type FingerpostOptions } from "./client.js";
export { Conversation, type TurnParams } from "./conversation.js";
export { RateLimited, SecurityViolation, Unavailable } from "./errors.js";
export type { Health } from "./health.js";
export { routing, type Routing } from "./routing.js";

import { isObject, type Fields } from "./fields.js";

/** What the router decided. What the answer does not tell is undefined: `routing_metadata` stands in chat completions that are not
 * streamed, headers in every answer. */
export interface Routing {
  /** The model that served. */
  selectedModel: string | undefined;
  /** The endpoint that answered. */
  endpoint: string | undefined;
  /** The classifier's, 0 to 1. */
  confidence: number | undefined;
  /** The classifier's label. */
  category: string | undefined;
  /** The rule that chose the model; undefined for a named or the default model. */
  decision: string | undefined;
  /** Why the default model served without a verdict, such as `classifier_timeout`. */
  fallback: string | undefined;
  /** Milliseconds that routing held the request. */
  processingTimeMs: number | undefined;
  /** Those of them spent waiting for the classifier. */
  classificationTimeMs: number | undefined;
  /** Whether the answer came from the semantic cache. */
  cacheHit: boolean | undefined;
  /** Guard (`pii`, `jailbreak`) to whether it found something; null where it has no verdict. Without guards it is empty. */
  securityChecks: Record<string, boolean | null>;
  /** How many images, files and the like the guards could not read. */
  unscannable: number;
  /** `x-request-id`, as in the router's logs. */
  requestId: string | undefined;
  /** `routing_metadata` as it came. */
  metadata: Fields;
}

/** What the router decided about the request that `answer` answers.
 *
 * Takes a chat completion (its `routing_metadata`), what `.withResponse()` resolves to, stream or not (headers and, where there is one,
 * `routing_metadata`), what `.asResponse()` resolves to, and an `APIError` (both: headers). */
export function routing(answer: object): Routing {
  const header = headersOf(answer);
  const metadata = metadataOf(answer);
  const text = (name: string) => (typeof metadata[name] === "string" ? metadata[name] : undefined);
  const number = (name: string) => (typeof metadata[name] === "number" ? metadata[name] : undefined);
  return {
    selectedModel: header("x-selected-model") ?? text("selected_model"),
    endpoint: header("x-semantic-destination-endpoint") ?? text("endpoint"),
    confidence: number("confidence"),
    category: text("category"),
    decision: text("decision"),
    fallback: header("x-routing-fallback") ?? text("fallback"),
    processingTimeMs: whole(header("x-processing-time")) ?? number("processing_time_ms"),
    classificationTimeMs: whole(header("x-classification-time")) ?? number("classification_time_ms"),
    cacheHit: typeof metadata["cache_hit"] === "boolean" ? metadata["cache_hit"] : undefined,
    ...checks(header("x-security-checks"), metadata["security_checks"]),
    requestId: header("x-request-id"),
    metadata,
  };
}

function headersOf(answer: object): (name: string) => string | undefined {
  const response = "response" in answer && isObject(answer.response) ? answer.response : answer;
  const headers = "headers" in response ? response.headers : undefined;
  return (name) => (headers instanceof Headers ? (headers.get(name) ?? undefined) : undefined);
}

function metadataOf(answer: object): Fields {
  const body = "data" in answer && isObject(answer.data) ? answer.data : answer;
  const metadata = "routing_metadata" in body ? body.routing_metadata : undefined;
  return isObject(metadata) ? metadata : {};
}

/** The header says all, `pii:false,jailbreak:unknown,unscannable:2`; without it the body does. */
function checks(header: string | undefined, metadata: unknown): Pick<Routing, "securityChecks" | "unscannable"> {
  const securityChecks: Record<string, boolean | null> = {};
  let unscannable: unknown = 0;
  if (header) {
    for (const part of header.split(",")) {
      const [name = "", value = ""] = part.trim().split(":");
      if (name === "unscannable") unscannable = whole(value);
      else if (name) securityChecks[name] = verdict(value === "true" ? true : value === "false" ? false : null);
    }
  } else if (isObject(metadata)) {
    unscannable = metadata["unscannable"];
    for (const [name, check] of Object.entries(metadata)) if (isObject(check)) securityChecks[name] = verdict(check["detected"]);
  }
  return { securityChecks, unscannable: typeof unscannable === "number" ? unscannable : 0 };
}

const verdict = (value: unknown) => (typeof value === "boolean" ? value : null);

const whole = (text: string | undefined) => (text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined);

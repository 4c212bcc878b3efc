/** Errors that only the router makes, as subclasses of the SDK's own: `error instanceof OpenAI.APIError` goes on working. */
import { APIError, InternalServerError, PermissionDeniedError, RateLimitError } from "openai";

import { isObject, type Fields } from "./fields.js";

/** 403: a guard refused the request, or its answer. `code` says which: `pii_detected`, `jailbreak_detected`, ... */
export class SecurityViolation extends PermissionDeniedError {
  /** What the guard says beyond its code; empty where it says nothing. */
  get details(): Fields {
    return details(this.error);
  }

  /** The types of personal data that were found, such as `EMAIL_ADDRESS`. Their values are never told. */
  get entitiesFound(): string[] {
    const found = this.details["entities_found"];
    return Array.isArray(found) ? found.map(String) : [];
  }

  /** What the guard did: `block`. */
  get actionTaken(): string | undefined {
    const action = this.details["action_taken"];
    return typeof action === "string" ? action : undefined;
  }
}

/** 429: a limit of the router, or of the backend behind it. */
export class RateLimited extends RateLimitError {
  /** Seconds until the next request may succeed; undefined where no number is told. */
  get retryAfter(): number | undefined {
    const told = [this.headers.get("retry-after"), this.headers.get("x-ratelimit-retry-after"), details(this.error)["retry_after"]];
    return told.map(seconds).find((value) => value !== undefined);
  }
}

/** 503: what the request needs is not there now. `code` says what: `classifier_unavailable`, `upstream_unavailable`, ... */
export class Unavailable extends InternalServerError {}

/** The error as the class that fits it; the SDK's own where none does. `message` is the one that the SDK made `error` with. */
export function typed(error: APIError, message: string | undefined, headers: Headers): APIError {
  const body = error.error;
  if (error.status === 403 && error.type === "security_violation") return new SecurityViolation(403, body, message, headers);
  if (error.status === 429) return new RateLimited(429, body, message, headers);
  if (error.status === 503) return new Unavailable(503, body, message, headers);
  return error;
}

function details(body: unknown): Fields {
  const found = isObject(body) ? body["details"] : undefined;
  return isObject(found) ? found : {};
}

/** A finite number that is not negative, from JSON or a header. The other form of `retry-after`, a date, is none. */
function seconds(value: unknown): number | undefined {
  if (typeof value !== "number" && (typeof value !== "string" || value.trim() === "")) return undefined;
  const number = Number(value);
  return Number.isFinite(number) && number >= 0 ? number : undefined;
}

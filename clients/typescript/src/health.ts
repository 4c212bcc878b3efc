import { isObject } from "./fields.js";

/** `GET /health` of the management API. What the router does not tell is undefined; what it tells beyond these fields is kept. */
export interface Health {
  /** `healthy`, `degraded`, or `draining`: it is about to end. */
  status: string;
  version?: string;
  /** Seconds since it started. */
  uptime?: number;
  /** The classifier's heads: name to state, such as `loaded`. */
  models?: Record<string, unknown>;
  /** Of the semantic cache: status, entries, hit_rate. */
  cache?: Record<string, unknown>;
  /** The backends' endpoints: name to state, such as `healthy`. */
  endpoints?: Record<string, string>;
}

/** Whether this is a health object, which a 503 carries too: a router that ends says so with that status. */
export function isHealth(body: unknown): body is Health {
  return isObject(body) && typeof body["status"] === "string";
}

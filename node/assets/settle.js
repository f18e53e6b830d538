// A click is one request under one key, whatever becomes of the nodes and of this page.
//
// The request is kept in the tab's storage before its first byte is sent, and until it is decided.
// What got no answer, or one that says that nobody knows, is asked again at the next node under
// the same key and a higher attempt, which settles it and never does it twice. A page that is
// loaded anew goes on where the last one was.

import { Silence } from "./nodes.js";

const STORE = "flashnode.pending";
const ATTEMPT_MS = 7000;
const PAUSE_MS = 120;
const PAUSE_MAX_MS = 2000;

function load() {
  try {
    return JSON.parse(sessionStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
}

function keep(key, request) {
  const all = load();
  if (request) all[key] = request;
  else delete all[key];
  try {
    sessionStorage.setItem(STORE, JSON.stringify(all));
  } catch {
    // Without storage a reload forgets; the key still guards this page's own tries.
  }
}

// Requests of this tab that are not decided.
export const pending = () => Object.values(load());

// 128 random bits. `randomUUID` is for secure contexts only, and a node speaks plain HTTP.
export function fresh_key() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const pause = (ms) => new Promise((wake) => setTimeout(wake, ms));

// Asks until the request is decided, and returns the answer that decides it. `tell` hears of each
// try that did not: `{ why: "silence" | "unknown" | "busy" | "limited", attempt, wait_ms }`.
export async function settle(nodes, request, tell) {
  const asked = { attempt: 1, ...request };
  for (let tries = 0; ; tries += 1) {
    keep(asked.key, asked);
    const base = nodes.current;
    const { why, answer, wait_ms } = await attempt(nodes, base, asked);
    if (why === "decided") {
      keep(asked.key, null);
      return answer;
    }
    if (why === "silence" || why === "unknown") asked.attempt += 1;
    // A cluster without a leader has none at any node: no need to go from one to the other.
    const stays = why === "limited" || (why === "busy" && tries % 3 < 2);
    if (!stays) nodes.leave(base);
    const rounds = Math.floor(tries / Math.max(1, nodes.bases.length));
    const wait = wait_ms ?? Math.min(PAUSE_MAX_MS, PAUSE_MS * 2 ** Math.min(rounds, 6));
    keep(asked.key, asked);
    tell?.({ why, attempt: asked.attempt, wait_ms: wait });
    await pause(wait);
  }
}

async function attempt(nodes, base, asked) {
  try {
    const answer = await nodes.ask(base, asked.path, {
      method: asked.method,
      body: asked.body,
      timeout_ms: ATTEMPT_MS,
      headers: { "idempotency-key": asked.key, "flashnode-attempt": String(asked.attempt) },
    });
    if (answer.status === 503) return { why: "busy" };
    if (answer.status >= 500) return { why: "unknown" };
    // A later attempt that is only held off has settled nothing.
    if (answer.status === 429 && asked.attempt > 1) {
      return { why: "limited", wait_ms: Math.max(1, answer.retry_after_s) * 1000 };
    }
    return { why: "decided", answer };
  } catch (error) {
    if (error instanceof Silence) return { why: "silence" };
    throw error;
  }
}

// A request of this tab that was under way when the page went away: its last attempt may have
// arrived.
export const resumed = (request) => ({ ...request, attempt: request.attempt + 1 });

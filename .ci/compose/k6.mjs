// Runs deploy/load/loadtest.js where there is no k6: its functions as they are, with a stand-in for
// k6's modules, by a few users at a time who come a few times each. What the script's scenarios
// would make of it is not tried, only that they are of the shape that k6 takes.
//
//   node .ci/compose/k6.mjs http://localhost:8080
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";

const [USERS, TIMES, STOCK] = [6, 8, 30];

const MODULES = {
  "index.mjs": `export function check(value, checks) {
    for (const [name, holds] of Object.entries(checks)) globalThis.k6.check(name, holds(value), value);
  }`,
  "metrics.mjs": `export class Counter {
    constructor(name) { this.name = name; globalThis.k6.counts[name] = 0; }
    add(value) { globalThis.k6.counts[this.name] += Number(value); }
  }`,
  // k6 waits for an answer in place, and so does this.
  "http.mjs": `import { execFileSync } from "node:child_process";
  function ask(method, url, body, { headers = {} } = {}) {
    const given = Object.entries(headers).flatMap(([name, value]) => ["-H", name + ": " + value]);
    const data = body === undefined ? [] : ["--data-binary", body];
    let told = "\\n0";
    try {
      const args = ["-s", "-m", "30", "-X", method, ...given, ...data, "-w", "\\n%{http_code}", url];
      told = execFileSync("curl", args, { encoding: "utf8" });
    } catch { /* no answer is status 0 */ }
    const cut = told.lastIndexOf("\\n");
    const answer = { status: Number(told.slice(cut + 1)), body: told.slice(0, cut) };
    return { ...answer, json: () => JSON.parse(answer.body) };
  }
  export default {
    get: (url, given) => ask("GET", url, undefined, given),
    put: (url, body, given) => ask("PUT", url, body, given),
    post: (url, body, given) => ask("POST", url, body, given),
    expectedStatuses: (...statuses) => statuses,
    setResponseCallback: () => {},
  };`,
};

const fail = (why) => {
  console.error(`FAILED: deploy/load/loadtest.js: ${why}`);
  process.exit(1);
};

async function load(script, url, user) {
  globalThis.k6 = { counts: {}, failed: [], checks: 0 };
  globalThis.k6.check = (name, holds, value) => {
    globalThis.k6.checks += 1;
    if (!holds) globalThis.k6.failed.push(`${name}: ${value.status} ${value.body}`);
  };
  Object.assign(globalThis, { __ENV: { BASE_URL: url, STOCK: String(STOCK) }, __VU: user, __ITER: 0 });
  return import(pathToFileURL(script).href);
}

if (!isMainThread) {
  const { script, url, user, data } = workerData;
  const { default: click } = await load(script, url, user);
  for (globalThis.__ITER = 0; globalThis.__ITER < TIMES; globalThis.__ITER += 1) click(data);
  const { counts, failed, checks } = globalThis.k6;
  parentPort.postMessage({ counts, failed, checks });
} else {
  const dir = mkdtempSync(join(tmpdir(), "flashnode-k6-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const modules = join(dir, "node_modules", "k6");
  mkdirSync(modules, { recursive: true });
  for (const [name, text] of Object.entries(MODULES)) writeFileSync(join(modules, name), text);
  const exports = { ".": "./index.mjs", "./http": "./http.mjs", "./metrics": "./metrics.mjs" };
  writeFileSync(join(modules, "package.json"), JSON.stringify({ name: "k6", exports }));
  const script = join(dir, "loadtest.mjs");
  cpSync(fileURLToPath(new URL("../../deploy/load/loadtest.js", import.meta.url)), script);
  execFileSync("curl", ["--version"]);

  const url = process.argv[2];
  const { options, setup, teardown } = await load(script, url, 0);
  const duration = /^\d+(ms|s|m|h)$/;
  for (const [name, one] of Object.entries(options.scenarios)) {
    const stages = one.executor === "ramping-vus" ? one.stages.map(({ duration, target: vus }) => ({ duration, vus }))
      : one.executor === "constant-vus" ? [one] : fail(`scenario ${name} has the executor ${one.executor}`);
    for (const stage of stages) {
      if (!duration.test(stage.duration) || !Number.isInteger(stage.vus)) fail(`scenario ${name} is not of k6's shape`);
    }
  }
  const known = ["checks", "http_req_duration", ...Object.keys(globalThis.k6.counts)];
  for (const name of Object.keys(options.thresholds)) {
    if (!known.includes(name)) fail(`there is no metric ${name} to have a threshold`);
  }
  const data = setup();
  const users = Array.from({ length: USERS }, (_, n) => new Promise((done, wrong) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { script, url, user: n + 1, data } });
    worker.on("message", done);
    worker.on("error", wrong);
  }));
  const all = await Promise.all(users);
  const sum = (of) => all.reduce((sum, one) => sum + of(one), 0);
  const [sold, soldOut, errors] = ["sold", "sold_out", "server_errors"].map((name) => sum(({ counts }) => counts[name]));
  const failed = all.flatMap((one) => one.failed);
  if (failed.length) fail(failed[0]);
  // The thresholds of the script, as far as they can be held here.
  if (options.thresholds.server_errors[0] !== "count==0" || errors !== 0) fail(`${errors} server errors`);
  if (options.thresholds.checks[0] !== "rate==1" || sum(({ checks }) => checks) !== USERS * TIMES) fail("not every answer was checked");
  if (sold !== STOCK || soldOut !== USERS * TIMES - STOCK) fail(`${sold} sold and ${soldOut} sold out, of ${STOCK}`);
  teardown(data);
  console.log(`deploy/load/loadtest.js: ${USERS} users, ${sold} sold, ${soldOut} sold out, ${errors} server errors`);
}

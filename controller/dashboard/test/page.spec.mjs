// The page in a real (headless) Chromium.
//   node test/page.spec.mjs                              generated states: behaviour, big graphs
//   HUDDLE_DASHBOARD_URL=http://127.0.0.1:8081/ node …   a live controller: is everything it says on the page?
// Each check waits for a condition; PAGE_TIMEOUT_MS (default 60 000) is only the point where waiting becomes failure.
import assert from "node:assert/strict";
import { launch } from "./browser.mjs";
import { bigChecks } from "./big.mjs";
import { generatedChecks } from "./generated.mjs";
import { liveChecks } from "./live.mjs";

const url = process.env.HUDDLE_DASHBOARD_URL;
const only = process.argv[2];
const checks = url ? liveChecks(url) : [...generatedChecks(), ...bigChecks()];
const browser = await launch();
let failed = 0;
let ran = 0;
for (const [name, run] of checks) {
  if (only && !name.includes(only)) continue;
  const began = performance.now();
  ran += 1;
  try {
    const note = await run(browser);
    console.log(`ok    ${name} (${Math.round(performance.now() - began)} ms)${note ? `: ${note}` : ""}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}\n${error.stack ?? error}`);
  }
}
await browser.close();
assert.ok(ran > 0, "no check ran");
console.log(`${ran - failed} of ${ran} checks passed${url ? ` against ${url}` : ""}`);
process.exitCode = failed === 0 ? 0 : 1;

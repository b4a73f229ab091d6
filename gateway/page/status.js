/** The pipeline as it is now: asked for twice a second, drawn as gateway, stages and replicas. */

import { byId, make, morph, signals, write } from "./dom.js";
import { askGateway, onKeyChange } from "./key.js";
import { address, count, ms, rate, said } from "./text.js";

const EVERY_MS = 500;
const TIMEOUT_MS = 2000;
const MOST_CHANGES = 20;
/** @type {Record<string, string>} */
const SIGNS = { ready: "✓", not_ready: "…", unreachable: "×", unknown: "?" };

/** @type {Map<string, string>|null} what was last seen: of each replica its state and its breaker's */
let seen = null;
let answeredAt = 0;
let isSilent = false;
let timer = 0;
let turn = 0;

/** Ask again and again, but not while the page is hidden. */
export function watchPipeline() {
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) byId("fresh").textContent = "Paused while this tab is hidden.";
    else poll();
  });
  onKeyChange(poll);
  if (!document.hidden) poll();
}

/** Ask once and draw what comes of it, unless it was asked again meanwhile or the page is hidden. */
async function poll() {
  const startedAt = performance.now();
  const mine = ++turn;
  const isOver = () => mine !== turn || document.hidden;
  clearTimeout(timer);
  try {
    const signal = signals.timeout(TIMEOUT_MS);
    const { status, reply, isRefused } = await askGateway("metrics", "v1/pipeline", { cache: "no-store", signal });
    if (isOver()) return;
    if (isRefused) return closed(status); // the same would come of every further look
    if (status !== 200) throw new Error(`status ${status}`);
    draw(reply);
  } catch {
    if (isOver()) return;
    silent();
  }
  timer = setTimeout(poll, Math.max(50, EVERY_MS - (performance.now() - startedAt)));
}

/** @param {number} status by which the gateway shows it to others alone: what was drawn goes, until another key */
function closed(status) {
  const [state, words] = status === 401
    ? ["The gateway requires a key", "Enter a key to see the pipeline."]
    : ["Not shown to this key", "To see the pipeline, a key needs the scope metrics."];
  isSilent = false;
  seen = null;
  showState("closed", state);
  byId("fresh").textContent = words;
  byId("flow").classList.remove("old");
  byId("flow").replaceChildren();
}

/** The gateway does not answer: what is drawn is old, and says so. */
function silent() {
  if (!isSilent) changed("The gateway does not answer.");
  isSilent = true;
  const since = `What is shown is from ${clock(answeredAt)}.`;
  const advice = answeredAt ? since : "Start it, or check that you are connected to it.";
  byId("fresh").textContent = `No answer from the gateway. ${advice}`;
  showState("silent", "The gateway does not answer");
  byId("flow").classList.add("old");
}

/** @param {Pipeline} pipeline */
function draw(pipeline) {
  if (isSilent) changed("The gateway answers again.");
  isSilent = false;
  answeredAt = Date.now();
  byId("fresh").textContent = "Live, twice a second";
  const replicas = pipeline.stages.flatMap((stage) => stage.replicas);
  const missing = replicas.filter((replica) => replica.state !== "ready").length;
  if (!pipeline.ready) showState("not_ready", `Not ready: ${pipeline.reason ?? "the gateway does not say why"}`);
  else if (missing) showState("degraded", `Ready; ${missing} of ${replicas.length} replicas missing`);
  else showState("ready", "Ready");
  const fresh = make("ol.flow", { id: "flow" }, drawGateway(pipeline), ...pipeline.stages.map(drawStage));
  morph(byId("flow"), fresh);
  announce(pipeline.stages);
}

/** @param {string} name @param {string} words */
function showState(name, words) {
  byId("state").dataset.state = name;
  write("state", words);
}

/** @param {Pipeline} pipeline */
function drawGateway({ gateway: own, admission }) {
  const requests = Object.entries(own?.requests ?? {}).filter(([, number]) => number > 0);
  return make("li.part.gateway", {},
    make("h3", {}, "gateway"),
    recently(own?.recent),
    facts({
      "in flight": `${count(admission.in_flight)} of ${count(Math.round(admission.limit))}`,
      queued: count(admission.queued),
      "turned away": count(Object.values(admission.turned_away).reduce((sum, number) => sum + number, 0)),
      version: own?.version ?? "–",
    }),
    tally("Requests since the start", requests));
}

/** @param {Stage} stage @param {number} at */
function drawStage(stage, at) {
  return make("li.part", { "data-stage": at % 4 },
    make("h3", {}, stage.name, stage.ready ? "" : make("span.flag", {}, "not ready")),
    recently(stage.recent),
    make("ul.replicas", {}, ...stage.replicas.map(drawReplica)));
}

/** @param {Replica} replica */
function drawReplica(replica) {
  const versions = new Set((replica.models ?? []).map((model) => `${model.name} ${model.version}`));
  const again = replica.breaker_retry_in_s > 0 ? `, tries again in ${replica.breaker_retry_in_s.toFixed(1)} s` : "";
  return make("li.replica", { "data-state": replica.state, "data-breaker": replica.breaker },
    make("span.sign", { "aria-hidden": "true" }, SIGNS[replica.state] ?? "?"),
    make("p.replica-name", {}, make("code", {}, address(replica.url)), " ", make("strong", {}, said(replica.state))),
    replica.reason ? make("p.reason", {}, replica.reason) : "",
    facts({
      breaker: said(replica.breaker) + again,
      serves: [...versions].join(", ") || replica.version || "–",
      features: replica.feature_space ?? "–",
      "in flight": count(replica.in_flight),
      latency: ms(replica.latency_ms),
    }),
    tally("Calls since the start", Object.entries(replica.attempts ?? {})));
}

/** @param {Recent|undefined} recent what the last seconds were like */
function recently(recent) {
  const failed = recent ? count(recent.failed) : "–";
  const shown = { rate: rate(recent?.rate_per_s), p50: ms(recent?.p50_ms), p99: ms(recent?.p99_ms), failed };
  return facts(shown, "dl.recent");
}

/** @param {Object<string, string>} values @param {string} tag */
function facts(values, tag = "dl.facts") {
  const pairs = Object.entries(values);
  return make(tag, {}, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** @param {string} title @param {[string, number][]} entries */
function tally(title, entries) {
  const words = entries.map(([outcome, number]) => `${count(number)} ${said(outcome)}`).join(", ");
  return make("p.quiet.tally", {}, `${title}: ${words || "none"}`);
}

/** @param {Stage[]} stages whose replicas may have changed since the last look */
function announce(stages) {
  const now = new Map();
  for (const { name, replicas } of stages) {
    for (const { url, state: is, breaker } of replicas) {
      now.set(`${name} ${address(url)}`, is + (breaker === "closed" ? "" : `, breaker ${breaker}`));
    }
  }
  for (const [who, is] of now) if (seen && seen.get(who) !== is) changed(`${who} is ${said(is)}.`);
  for (const who of seen?.keys() ?? []) if (!now.has(who)) changed(`${who} is gone.`);
  seen = now;
}

/** @param {string} words */
function changed(words) {
  byId("changes").prepend(make("p", {}, make("time", {}, clock(Date.now())), " ", words));
  [...byId("changes").children].slice(MOST_CHANGES).forEach((old) => old.remove());
}

/** @param {number} at */
const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

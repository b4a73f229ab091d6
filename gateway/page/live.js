/** The pipeline as it is now: asked for twice a second, with its last five minutes every five seconds. */

import { byId, clear, make, signals, write } from "./dom.js";
import { drawFigures } from "./figures.js";
import { askGateway, onKeyChange } from "./key.js";
import { offerHeads } from "./picker.js";
import { clearRecent, watchRecent } from "./recent.js";
import { drawReleases } from "./releases.js";
import { drawStages, openReplicas } from "./stages.js";
import { address, clock, said } from "./text.js";
import { drawTrouble } from "./trouble.js";

const EVERY_MS = 500;
const HISTORY_EVERY_MS = 5000;
const TIMEOUT_MS = 2000;
const MOST_CHANGES = 20;

/**
 * What was last seen of each replica: its state and its breaker's, and how often it was started again.
 * @type {Map<string, {is: string, restarts: number}>|null}
 */
let seen = null;
/** @type {Pipeline|null} the last look with five minutes of the past */
let past = null;
let pastAt = -Infinity;
let answeredAt = 0;
let isSilent = false;
let timer = 0;
let turn = 0;
let isReady = false;
let whenReady = () => {};

/** Ask again and again, but not while the page is hidden. */
export function watchPipeline() {
  openReplicas();
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) write("fresh", "Paused while this tab is hidden.");
    else poll();
  });
  onKeyChange(() => {
    pastAt = -Infinity;
    poll();
  });
  if (!document.hidden) poll();
}

/** @param {() => void} listener called whenever the pipeline has become ready */
export const onReady = (listener) => (whenReady = listener);

/** Ask once and draw what comes of it, unless it was asked again meanwhile or the page is hidden. */
async function poll() {
  const startedAt = performance.now();
  const mine = ++turn;
  const isOver = () => mine !== turn || document.hidden;
  clearTimeout(timer);
  const withPast = startedAt - pastAt >= HISTORY_EVERY_MS;
  if (withPast) pastAt = startedAt; // also where it fails: the next look is a plain one, which asks for less
  try {
    const signal = signals.timeout(TIMEOUT_MS);
    const path = `v1/pipeline${withPast ? "?history=true" : ""}`;
    const { status, reply, isRefused } = await askGateway("metrics", path, { cache: "no-store", signal });
    if (isOver()) return;
    if (isRefused) return closed(status); // the same would come of every further look
    if (status !== 200) throw new Error(`status ${status}`);
    if (withPast) past = reply;
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
  seen = past = null;
  showState("closed", state);
  write("fresh", words);
  document.body.classList.remove("old");
  clear("troubles", "figures", "flow", "offered", "releases", "replicas");
  write("gateway-says", "");
  byId("trouble").hidden = byId("more-replicas").hidden = true;
  clearRecent();
}

/** The gateway does not answer: what is drawn is old, and says so. */
function silent() {
  if (!isSilent) changed("The gateway does not answer.");
  isSilent = true;
  isReady = false;
  const since = `What is shown is from ${clock(answeredAt)}.`;
  const advice = answeredAt ? since : "Start it, or check that you are connected to it.";
  write("fresh", `No answer from the gateway. ${advice}`);
  showState("silent", "The gateway does not answer");
  document.body.classList.add("old");
}

/** @param {Pipeline} pipeline */
function draw(pipeline) {
  if (isSilent) changed("The gateway answers again.");
  isSilent = false;
  answeredAt = Date.now();
  document.body.classList.remove("old");
  write("fresh", "Live, twice a second");
  const replicas = pipeline.stages.flatMap((stage) => stage.replicas);
  const missing = replicas.filter((replica) => replica.state !== "ready").length;
  if (!pipeline.ready) showState("not_ready", `Not ready: ${pipeline.reason ?? "the gateway does not say why"}`);
  else if (missing) showState("degraded", `Ready; ${missing} of ${replicas.length} replicas missing`);
  else showState("ready", "Ready");
  drawTrouble(pipeline);
  drawFigures(pipeline, past);
  drawStages(pipeline, past);
  drawReleases(pipeline);
  offerHeads(pipeline);
  watchRecent(pipeline);
  announce(pipeline.stages);
  if (pipeline.ready && !isReady) whenReady();
  isReady = pipeline.ready;
}

/** @param {string} name @param {string} words */
function showState(name, words) {
  byId("state").dataset.state = name;
  write("state", words);
  byId("state").title = words;
}

/** @param {Stage[]} stages whose replicas may have changed since the last look */
function announce(stages) {
  /** @type {Map<string, {is: string, restarts: number}>} */
  const now = new Map();
  for (const { name, replicas } of stages) {
    for (const { url, state: is, breaker, restarts = 0 } of replicas) {
      now.set(`${name} ${address(url)}`, { is: is + (breaker === "closed" ? "" : `, breaker ${breaker}`), restarts });
    }
  }
  for (const [who, { is, restarts }] of now) {
    const before = seen?.get(who);
    if (seen && before?.is !== is) changed(`${who} is ${said(is)}.`);
    if (before && before.restarts < restarts) changed(`${who} was started again.`);
  }
  for (const who of seen?.keys() ?? []) if (!now.has(who)) changed(`${who} is gone.`);
  seen = now;
}

/** @param {string} words */
function changed(words) {
  byId("changes").prepend(make("p", {}, make("time", {}, clock(Date.now())), " ", words));
  [...byId("changes").children].slice(MOST_CHANGES).forEach((old) => old.remove());
}

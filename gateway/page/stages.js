/** The stages in the order of a request, the heads, and a line for each replica. */

import { byId, isNew, make, morph, MUTE, spoken, write } from "./dom.js";
import { spark } from "./figures.js";
import { address, clock, count, end, ms, rate, said } from "./text.js";
import { term } from "./words.js";

/** Replicas that are shown at once; those in trouble come first. */
const MOST_LINES = 8;
/** Fewer than this are not worth a button. */
const FEW = 3;
let areAllShown = false;
/** Addresses of the replicas whose lines are open: what only they show is made for them alone. @type {Set<string>} */
const opened = new Set();
let redraw = () => {};

export function openReplicas() {
  byId("replicas").addEventListener("toggle", (/** @type {Event} */ { target }) => {
    const { open, parentElement } = /** @type {HTMLDetailsElement} */ (target);
    const url = parentElement?.dataset.key ?? "";
    if (open) opened.add(url);
    else opened.delete(url);
    redraw();
  }, true); // it does not bubble
}

/** @param {Replica} replica */
export const isWell = (replica) => replica.state === "ready" && replica.breaker === "closed";

/** @param {Pipeline} pipeline @param {Pipeline|null} past */
export function drawStages(pipeline, past) {
  const { stages, heads = [], gateway, admission } = pipeline;
  if (isNew("flow", [stages, heads, areAllShown, [...opened], past?.history?.until])) {
    morph(byId("flow"), make("ol.flow", { id: "flow" }, stages.map((stage, at) => flowNode(stage, at, heads, past))));
    morph(byId("offered"), make("div", { id: "offered" }, heads.length > 1 && offeredHeads(heads)));
    drawReplicas(pipeline, past);
  }
  const requests = Object.entries(gateway?.requests ?? {}).filter(([, number]) => number > 0);
  const turnedAway = Object.values(admission.turned_away).reduce((sum, number) => sum + number, 0);
  const words = requests.map(([outcome, number]) => `${count(number)} ${said(outcome)}`).join(", ");
  write("gateway-says", `Gateway ${gateway?.version ?? ""}, ${count(admission.queued)} queued, ${count(turnedAway)} turned away. Requests since the start: ${words || "none"}`);
}

/** @param {Stage} stage @param {number} at @param {Offered[]} heads @param {Pipeline|null} past */
function flowNode(stage, at, heads, past) {
  const { name, ready, recent, replicas, role = at ? "head" : "extractor" } = stage;
  const well = replicas.filter(isWell).length;
  const then = past?.stages.find((one) => one.name === name)?.history;
  const about = role === "extractor" ? term("extractor", "feature extractor") : role === "head" ? (heads.length > 1 ? `${count(heads.length)} heads` : term("head", "head")) : "body";
  return make(`li.node${ready ? well < replicas.length ? ".hurt" : "" : ".down"}`, { "data-key": name },
    make("b", {}, make("span", { title: name }, name), make("span.pips", MUTE, replicas.map(pip))),
    make("span.what", {}, ready ? [about, `, p50 ${ms(recent?.p50_ms)}, ${rate(recent?.rate_per_s)}`] : make("span.flag.bad", {}, "× not ready"),
      spoken(`, ${well} of ${replicas.length} replicas well`)),
    spark(then?.p50_ms ?? [], !ready));
}

/** @param {Offered[]} heads */
const offeredHeads = (heads) => make("ul.offered", { "aria-label": "Heads" }, heads.map(({ name, ready, version, reason }) =>
  make("li", { "data-key": name, title: reason ?? name }, make("span.mono", {}, name), ready ? make("span.quiet", {}, ` ${version ?? ""}`) : make("span.bad", {}, " × out of reach"))));

/** @param {Replica} replica */
const pip = (replica) => make("i", { "data-is": isWell(replica) ? "ready" : replica.state === "ready" ? "trouble" : replica.state });

/** @param {Pipeline} pipeline @param {Pipeline|null} past */
function drawReplicas(pipeline, past) {
  const then = new Map(past?.stages.flatMap((stage) => stage.replicas).map(({ url, history }) => [url, history]));
  const all = pipeline.stages.flatMap(({ name, replicas }) => replicas.map((replica, at) => ({ name, replica, number: replica.number ?? at })));
  all.sort((a, b) => Number(isWell(a.replica)) - Number(isWell(b.replica)));
  const isFolded = !areAllShown && all.length >= MOST_LINES + FEW;
  const lines = (isFolded ? all.slice(0, MOST_LINES) : all).map(({ name, replica, number }) => line(name, replica, number, then.get(replica.url)));
  morph(byId("replicas"), make("ul.replicas", { id: "replicas" }, lines));
  byId("more-replicas").hidden = !isFolded;
  write("more-replicas", `${all.length - MOST_LINES} more`);
  redraw = () => drawStages(pipeline, past);
  byId("more-replicas").onclick = () => {
    areAllShown = true;
    redraw();
    byId("replicas").children[MOST_LINES]?.querySelector("summary")?.focus();
  };
}

/** @param {string} stage @param {Replica} replica @param {number} number @param {History|null} [then] */
function line(stage, replica, number, then) {
  const isOpen = replica.state === "ready" && replica.breaker !== "closed";
  const kind = isWell(replica) ? "" : replica.state === "not_ready" || replica.breaker === "half_open" ? ".doubt" : ".bad";
  return make("li.replica", { "data-key": replica.url, "data-state": replica.state, "data-breaker": replica.breaker },
    make("details", {}, make("summary.line", {}, make("span.pips", MUTE, pip(replica)),
      make("span.who", { title: stage }, stage), make("span", {}, `#${number}`), make("span.at.mono", { title: address(replica.url) }, address(replica.url)),
      make(`span.is${kind}`, {}, isOpen ? `breaker ${said(replica.breaker)}` : said(replica.state), replica.restarts ? make("span.quiet", {}, `, ${replica.restarts} ${replica.restarts === 1 ? "restart" : "restarts"}`) : ""),
      make("span.flight", {}, spoken("in flight: "), count(replica.in_flight)),
      make("span.plot", {}, then ? spark(then.p50_ms, !isWell(replica)) : ms(replica.latency_ms))), opened.has(replica.url) && facts(replica)));
}

/** @param {Replica} replica */
function facts(replica) {
  const { breaker, breaker_retry_in_s: again, started_at: started, models = [], attempts = {} } = replica;
  const serves = [...new Set(models.map(({ name, version }) => `${name} ${version}`))].join(", ");
  const calls = Object.entries(attempts).map(([outcome, number]) => `${count(number)} ${outcome === "ok" ? "ok" : end(outcome)}`).join(", ");
  /** @type {[any, any][]} */
  const pairs = [
    ["Reason", replica.reason && make("span.bad", {}, replica.reason)], ["Address", make("code", {}, address(replica.url))],
    [term("breaker", "Breaker"), said(breaker) + (again > 0 ? `, tries again in ${Math.ceil(again)} s` : "")], ["Serves", serves || replica.version || "–"],
    [term("space", "Features"), make("code", {}, replica.feature_space ?? "–")], ["Latency", ms(replica.latency_ms)],
    ["Started", started && `${clock(Date.parse(started))}${replica.restarts ? `, restarted ${replica.restarts === 1 ? "once" : `${replica.restarts} times`}` : ""}`],
    ["Calls since the start", calls || "none"],
  ];
  return make("dl.facts", {}, pairs.filter(([, words]) => words).map(([name, words]) => make("div", {}, make("dt", {}, name), make("dd", {}, words))));
}

/** Where the time went: rows of calls on one scale; with several heads, each row ends in what its head says. */

import { button, fill, make, MUTE, spoken } from "./dom.js";
import { between } from "./reply.js";
import { end, isFailure, ms, percent, THIN } from "./text.js";
import { term } from "./words.js";

/** @typedef {{start_ms: number, ms: number, outcome?: string}} Span */
/** @typedef {{heads: Head[], mark: (name: string) => number|null, opened: Set<string>, toggle: (name: string) => void}} Ends */

/** @param {Span} span @param {number} width */
const share = (span, width) => ({ "--from": span.start_ms / width, "--part": span.ms / width });

/**
 * @param {Reply[]} replies one, or several in groups of rows
 * @param {Ends|null} ends what the rows of heads end in, where there are several
 */
export function score(replies, ends) {
  const width = Math.max(0.01, ...replies.flatMap((reply) => [reply.total_ms ?? 0, ...reply.calls.map((call) => call.start_ms + call.ms)]));
  const step = niceStep(width);
  const ticks = Array.from({ length: Math.floor((width * 0.97) / step) + 1 }, (_, at) => at * step);
  const marks = ticks.map((tick, at) => make("span", { "--at": tick / width }, `${+tick.toFixed(2)}${at + 1 < ticks.length ? "" : `${THIN}ms`}`));
  const under = make("div.under", MUTE, ticks.map((tick) => make("i.grid", { "--at": tick / width })));
  const rows = make("ol.rows");
  const place = { r: 0, x: 0 }; // rows so far, and opened heads so far
  for (const reply of replies) group(reply, replies.length > 1, width, ends, rows, under, place);
  return make("div", {}, make("div.axis", MUTE, make("div", {}, marks)), make("div.rows-box", {}, under, rows));
}

/**
 * The rows of one request.
 * @param {Reply} reply @param {boolean} isOfSeveral @param {number} width of the axis, in milliseconds @param {Ends|null} ends
 * @param {Element} rows @param {Element} under what is drawn behind them @param {{r: number, x: number}} place
 */
function group(reply, isOfSeveral, width, ends, rows, under, place) {
  const whole = { start_ms: 0, ms: reply.total_ms ?? 0 };
  const answered = make("span.end", {}, ms(reply.total_ms));
  rows.append(isOfSeveral ? make("li.lane.group", {}, make("span.name", {}, reply.title), answered)
    : make("li.lane.whole", {}, make("span.name", {}, term("gateway")), track(bar(whole, width)), answered, ends && make("span.says.wide")));
  place.r += 1;
  /** @type {Map<string, {end: number, r: number, x: number, to: {r: number, x: number}|null}>} */
  const gives = new Map();
  for (const call of reply.calls) {
    const head = ends?.heads.find(({ name }) => name === call.stage);
    if (call.attempts[1]) under.append(make("i.band", { ...share(call, width), "--r": place.r, "--x": place.x, "--rows": call.attempts.length }));
    for (const from of call.takes) {
      const source = gives.get(from);
      if (source) source.to = { ...place };
    }
    call.attempts.forEach((attempt, at) => {
      rows.append(lane(call, attempt, at, width, ends && says(at ? null : call, head, ends)));
      if (attempt.outcome === "ok" && !call.isHead) gives.set(call.stage, { ...place, end: (attempt.start_ms + attempt.ms) / width, to: null });
      place.r += 1;
    });
    if (!call.attempts.length) {
      const kept = { ...call, number: 1, replica: 0, is_hedge: false }; // of the cache: no replica was asked
      rows.append(lane({ ...call, parts: {} }, kept, 0, width, ends && says(call, head, ends)));
      if (!call.isHead) gives.set(call.stage, { ...place, end: (call.start_ms + call.ms) / width, to: null });
      place.r += 1;
    }
    if (!head?.predictions || !ends?.opened.has(head.name)) continue;
    rows.append(make("li.more", {}, make("ol", {}, head.predictions.slice(1, 4).map((one) => labelRow(one, meter(one.confidence, null))))));
    place.x += 1;
  }
  for (const { end: at, r, x, to } of gives.values()) {
    if (to) under.append(make("i.drop-line", { "--from": at, "--r": r + 0.5, "--x": x, "--rows": to.r - r, "--xs": to.x - x }));
  }
}

/**
 * One call: its name, its bar, how it ended.
 * @param {Call} call @param {Attempt} attempt @param {number} at @param {number} width @param {HTMLElement|null} answer
 */
function lane(call, attempt, at, width, answer) {
  const { outcome } = attempt;
  const kind = attempt.is_hedge ? "hedge" : attempt.number > 1 ? "retry" : "call";
  const name = at ? make("span.name.sub", {}, `${kind} to #${attempt.replica}`) : make("span.name", { title: call.stage }, call.stage);
  const ended = isFailure(outcome) ? "failed" : outcome;
  return make(`li.lane.attempt.${kind}${answer ? ".head-row" : ""}`, { "data-end": ended }, name,
    track(bar(attempt, width, outcome === "ok" ? call.parts : null), (outcome !== "ok" || call.cache) && noteBeside(attempt, width, call.cache)),
    make(`span.end${outcome === "ok" ? "" : ".guess"}`, {}, spoken(` ${end(outcome)}${attempt.replica ? ` by #${attempt.replica}` : ""}, began at ${ms(attempt.start_ms)}, took `), ms(attempt.ms)), answer);
}

/** @param {...any} children */
const track = (...children) => make("span.track", MUTE, ...children);

/**
 * How a call ended, in words: behind its bar where there is room, else before it, else on it.
 * @param {Attempt} span @param {number} width @param {string|null} [cache]
 */
function noteBeside(span, width, cache) {
  const [from, to] = [span.start_ms / width, (span.start_ms + span.ms) / width];
  const side = to < 0.68 ? "after" : from > 0.32 ? "before" : "on";
  return make(`span.note.${side}${isFailure(span.outcome) ? ".bad" : ""}`, { "--from": from, "--to": to }, cache ? "kept from before" : end(span.outcome));
}

/**
 * Network is all that is none of the others; where on the way it was is not known, so half is drawn on each side.
 * @param {Span} span @param {number} width @param {StageTimings|null} [parts]
 */
function bar(span, width, parts) {
  const { queue = 0, decode = 0, compute = 0 } = parts ?? {};
  const known = queue + decode + compute;
  if (!known) return make(`span.bar${span.outcome ? (isFailure(span.outcome) ? ".failed" : span.outcome === "ok" ? ".compute" : ".cancelled") : ""}`, share(span, width));
  const network = Math.max(0, span.ms - known) / 2;
  const pieces = Object.entries({ network, queue, decode, compute, " network": network }).filter(([, part]) => part > 0);
  return make("span.bar", share(span, width), pieces.map(([name, part]) => make(`span.${name.trim()}`, { "--ms": part })));
}

/** @param {Call|null} call @param {Head|undefined} head @param {Ends} ends */
function says(call, head, { mark, opened, toggle }) {
  if (!call) return make("span.says.wide");
  if (!head) return make("span.says.wide", {}, call.isHead ? "" : "features, made once");
  if (!head.predictions) return make("span.says.wide.bad", { title: head.error?.detail ?? "" }, `× ${head.error?.title ?? "failed"}`);
  const { name, predictions } = head;
  const [best] = predictions;
  const least = mark(name);
  const isUnsure = least !== null && (best?.confidence ?? 1) < least;
  const label = !best ? "none above its mark" : head.threshold !== null ? predictions.map((one) => one.label).join(", ") : best.label;
  const expanded = { id: `says-${name}`, "aria-expanded": String(opened.has(name)), title: label };
  const pressed = button(".says", () => toggle(name), make(`b${isUnsure || !best ? ".guess" : ""}`, {}, label, isUnsure && spoken(", not sure")),
    make(`span.share${isUnsure ? ".doubt" : ""}`, {}, best ? sure(best) : ""), best && meter(best.confidence, least, isUnsure ? ".doubtful" : ""));
  for (const [key, value] of Object.entries(expanded)) pressed.setAttribute(key, value);
  return pressed;
}

/** @param {Prediction} one */
export const sure = ({ confidence, value }) => (confidence !== undefined ? percent(confidence) : value !== null && value !== undefined ? String(+value.toPrecision(6)) : "");

/** @param {Prediction} one @param {...any} meters */
export const labelRow = (one, ...meters) => make("li.label", {}, make("span.label-name", { title: one.label }, one.label), make("span.label-share", {}, sure(one)), meters);

/** @param {number|undefined} part @param {number|null} mark @param {string} [kind] */
export const meter = (part, mark, kind = "") =>
  part !== undefined && make(`span.meter${kind}`, { "--share": Math.min(1, part), "--mark": mark, "data-mark": mark === null ? null : "", ...MUTE });

/** @param {number} last the end of an axis, which has at most six steps */
function niceStep(last) {
  const power = 10 ** Math.floor(Math.log10(last / 6));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => last / step <= 6) ?? last;
}

const PARTS = ["queue", "decode", "compute", "network", "total"];

/** @param {Reply} reply */
export function numbers(reply) {
  const head = make("tr", {}, ["ms", ...PARTS].map((part) => make(part === "ms" ? "th" : "th.num", { scope: "col" }, part)));
  /** @param {string} name @param {StageTimings} parts */
  const line = (name, parts) => make("tr", {}, make("th.mono", { scope: "row" }, name), PARTS.map((part) => make("td.num", {}, parts[part]?.toFixed(2) ?? "")));
  const title = `Milliseconds of the last request by stage${reply.title ? `: ${reply.title}` : ""}`;
  return scrolls(title, make("table.numbers", {}, make("caption.hidden", {}, title), make("thead", {}, head),
    make("tbody", {}, Object.entries(reply.times).map(([name, parts]) => line(name, parts)), line("gateway itself", { total: between(reply) })),
    make("tfoot", {}, line("all", { total: reply.total_ms ?? 0 }))));
}

/**
 * A table that scrolls by itself where it is too wide.
 * @param {string} title @param {HTMLElement} table
 */
export const scrolls = (title, table) => make("div.scrolls", { role: "group", "aria-label": title, tabindex: 0 }, table);

/** @type {[string, string, string][]} kind of bar, word, and when it is explained */
const LEGEND = [["network", "network", ""], ["queue", "queue", ""], ["decode", "decode", ""], ["compute", "compute", ""], ["bar.failed", "failed", "failed"], ["bar.cancelled", "hedge", "cancelled"]];

/**
 * Explain the bars that occur.
 * @param {Attempt[]} attempts
 */
export function drawLegend(attempts) {
  const occurs = { "": true, failed: attempts.some(({ outcome }) => isFailure(outcome)), cancelled: attempts.some(({ outcome }) => outcome === "cancelled") };
  fill("legend-list", LEGEND.filter(([, , when]) => occurs[/** @type {"failed"} */ (when)]).map(([kind, word]) =>
    make("li", {}, make(`span.swatch.${kind}`, MUTE), term(word, word === "hedge" ? "cancelled, hedge" : word))));
}

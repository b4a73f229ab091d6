/** Five figures of the gateway with their last five minutes. */

import { byId, make, morph, MUTE, spoken } from "./dom.js";
import { count, figure, THIN } from "./text.js";
import { term } from "./words.js";

const HEIGHT = 24;
const STEP_S = 5;
/** Per cent of failed requests that are trouble. */
const MUCH = 5;

/** @param {Pipeline} pipeline @param {Pipeline|null} past */
export function drawFigures({ gateway, admission }, past) {
  const recent = gateway?.recent;
  const then = past?.gateway?.history;
  const failed = recent && recent.ended ? (recent.failed / recent.ended) * 100 : recent ? 0 : null;
  const failedThen = then?.failed.map((number, at) => (number === null ? null : then.ended[at] ? (number / Number(then.ended[at])) * 100 : 0));
  const rows = [
    one("rate", "Rate", recent?.rate_per_s ?? null, "/s", then?.ended.map((ended) => (ended === null ? null : ended / STEP_S))),
    one("p50", "p50", recent?.p50_ms ?? null, "ms", then?.p50_ms),
    one("p99", "p99", recent?.p99_ms ?? null, "ms", then?.p99_ms),
    one("errors", "Failed", failed, "%", failedThen, Number(failed) >= MUCH),
    one("flight", "In flight", admission.in_flight, ` of ${count(Math.round(admission.limit))}`, then?.in_flight),
  ];
  morph(byId("figures"), make("dl.figures", { id: "figures" }, rows));
}

/**
 * @param {string} key of its explanation @param {string} name @param {number|null} value @param {string} unit
 * @param {Values} [values] of the last five minutes @param {boolean} [isBad]
 */
function one(key, name, value, unit, values = [], isBad = false) {
  const words = value === null ? "–" : Number.isInteger(value) ? count(value) : figure(value);
  const known = values.flatMap((each) => (each === null ? [] : [each]));
  const range = known.length > 1 && `from ${figure(Math.min(...known))} to ${figure(Math.max(...known))} within five minutes`;
  return make("div", {}, make("dt", {}, term(key, name)),
    make(`dd.value${isBad ? ".bad" : ""}`, {}, words, value !== null && make("small", {}, unit.startsWith(" ") ? unit : THIN + unit)),
    make("dd.plot", {}, spark(values, isBad), range && spoken(range)));
}

/**
 * A line of values; where there is none it has a gap.
 * @param {Values} values @param {boolean} [isBad]
 */
export function spark(values, isBad = false) {
  const most = Math.max(...values.map((value) => value ?? 0)) * 1.1 || 1;
  let [line, last, isDown] = ["", "", false];
  values.forEach((value, at) => {
    if (value !== null) {
      last = `${((at / (values.length - 1)) * 100).toFixed(1)} ${(HEIGHT - 1 - (value / most) * (HEIGHT - 2)).toFixed(1)}`;
      line += `${isDown ? "L" : "M"}${last}`;
    }
    isDown = value !== null;
  });
  return make(`svg.spark${isBad ? ".bad" : ""}`, { viewBox: `0 0 100 ${HEIGHT}`, preserveAspectRatio: "none", ...MUTE },
    make("path", { d: line || "M0 0" }), make("path.now", { d: last ? `M${last}h0` : "M0 0" }));
}

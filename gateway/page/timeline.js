/** The last request: its time line by stage and attempt, and its numbers. */

import { breakable, byId, make, spoken } from "./dom.js";
import { end, ms } from "./text.js";

const PARTS = ["queue", "decode", "compute", "network", "total"];

/** @param {Partial<Classified> & Problem} reply the gateway's answer or problem, whose time is shown */
export function showLast(reply) {
  const hops = reply.timeline ?? [];
  const timings = reply.timings_ms;
  byId("last").hidden = hops.length === 0 && !timings?.total;
  byId("timeline").replaceChildren(...(hops.length ? [timeLine(hops, timings?.total)] : []));
  byId("numbers").replaceChildren(...(timings?.total ? [numbers(timings)] : []));
}

/** @param {Hop[]} hops @param {number|undefined} total */
function timeLine(hops, total) {
  const last = Math.max(total ?? 0, ...hops.map((hop) => hop.start_ms + hop.ms), 0.01);
  const step = niceStep(last);
  const width = Math.ceil(last / step) * step;
  const ticks = Array.from({ length: Math.round(width / step) + 1 }, (_, at) => at * step);
  /** @param {number} tick */
  const written = (tick) => `${+tick.toFixed(2)}${tick === width ? "\u202fms" : ""}`;
  const marks = ticks.map((tick) => make("span", { "--at": tick / width }, written(tick)));
  const axis = make("div.axis", { "aria-hidden": "true" }, ...marks);
  const rows = hops.flatMap((hop, at) => [
    row("hop", at, hop, width, [hop.stage], hop.outcome === "ok" ? "" : `${end(hop.outcome)}, `),
    ...hop.attempts.map((attempt) => attemptRow(attempt, at, width)),
  ]);
  const whole = { start_ms: 0, ms: total ?? 0, outcome: "ok" };
  if (total) rows.unshift(row("whole", -1, whole, width, ["The whole request"], ""));
  return make("div.timeline", { "--ticks": ticks.length - 1 }, axis, make("ol.rows", {}, ...rows));
}

/** @param {Attempt} attempt @param {number} at @param {number} width */
function attemptRow(attempt, at, width) {
  const kind = attempt.is_hedge ? "hedge" : attempt.number > 1 ? "retry" : "call";
  const name = [make("b", {}, kind), ` ${attempt.number} `, make("code", {}, `#${attempt.replica}`)];
  return row(`attempt ${kind}`, at, attempt, width, name, `${end(attempt.outcome)}, `);
}

/**
 * One row: what, its bar, how it ended.
 * @param {string} kind
 * @param {number} at the stage's place
 * @param {{start_ms: number, ms: number, outcome: string}} span
 * @param {number} width of the axis, in milliseconds
 * @param {(Node|string)[]} name
 * @param {string} words before how long it took
 */
function row(kind, at, span, width, name, words) {
  const ended = span.outcome === "ok" || span.outcome === "cancelled" ? span.outcome : "failed";
  const bar = make("span.span", { "--from": span.start_ms / width, "--part": span.ms / width });
  return make("li", { class: `row ${kind}`, "data-stage": at < 0 ? null : at % 4, "data-end": ended },
    make("span.row-name", {}, ...name),
    make("span.track", { "aria-hidden": "true" }, bar),
    make("span.row-end", {}, spoken(" began at "), spoken(`${ms(span.start_ms)}, `), words + ms(span.ms)));
}

/** @param {number} last the end of an axis, which has at most six steps */
function niceStep(last) {
  const power = 10 ** Math.floor(Math.log10(last / 6));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => last / step <= 6) ?? last;
}

/** @param {Classified["timings_ms"]} timings */
function numbers(timings) {
  const { total, ...stages } = timings;
  const entries = Object.entries(stages);
  const between = Math.max(0, total - entries.reduce((sum, [, parts]) => sum + parts.total, 0));
  const head = make("tr", {}, ...["ms", ...PARTS].map((part) => make("th", { scope: "col" }, part)));
  /** @param {string} name @param {StageTimings} parts @param {number|null} at */
  const line = (name, parts, at) => make("tr", { "data-stage": at },
    make("th", { scope: "row" }, ...breakable(name)),
    ...PARTS.map((part) => make("td", {}, parts[part]?.toFixed(2) ?? "")));
  return make("table.numbers", {},
    make("caption.hidden", {}, "Milliseconds of the last request by stage"),
    make("thead", {}, head),
    make("tbody", {},
      ...entries.map(([name, parts], at) => line(name, parts, at % 4)),
      line("gateway itself", { total: between }, null)),
    make("tfoot", {}, line("all", { total }, null)));
}

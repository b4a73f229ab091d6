/** Which heads are asked, and whether the canary is asked too. */

import { button, byId, fill, isNew, make } from "./dom.js";
import { count, times } from "./text.js";
import { term } from "./words.js";

/** Heads of which the list scrolls by itself. */
const LONG = 7;

/** @type {Offered[]} */
let offered = [];
/** @type {Set<string>} */
let picked = new Set();
let [hasCanary, isComparing] = [false, false];
/** @type {() => void} */
let changed = () => {};

/** @param {() => void} listener called when something else is to be asked */
export function pickHeads(listener) {
  changed = listener;
  byId("picker").addEventListener("change", choose);
}

/** The heads that are asked, in the gateway's order; none where the gateway has not said which there are. */
export const pickedHeads = () => offered.filter(({ name }) => picked.has(name));
export const areAllPicked = () => offered.filter(givesClasses).every(({ name }) => picked.has(name));
export const isCompared = () => isComparing;

/** @param {string} name @returns {number|null} below which a head's first label is not sure */
export const markOf = (name) => offered.find((head) => head.name === name)?.unsure_below ?? null;

/** @param {Offered} head */
export const givesClasses = ({ outputs }) => outputs.some(({ name, shape }) => name === "probabilities" && shape.length === 2) || !outputs.length;

/** @param {Pipeline} pipeline */
export function offerHeads({ heads = [], releases }) {
  if (!isNew("picker", [heads, Boolean(releases?.canary)])) return;
  offered = heads;
  hasCanary = Boolean(releases?.canary);
  isComparing &&= hasCanary;
  picked = new Set(offered.map(({ name }) => name).filter((name) => picked.has(name)));
  const first = offered.find(({ name }) => name === "classifier") ?? offered[0];
  if (!picked.size && first) picked.add(first.name);
  draw();
}

function draw() {
  const focused = /** @type {HTMLInputElement|null} */ (document.activeElement);
  const at = byId("picker").contains(focused) ? focused?.value : null;
  byId("picker").hidden = offered.length < 2 && !hasCanary;
  const isAll = picked.size === offered.length;
  const top = make("div.heads-top", {},
    make("span.eyebrow", {}, term("head", "Heads"), ` ${count(picked.size)} of ${count(offered.length)}`),
    offered.length > 2 && button("", () => pickAll(!isAll), isAll ? "Only the first" : "All"));
  const isLong = offered.length > LONG;
  const list = make(`div.heads-list${isLong ? ".long" : ""}`, isLong ? { role: "group", "aria-label": "Heads", tabindex: 0 } : {}, offered.map(line));
  fill("picker", make("legend.hidden", {}, "Heads that are asked"), offered.length > 1 && [top, list],
    hasCanary && check(isComparing, "", make("span", {}, "Compare with the canary")));
  if (at !== null) byId("picker").querySelector(`input[value="${CSS.escape(at ?? "")}"]`)?.focus();
}

/** @param {Offered} head */
function line(head) {
  const labels = head.outputs[0]?.shape.at(-1) ?? -1;
  const about = !head.ready ? make("em.bad", {}, "out of reach") : make("em", {}, labels < 1 ? "" : times(labels, givesClasses(head) ? "label" : "number"));
  return check(picked.has(head.name), head.name, make("span.mono", { title: head.reason ?? head.name }, head.name), about);
}

/** @param {boolean} checked @param {string} value @param {...any} words */
const check = (checked, value, ...words) => make("label.check", {}, make("input", { type: "checkbox", checked, value }), words);

/** @param {boolean} isAll */
function pickAll(isAll) {
  picked = new Set(offered.map(({ name }) => name).slice(0, isAll ? undefined : 1));
  draw();
  byId("picker").querySelector(".heads-top button:last-child")?.focus();
  changed();
}

/** @param {Event} event */
function choose({ target }) {
  const { value, checked } = /** @type {HTMLInputElement} */ (target);
  if (!value) isComparing = checked;
  else if (checked) picked.add(value);
  else picked.delete(value);
  draw();
  changed();
}

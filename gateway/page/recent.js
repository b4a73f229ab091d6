/** The last twenty requests, whoever sent them: each opens in place, with its time line. */

import { byId, fill, make, MUTE, write } from "./dom.js";
import { askGateway } from "./key.js";
import { readAsked } from "./reply.js";
import { end, isFailure, percent, clock } from "./text.js";
import { markOf } from "./picker.js";
import { score } from "./timeline.js";

/** Under load the list is not asked for more often than this, but at once for what this page has asked. */
const EVERY_MS = 5000;
const TIMEOUT_MS = 2000;
const ID = 8;
const NONE = "None yet. They come here as they are answered, whoever asks.";
let counted = "";
let askedAt = -Infinity;
let isKnown = true;
let turn = 0;

/**
 * Ask for the list where requests have ended since.
 * @param {Pipeline} pipeline
 */
export async function watchRecent({ gateway }) {
  const now = JSON.stringify(gateway?.requests ?? null);
  if (now === counted || !isKnown || performance.now() - askedAt < EVERY_MS) return;
  counted = now;
  askedAt = performance.now();
  const mine = ++turn;
  const all = await latest();
  if (mine === turn) draw(all);
}

/** Ask with the next look: this page has sent something. */
export const hasAsked = () => (askedAt = -Infinity);

/** @returns {Promise<Asked[]|null>} null where the gateway does not say */
async function latest() {
  const signal = /** @type {any} */ (AbortSignal).timeout(TIMEOUT_MS);
  const { status, reply } = await askGateway("metrics", "v1/requests", { cache: "no-store", signal }).catch(() => ({ status: 0, reply: {} }));
  isKnown = status !== 404; // an older gateway
  return status === 200 ? reply.requests : null;
}

/**
 * A request that has just been answered, as the gateway remembers it.
 * @param {string} id
 */
export const findAsked = async (id) => (isKnown && (await latest())?.find((one) => one.id === id)) || null;

export function clearRecent() {
  counted = "";
  turn += 1; // what is on its way is not for who looks now
  fill("recent");
  byId("recent-head").hidden = true;
  write("recent-says", "");
}

/** @param {Asked[]|null} all newest first; what is there already stays as it is */
function draw(all) {
  if (!all) return;
  const list = byId("recent");
  const width = Math.max(0.01, ...all.map((one) => one.timings_ms.total));
  const known = new Map([...list.children].map((item) => [item.dataset.key, item]));
  all.forEach((one, at) => {
    const key = `${one.id} ${one.at} ${one.timings_ms.total}`; // callers may give many requests one id
    const item = known.get(key) ?? row(one, key);
    known.delete(key);
    item.style.setProperty("--width", String(one.timings_ms.total / width));
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
  });
  [...list.children].slice(all.length).forEach((gone) => gone.remove());
  byId("recent-head").hidden = !all.length;
  write("recent-says", all.length ? "" : NONE);
}

/** @param {Asked} one @param {string} key */
function row(one, key) {
  const details = make("details", {}, make("summary.asked", {},
    make("span.quiet.mono", {}, clock(Date.parse(one.at))), make("span.mono.id", {}, one.id.slice(0, ID)), answer(one),
    make("span.num", {}, one.timings_ms.total.toFixed(1)), make("span.where", MUTE, make("span.mini", {}, bars(one)))));
  details.addEventListener("toggle", () => {
    if (details.childElementCount === 1) details.append(opened(one));
  });
  return make("li", { "data-key": key }, details);
}

/** @param {Asked} one */
function answer({ outcome, heads }) {
  if (outcome !== "ok") return make("span.clip", {}, outcome === "cancelled" ? make("span.guess", {}, "caller left") : ended(outcome));
  const first = heads.find((head) => head.code && isFailure(head.code)) ?? heads[0]; // what failed is said first
  const isUnsure = first?.confidence !== null && first?.confidence < (markOf(first.name) ?? 0);
  const words = first?.label ?? "answered";
  return make("span.clip", { title: words }, first?.code ? ended(first.code) : make(`span${isUnsure ? ".guess" : ""}`, {}, words), isUnsure && make("span.doubt", {}, " not sure"),
    heads.length > 1 && make("span.quiet", {}, ` and ${heads.length - 1} more`));
}

/**
 * How a request or a head of it ended: red where the pipeline failed, calm where its caller was refused.
 * @param {string} code
 */
const ended = (code) => isFailure(code) ? make("span.bad", {}, `× ${end(code)}`) : make("span.guess", {}, end(code));

/** @param {Asked} one */
function bars({ timeline, timings_ms: { total } }) {
  return timeline.flatMap(({ attempts, head, takes }) => attempts.map((call) =>
    make(`i${isFailure(call.outcome) ? ".failed" : head || takes?.length ? ".later" : ""}`, { "--from": call.start_ms / total, "--part": call.ms / total })));
}

/** @param {Asked} one */
function opened(one) {
  const heads = one.heads.map(({ name, label, confidence, code }) =>
    make("li", {}, make("span.mono", {}, name), " ", code ? ended(code) : label ?? "answered", confidence !== null && make("span.quiet", {}, ` ${percent(confidence)}`)));
  const words = [one.problem?.title, one.route, one.part && one.release && `${one.release}, ${one.part}`].filter(Boolean).join("; ");
  return make("div.opened", {}, make("p.quiet", {}, make("code", {}, one.id), ` ${words}`), heads.length > 0 && make("ul.says-list", {}, heads),
    one.timeline.length > 0 && score([readAsked(one)], null));
}

/** What the heads answer: of one head its labels, of several a row each, of two releases both. */

import { byId, fill, make, MUTE, say } from "./dom.js";
import { copy } from "./copy.js";
import { hasKey } from "./key.js";
import { isCompared, markOf, pickedHeads } from "./picker.js";
import { asCurl, asPython } from "./request.js";
import { ms, percent, times } from "./text.js";
import { drawLegend, labelRow, meter, numbers, score, sure } from "./timeline.js";
import { term } from "./words.js";

/** Labels of a word or two are shown larger than others. */
const SHORT = 18;
const MOST_LABELS = 5;
/** Labels of a head that can give many that its answer's title names; the list below has all. */
const MOST_NAMED = 3;
/** Characters of a request's id that are shown; all are in its title. */
const ID = 12;

/** @typedef {{sent: Sent[], replies: Reply[]}} Side what was sent to one release, and what it answered */

/** @type {Side[]} */
let sides = [];
let isComparison = false;
/**
 * Heads whose other labels are shown.
 * @type {Set<string>}
 */
const opened = new Set();

/** @param {Side[]} next those of the current release and of the canary, where both were asked */
export function showAnswer(next) {
  sides = next;
  isComparison = next.length > 1;
  draw();
}

/** Draw what is picked now of what was answered; false where something that was not asked is picked. */
export function redraw() {
  const picked = pickedHeads();
  const known = new Set(answered(sides[0]).map(({ name }) => name));
  if (!sides.length || !byId("answer-error").matches(":empty") || !picked.every(({ name }) => known.has(name))) return false;
  if (isCompared() && !isComparison) return false;
  isComparison = isCompared();
  if (!isComparison) sides = sides.slice(0, 1);
  draw();
  return true;
}

/**
 * Say what could not be answered, and what to do.
 * @param {string} what @param {string} next @param {...any} more
 */
export function complain(what, next, ...more) {
  const hasTime = sides.some(({ replies }) => replies.some(({ problem, calls, total_ms }) => problem && (calls.length || total_ms)));
  if (!hasTime) sides = [];
  say("");
  fill("best");
  fill("labels");
  fill("snippet");
  byId("meta").hidden = true;
  if (!hasTime) clearTime();
  fill("answer-error", make("p.big.long.bad", {}, `× ${what}`), make("p", {}, next), more);
}

function clearTime() {
  fill("total", make("p.big.guess", {}, "–"));
  fill("score");
  fill("numbers");
  byId("legend").hidden = true;
  byId("answer").classList.remove("many");
}

/**
 * The heads of one side, those that gave nothing included.
 * @param {Side|undefined} side @returns {Head[]}
 */
const answered = (side) => (side?.replies ?? []).flatMap(({ heads }) => heads);

/** @param {Head} head */
const isPicked = ({ name }) => pickedHeads().length === 0 || pickedHeads().some((one) => one.name === name);

function draw() {
  const heads = answered(sides[0]).filter(isPicked);
  const replies = sides.flatMap(({ replies: own }, at) => own.map((reply) => shownReply(reply, own.length > 1, at)));
  const isMany = heads.length > 1 && replies.length === 1;
  byId("answer").classList.toggle("many", isMany);
  fill("answer-error");
  fill("best", isComparison ? bestOfBoth(heads) : heads.length > 1 ? bestOfMany(heads) : bestOfOne(heads[0]));
  fill("labels", !isMany && (isComparison || heads.length > 1 ? sideBySide(heads) : heads[0] && labelsOf(heads[0])));
  drawMeta();
  drawTime(replies, isMany ? heads : null);
  say(spokenAnswer(heads, replies));
}

/**
 * A reply with the calls of the heads that are picked, and a title where there are several.
 * @param {Reply} reply @param {boolean} isOfHead @param {number} side
 */
function shownReply(reply, isOfHead, side) {
  const names = new Set(reply.heads.filter(isPicked).map(({ name }) => name));
  const calls = reply.calls.filter((call) => !call.isHead || names.has(call.stage) || reply.problem);
  const release = isComparison ? `${reply.release ?? ["current", "canary"][side]}, ${["current", "canary"][side]}` : "";
  return { ...reply, calls, title: [isOfHead && reply.heads[0]?.name, release].filter(Boolean).join(", ") };
}

/** @param {string} words @param {string} [kind] */
const big = (words, kind = "") => make(`p.big.best${words.length > SHORT ? ".long" : ""}${kind}`, { title: words }, words);

/** @param {Head} head */
const isUnsure = ({ name, threshold, predictions }) => threshold === null && (predictions?.[0]?.confidence ?? 1) < (markOf(name) ?? 0);

/** @param {Prediction[]} all of a head that can give many */
function firstFew(all) {
  const rest = all.length - MOST_NAMED;
  return all.slice(0, MOST_NAMED).map(({ label }) => label).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

/** @param {Head|undefined} head @returns {any} */
function bestOfOne(head) {
  if (!head) return [make("p.big.guess", {}, "–"), make("p.empty-words", {}, "Pick a head to see its answer.")];
  if (!head.predictions) return big(`× ${head.error?.title ?? "No answer"}`, ".bad");
  const [best] = head.predictions;
  if (head.threshold !== null) {
    const least = percent(head.threshold, 0);
    return best ? [big(firstFew(head.predictions)), make("p.quiet", {}, `${times(head.predictions.length, "label")} of ${least} or more`)]
      : [big("None of its labels", ".guess"), make("p.quiet", {}, `None reaches ${least}`)];
  }
  if (best?.confidence === undefined) return big(best ? `${best.label} ${sure(best)}`.trim() : "–");
  return [big(best.label, isUnsure(head) ? ".guess" : ""), make("p.quiet", {}, percent(best.confidence),
    isUnsure(head) ? [", ", make("span.doubt", {}, term("unsure", "not sure")), `: less than ${percent(markOf(head.name) ?? 0, 0)}`] : " sure")];
}

/** @param {Head[]} heads */
function bestOfMany(heads) {
  const failed = heads.filter(({ predictions }) => !predictions).length;
  const unsure = heads.filter(isUnsure).length;
  return [big(times(heads.length - failed, "answer")), make("p.quiet", {}, unsure > 0 ? make("span.doubt", {}, `${unsure} `, term("unsure", "not sure")) : "from one extraction",
    failed > 0 && [", ", make("span.bad", {}, `${failed} failed`)])];
}

/** @param {Head} head */
const firstOf = (head) => head.predictions?.[0]?.label ?? (head.predictions ? "none" : "× failed");
/** @param {Head} head @returns {Head|undefined} what the canary says for the same head */
const otherOf = (head) => answered(sides[1]).find(({ name }) => name === head.name);
const swatch = (/** @type {string} */ kind) => make("span.swatches", MUTE, meter(1, null, kind));

/** @param {Head[]} heads */
function bestOfBoth(heads) {
  const differ = heads.filter((head) => firstOf(head) !== firstOf(otherOf(head) ?? head));
  const [one] = heads;
  const releases = sides.map(({ replies }, at) => [at > 0 && " / ", swatch(at ? ".canary" : ""), replies[0]?.release ?? ["current", "canary"][at]]);
  const title = heads.length !== 1 ? big(differ.length ? `${differ.length} of ${heads.length} differ` : `All ${heads.length} agree`)
    : make("p.big.best.long", {}, differ.length ? [one, otherOf(one) ?? one].map((head) => make("span", {}, firstOf(head), " ")) : firstOf(one));
  return [title, make("p.quiet", {}, differ.length ? make("span.doubt", {}, "They differ") : "Both say so", ": ", releases)];
}

/** @param {Head} head */
function labelsOf(head) {
  const mark = head.threshold ?? markOf(head.name);
  return make("ol", {}, (head.predictions ?? []).map((one, at) =>
    labelRow(one, meter(one.confidence, head.threshold !== null || !at ? mark : null, !at && isUnsure(head) ? ".doubtful" : ""))));
}

/**
 * Both releases label by label, or several heads first label by first label.
 * @param {Head[]} heads
 */
function sideBySide(heads) {
  const other = heads.length === 1 ? otherOf(heads[0]) : undefined;
  if (other) return make("ol", {}, each([heads[0], other]));
  return make("ol", {}, heads.map((head) => headRow(head, isComparison ? [head, otherOf(head) ?? head] : [head])));
}

/**
 * A head's first label, which opens the further ones.
 * @param {Head} head @param {Head[]} all what each release says for it
 */
function headRow(head, all) {
  const firsts = [...new Set(all.map(firstOf))];
  const further = each(all).slice(firsts.length > 1 ? 0 : 1); // where releases differ, all labels of both
  const isOpen = opened.has(head.name);
  const first = [make("span.of-head.mono.quiet", { title: head.name }, head.name), make("span.label-name", { title: firsts.join(" / ") }, firsts.map((label, at) => [at > 0 && " / ", make("bdi", {}, label)])),
    make("span.label-share", {}, shares(all.map(({ predictions }) => predictions?.[0]))),
    all.map((one, at) => meter(one.predictions?.[0]?.confidence, null, at ? ".canary" : ""))];
  if (!further.length) return make("li", {}, make("span.label.first", {}, first));
  const opens = { type: "button", id: `says-${head.name}`, "aria-expanded": String(isOpen), click: () => toggle(head.name) };
  return make("li", {}, make("button.label.first", opens, first), isOpen && make("ol.further", {}, further));
}

/** @param {(Prediction|undefined)[]} all one of each release */
const shares = (all) => all.map((one, at) => [at > 0 && " / ", one ? sure(one) : "–"]);

/** @param {Head[]} all what each release says for a head, label by label */
function each(all) {
  const given = all.map(({ predictions }) => predictions ?? []);
  const of = (/** @type {string} */ label) => given.map((one) => one.find((prediction) => prediction.label === label));
  const most = (/** @type {string} */ label) => Math.max(...of(label).map((one) => one?.confidence ?? 0));
  const labels = [...new Set(given.flat().map(({ label }) => label))].sort((a, b) => most(b) - most(a));
  return labels.slice(0, MOST_LABELS).map((label) => make("li.label", {}, make("span.label-name", { title: label }, label),
    make("span.label-share", {}, shares(of(label))), of(label).map((one, at) => meter(one ? one.confidence : 0, null, at ? ".canary" : ""))));
}

/** @param {string} name of a head whose further labels are shown, or no longer */
function toggle(name) {
  if (!opened.delete(name)) opened.add(name);
  draw();
  byId(`says-${name}`)?.focus();
}

function drawMeta() {
  const { sent, replies } = sides[0];
  byId("meta").hidden = false;
  byId("request-id").textContent = replies[0].id.slice(0, ID);
  byId("request-id").title = replies[0].id;
  fill("snippet");
  byId("copy-says").textContent = "Copy as";
  for (const [id, name, written] of /** @type {const} */ ([["as-curl", "curl", asCurl], ["as-python", "Python", asPython]])) {
    byId(id).onclick = async () => {
      const words = sent.map((one) => written(one, hasKey())).join("\n\n");
      const shown = make("pre", { role: "group", "aria-label": `The request as ${name}`, tabindex: 0 }, make("code", {}, words));
      fill("snippet", shown);
      byId("copy-says").textContent = (await copy(shown)) ? "Copied" : "Selected";
    };
  }
}

/** @param {Reply[]} replies @param {Head[]|null} heads whose rows end in their answers */
function drawTime(replies, heads) {
  const calls = replies.flatMap((reply) => reply.calls);
  const attempts = calls.flatMap((call) => call.attempts);
  const hedges = attempts.filter(({ is_hedge }) => is_hedge).length;
  const retries = attempts.filter(({ number, is_hedge }) => number > 1 && !is_hedge).length;
  const extra = [retries && times(retries, "retry", "retries"), hedges && times(hedges, "hedge")].filter(Boolean).join(" and ");
  const words = replies.length > 1 ? `${replies.map(({ title }) => title).join(" / ")}, on one scale`
    : calls.length ? `${times(calls.length, "stage")}, ${times(attempts.length, "call")}${extra && `, of them ${extra}`}` : "";
  fill("total", make("p.big", {}, replies.map(({ total_ms }) => ms(total_ms)).join(" / ")), make("p.quiet", {}, words));
  fill("score", calls.length > 0 && score(replies, heads && { heads, mark: markOf, opened, toggle }));
  byId("legend").hidden = !replies.some((reply) => reply.calls.length || Object.keys(reply.times).length);
  drawLegend(attempts);
  byId("as-numbers").open ||= calls.length === 0;
  fill("numbers", replies.filter((reply) => Object.keys(reply.times).length).map(numbers));
}

/** @param {Head[]} heads @param {Reply[]} replies */
function spokenAnswer(heads, replies) {
  const words = heads.map((head) => `${heads.length > 1 ? `${head.name}: ` : ""}${firstOf(head)}${head.predictions?.[0] ? `, ${sure(head.predictions[0])}` : ""}${isUnsure(head) ? ", not sure" : ""}`);
  return `${words.join("; ")}, in ${replies.map(({ total_ms }) => ms(total_ms)).join(" / ")}`;
}

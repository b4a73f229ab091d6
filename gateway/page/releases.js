/** The releases in force: what share of the requests each gets, and how it does. */

import { byId, isNew, make, morph, MUTE, spoken } from "./dom.js";
import { command, told } from "./copy.js";
import { count, percent, THIN } from "./text.js";
import { scrolls } from "./timeline.js";
import { term } from "./words.js";

const PARTS = ["current", "canary", "shadow"];

/** @param {Pipeline} pipeline */
export function drawReleases({ releases, launched }) {
  if (!isNew("releases", [releases, launched])) return;
  morph(byId("releases"), make("div", { id: "releases" }, releases?.current && inForce(releases, launched?.models)));
}

/** @param {Releases} releases @param {string|null} [models] the folder that commands have to name */
function inForce({ releases, current, canary, shadow }, models) {
  const named = [["current", current, 100 - (canary?.percent ?? 0)], ["canary", canary?.release, canary?.percent], ["shadow", shadow?.release, shadow?.percent]];
  const rows = named.flatMap(([part, name, share]) => {
    const release = releases[String(name)];
    return release ? [{ ...release, part: String(part), name: String(name), share: Number(release.share ?? share) }] : [];
  });
  const trial = canary?.release ?? shadow?.release;
  const heads = ["release", "", "share", "requests", "failed", "agreement", "drift", "versions"];
  const explained = /** @type {Record<string, string>} */ ({ failed: "errors", agreement: "agreement", drift: "drift" });
  const head = heads.map((word, at) => make(at > 1 && at < 7 ? "th.num" : "th", { scope: "col" }, explained[word] ? term(explained[word], word) : word || spoken("part")));
  const table = make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows.map(row)));
  return make("div.release", {}, make("h3", {}, "Releases", make("span.quiet", {}, ", as they do lately; requests count from when a release gets its share")),
    canary && make("div.share-bar", MUTE, rows.filter(({ part }) => part !== "shadow").map(({ share }) => make("span", { "--share": share }))),
    scrolls("Releases", table),
    trial && make("p", {}, "Make it the current one: ", command(told(`splitway release promote ${trial}`, "--models", models)), " or end it: ", command(told("splitway release rollback", "--models", models))));
}

/** @param {Release & {name: string, part: string, share: number}} release */
function row({ name, part, share, requests, error_share, agreement, drift, extractor, heads }) {
  const number = (/** @type {any} */ words) => make("td.num", {}, words);
  const versions = [`extractor ${extractor}`, ...Object.entries(heads).map(([head, version]) => `${head} ${version}`)].join(", ");
  return make("tr", { "data-key": name }, make("td", { title: name }, name), make("td", {}, PARTS.indexOf(part) === 1 ? term("canary") : part),
    number(`${+share.toFixed(2)}${THIN}%`), number(count(requests)), number(percent(error_share, 2)),
    number(agreement === null ? "–" : percent(agreement)), number(drift === null ? "–" : `${drift > 0 ? "+" : ""}${drift.toFixed(3)}`),
    make("td.quiet", {}, versions));
}

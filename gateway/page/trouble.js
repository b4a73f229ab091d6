/** What is wrong now: what, since when, what is done by itself, and which command says more. */

import { byId, isNew, make, morph } from "./dom.js";
import { command, told } from "./copy.js";
import { clock, end, isFailure } from "./text.js";

/** @typedef {{what: string, why: string, next: string, command: string}} Trouble */

/**
 * When each trouble was first seen.
 * @type {Map<string, number>}
 */
let since = new Map();

/** @param {Pipeline} pipeline */
export function drawTrouble({ stages, heads = [], launched }) {
  const all = stages.flatMap((stage) => stage.replicas.flatMap((replica, at) => ofReplica(stage, replica, replica.number ?? at)));
  const unreached = new Set(stages.filter(({ ready }) => !ready).map(({ name }) => name));
  if (!unreached.size) all.push(...heads.filter(({ ready }) => !ready).map(ofHead));
  since = new Map(all.map(({ what }) => [what, since.get(what) ?? Date.now()]));
  if (!isNew("troubles", [all, launched])) return;
  byId("trouble").hidden = all.length === 0;
  morph(byId("troubles"), make("ul", { id: "troubles" }, all.map((trouble) => row(trouble, launched?.name))));
}

/** @param {Stage} stage @param {Replica} replica @param {number} number @returns {Trouble[]} */
function ofReplica({ name, ready }, replica, number) {
  const who = `${name} #${number}`;
  if (replica.state === "unreachable") {
    return [{
      what: `${who} does not answer`, why: replica.reason ?? "it cannot be reached", command: `splitway logs ${name}`,
      next: "Where splitway up started it, it is started again by itself, but not with --no-restart. Its last lines say why:",
    }];
  }
  if (replica.state === "ready" && replica.breaker === "open") {
    const failed = Object.entries(replica.attempts ?? {}).filter(([outcome]) => isFailure(outcome));
    const why = failed.map(([outcome, count]) => `${count} ${end(outcome)}`).join(", ");
    return [{
      what: `${who} is left alone`, why: `its last calls failed${why && `: ${why}`}`, command: "splitway doctor",
      next: `Its breaker tries it again in ${Math.ceil(replica.breaker_retry_in_s)} s. Compare it with the others:`,
    }];
  }
  if (ready || replica.state !== "not_ready") return [];
  return [{ what: `${who} is not ready`, why: replica.reason ?? "it does not say why", next: "It may still be starting. Its last lines say more:", command: `splitway logs ${name}` }];
}

/** @param {Offered} head @returns {Trouble} */
const ofHead = ({ name, reason }) => ({
  what: `The head ${name} is out of reach`, why: reason ?? "no replica serves it for the features that are made", command: "splitway doctor",
  next: "Start the extractor that it was trained on, or train it again. What fits what:",
});

/** @param {Trouble} trouble @param {string|null} [name] of the pipeline */
const row = ({ what, why, next, command: words }, name) => make("li", { "data-key": what },
  make("div", {}, make("strong", {}, `× ${what}`), `${why}, seen since ${clock(since.get(what) ?? Date.now())}`), make("div", {}, next, " ", command(told(words, "--name", name))));

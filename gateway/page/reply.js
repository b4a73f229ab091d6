/** The gateway's answers in the form in which the page draws them: one, whichever route gave them. */

const NOT_VERSIONS = new Set(["feature_space", "release"]);

/**
 * An answer of `/v1/classify`, of one head or of several, or a problem.
 * @param {any} raw @param {number} status
 * @returns {Reply}
 */
export function readClassified(raw, status) {
  const model = raw.model ?? {};
  const versions = Object.entries(model).filter(([name]) => !NOT_VERSIONS.has(name));
  const [name, version] = versions.at(-1) ?? ["", ""];
  const heads = raw.heads ? Object.entries(raw.heads).map(([each, entry]) => readHead(each, entry))
    : raw.predictions ? [readHead(name, { ...raw, version, timings_ms: null })] : []; // its times are those of all stages
  const { total, ...times } = raw.timings_ms ?? {};
  for (const head of heads) if (head.timings) times[head.name] = head.timings;
  const names = heads.map((head) => head.name);
  return {
    id: raw.id ?? "", total_ms: total, release: model.release ?? null, versions: Object.fromEntries(versions), heads,
    times, calls: readCalls(raw.timeline ?? [], times, names), problem: heads.length ? null : { ...raw, status },
  };
}

/** @param {string} name @param {any} entry @returns {Head} */
const readHead = (name, { error, predictions, version, threshold, timings_ms }) => ({
  name, version: version ?? "", predictions: predictions ?? null, threshold: threshold ?? null, error: error ?? null, timings: timings_ms ?? null,
});

/**
 * One of the latest requests; what it gave beyond the first labels is not kept.
 * @param {Asked} asked
 * @returns {Reply}
 */
export function readAsked({ id, release, heads, timings_ms: { total, ...times }, timeline, problem }) {
  const names = heads.map((head) => head.name);
  return { id, total_ms: total, release, versions: {}, heads: [], times, calls: readCalls(timeline, times, names), problem };
}

/**
 * The rows of a time line: every call to a stage, what its time went to, and whose features it takes.
 * @param {Hop[]} hops @param {Record<string, any>} times by stage @param {string[]} heads
 * @returns {Call[]}
 */
function readCalls(hops, times, heads) {
  const isHead = (/** @type {Hop} */ hop) => (hop.head === undefined ? heads.includes(hop.stage) : hop.head !== null);
  /** @type {string[]} */
  let before = [];
  return hops.map((hop) => {
    const takes = hop.takes ?? before; // a gateway that does not say it has a chain
    if (!isHead(hop)) before = [hop.stage];
    return { ...hop, isHead: isHead(hop), takes, parts: times[hop.stage] ?? {} };
  });
}

/**
 * The part of the time that no stage had.
 * @param {Reply} reply
 */
export function between(reply) {
  const total = reply.total_ms ?? 0;
  if (!reply.calls.length) return Math.max(0, total - Object.values(reply.times).reduce((sum, parts) => sum + (parts.total ?? 0), 0));
  let [covered, until] = [0, 0];
  for (const { start_ms, ms } of [...reply.calls].sort((a, b) => a.start_ms - b.start_ms)) {
    covered += Math.max(0, start_ms + ms - Math.max(until, start_ms));
    until = Math.max(until, start_ms + ms);
  }
  return Math.max(0, total - covered);
}

const CLASS = /^([^:]*):(\d*):?(.*)$/s;
/** Numbers that are shown of an answer that has no labels. */
const MOST_NUMBERS = 8;

/**
 * An answer of the inference protocol for one head.
 * @param {any} raw @param {number} status @param {string} head @param {number} took_ms as the page saw it
 * @returns {Reply}
 */
export function readInferred(raw, status, head, took_ms) {
  /** @type {(Tensor & {data: any[]})[]} */
  const outputs = raw.outputs ?? [];
  const predictions = outputs.flatMap((output) => (output.datatype === "BYTES" ? output.data.map(readClass) : readNumbers(output)));
  return {
    id: raw.id ?? "", total_ms: took_ms, release: raw.parameters?.release ?? null, versions: {}, times: {}, calls: [],
    heads: outputs.length ? [{ name: head, version: "", predictions, threshold: null, error: null, timings: null }] : [],
    problem: outputs.length ? null : { ...raw, status },
  };
}

/** @param {Tensor & {data: any[]}} output @returns {Prediction[]} */
function readNumbers({ name, data, shape }) {
  const all = data.flat(Infinity);
  const shown = all.slice(0, MOST_NUMBERS).map((value, at) => ({ label: all.length === 1 ? name : `${name} ${at + 1}`, value: Number(value) }));
  const rest = all.length - shown.length;
  return rest ? [...shown, { label: `${name}: ${rest} more, of the shape ${shape.join(" × ")}`, value: null }] : shown;
}

/** @param {string} written as `probability:index:label` @returns {Prediction} */
function readClass(written) {
  const [, confidence, index, label] = CLASS.exec(written) ?? [];
  const isClass = confidence !== undefined && Number.isFinite(Number(confidence));
  return isClass ? { label: label || `class ${index}`, confidence: Number(confidence) } : { label: written };
}

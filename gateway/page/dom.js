/** The few ways in which this page touches the document. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element. Properties that begin with `--` are set as custom CSS properties, which the page's policy allows.
 * @param {string} tag with its classes after dots, such as `p.quiet`
 * @param {Object<string, unknown>} [properties] attributes; false, null and undefined leave one out; functions listen
 * @param {...any} children nodes and words, in lists or not; what is false, null, undefined or "" is left out
 * @returns {HTMLElement}
 */
export function make(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const isDrawing = name === "svg" || name === "path";
  const element = /** @type {HTMLElement} */ (isDrawing ? document.createElementNS(SVG, name) : document.createElement(name));
  if (classes.length) element.classList.add(...classes);
  for (const [key, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(key, /** @type {EventListener} */ (value));
    else if (key.startsWith("--")) element.style.setProperty(key, String(value));
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...given(children));
  return element;
}

/** @param {any[]} children @returns {(Node|string)[]} */
const given = (children) => children.flat(4).filter((child) => child || child === 0).map((child) => (child === 0 ? "0" : child));

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** @param {string} id @param {...any} children */
export const fill = (id, ...children) => byId(id).replaceChildren(...given(children));

/**
 * Set an element's words, where they differ: the same words once more would be read out again.
 * @param {string} id @param {string} words
 */
export function write(id, words) {
  if (byId(id).textContent !== words) byId(id).textContent = words;
}

/**
 * The ways to make a signal, which not every description of browsers has yet.
 * @type {{any: (signals: AbortSignal[]) => AbortSignal, timeout: (ms: number) => AbortSignal}}
 */
export const signals = /** @type {any} */ (AbortSignal);

/** What screen readers pass over. */
export const MUTE = { "aria-hidden": "true" };

/**
 * What each part of the page was last drawn from.
 * @type {Map<string, string>}
 */
const drawn = new Map();

/**
 * Whether a part was drawn from something else, or not at all; from now on it counts as drawn from this.
 * @param {string} id of the part @param {unknown} value all that it shows
 */
export function isNew(id, value) {
  const now = JSON.stringify(value);
  const is = drawn.get(id) !== now;
  drawn.set(id, now);
  return is;
}

/** @param {string[]} ids of parts to empty; the next look draws them again */
export function clear(...ids) {
  for (const id of ids) {
    drawn.delete(id);
    fill(id);
  }
}

/** @param {string} words for screen readers alone */
export const spoken = (words) => make("span.hidden", {}, words);

/** @param {string} kind classes after dots @param {(event: Event) => void} click @param {...any} children */
export const button = (kind, click, ...children) => make(`button${kind}`, { type: "button", click }, ...children);

/** @param {string} words what is said to screen readers once, and not shown */
export const say = (words) => (byId("said").textContent = words);

/** What the reader of the page sets and a look at the pipeline does not. */
const READERS = new Set(["open"]);

/**
 * Bring an element to what a new one shows, touching only what differs: what has focus or is being read stays.
 * Children with `data-key` are the same as those with the same key, wherever they stand.
 * @param {Node} old @param {Node} fresh
 */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    /** @type {ChildNode} */ (old).replaceWith(fresh);
    return;
  }
  if (old.isEqualNode(fresh)) return; // by the browser itself: most of what is live stays as it is
  if (!(old instanceof Element) || !(fresh instanceof Element)) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !READERS.has(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) === value) continue;
    if (name === "style") /** @type {HTMLElement} */ (old).style.cssText = value;
    else old.setAttribute(name, value);
  }
  if (isKeyed(old) || isKeyed(fresh)) return morphByKey(old, fresh);
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((child, at) => (at < before.length ? morph(before[at], child) : old.append(child)));
  before.slice(after.length).forEach((child) => child.remove());
}

/** @param {Element} element */
const isKeyed = (element) => element.firstElementChild?.hasAttribute("data-key") ?? false;

/** @param {Element} old @param {Element} fresh */
function morphByKey(old, fresh) {
  const focused = document.activeElement;
  const count = fresh.childElementCount;
  /** @type {Map<string|null, Element>} */
  const known = new Map([...old.children].map((child) => [child.getAttribute("data-key"), child]));
  [...fresh.children].forEach((child, at) => {
    const same = known.get(child.getAttribute("data-key"));
    known.delete(child.getAttribute("data-key"));
    const here = same ?? child;
    if (same) morph(same, child);
    if (old.children[at] !== here) old.insertBefore(here, old.children[at] ?? null);
  });
  [...old.children].slice(count).forEach((child) => child.remove()); // what has gone, and second ones of a key
  if (focused instanceof HTMLElement && focused !== document.activeElement && old.contains(focused)) focused.focus({ preventScroll: true });
}

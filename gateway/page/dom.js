/** The few ways in which this page touches the document. */

/**
 * Make an element. Properties that begin with `--` are set as custom CSS properties, which the page's policy allows.
 * @param {string} tag with its classes after dots, such as `p.quiet`
 * @param {Object<string, unknown>} [properties] attributes; false, null and undefined leave one out; functions listen
 * @param {...(Node|string)} children
 */
export function make(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.classList.add(...classes);
  for (const [key, value] of Object.entries(properties)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(key, /** @type {EventListener} */ (value));
    else if (key.startsWith("--")) element.style.setProperty(key, String(value));
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

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

/** @param {string} name that may break after its underscores */
export const breakable = (name) => name.split(/(?<=_)/).flatMap((part, at) => (at ? [make("wbr"), part] : [part]));

/** @param {string} words for screen readers alone */
export const spoken = (words) => make("span.hidden", {}, words);

/**
 * Bring an element to what a new one shows, touching only what differs: what has focus or is being read stays.
 * @param {Node} old @param {Node} fresh
 */
export function morph(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    /** @type {ChildNode} */ (old).replaceWith(fresh);
    return;
  }
  if (!(old instanceof Element) || !(fresh instanceof Element)) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) === value) continue;
    if (name === "style") /** @type {HTMLElement} */ (old).style.cssText = value;
    else old.setAttribute(name, value);
  }
  const before = [...old.childNodes];
  const after = [...fresh.childNodes];
  after.forEach((child, at) => (at < before.length ? morph(before[at], child) : old.append(child)));
  before.slice(after.length).forEach((child) => child.remove());
}

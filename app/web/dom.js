// Elements by id and new ones. No markup is ever made from strings: what a model or a gallery says stays text.

export const byId = (id) => document.getElementById(id);

/** A new element. A property is set where the element has one of that name; else it is an attribute. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "css") for (const [rule, to] of Object.entries(value)) element.style.setProperty(rule, to);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Say it to a screen reader, without moving anything. */
export function announce(text) {
  byId("status").textContent = text;
}

export const percent = (share) => (share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`);

/** A number to the digits that mean something beside its deviation, and that to two; without one, to four. */
export function rounded(value, std) {
  if (!(std > 0)) return value.toPrecision(4);
  const digits = Math.min(20, Math.max(0, 1 - Math.floor(Math.log10(std))));
  return `${value.toFixed(digits)} ± ${std.toFixed(digits)}`;
}

export const signed = (number, digits = 1) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(digits)}`;

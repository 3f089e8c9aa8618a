// Requests to the service that served this page, by relative paths, so that they work behind any prefix.

let key = "";

/** Keep an API key in memory, for all later requests. */
export function useKey(value) {
  key = value.trim();
}

export const hasKey = () => key !== "";

/** What the service answered instead of what was asked for: an RFC 9457 problem. */
export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Ask; the response if it went well. Throws a Problem, or an AbortError. */
export async function ask(path, { body, signal } = {}) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", body, headers, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The service does not answer. Is it still running?");
  }
  if (response.ok) return response;
  let detail = `The service answered ${response.status}.`;
  try {
    const problem = await response.json();
    if (problem.detail) detail = problem.detail;
  } catch {
    // Not a problem of ours: a proxy's page, say.
  }
  throw new Problem(response.status, detail);
}

export const askJson = async (path, options) => (await ask(path, options)).json();

/** Stages and milliseconds of the header Server-Timing, in its order. */
export function timings(response) {
  const parts = (response.headers.get("Server-Timing") ?? "").split(",").filter((part) => part.trim());
  return parts.map((part) => {
    const [name, ...facts] = part.split(";").map((fact) => fact.trim());
    const duration = facts.find((fact) => fact.startsWith("dur="));
    return [name, Number(duration?.slice(4) ?? 0)];
  });
}

/** Show what is at `url`, by its address; with a key, which an address cannot carry, by its bytes. */
export async function show(element, url) {
  if (!key) {
    element.src = url;
    return;
  }
  const made = URL.createObjectURL(await (await ask(url)).blob());
  element.addEventListener("load", () => URL.revokeObjectURL(made), { once: true });
  element.src = made;
}

/** The path of something that a model can do, as short as it can be said. */
export function pathOf(model, what) {
  if (model.default && model.current) return what === "predict" ? what : `models/${encodeURIComponent(model.name)}/${what}`;
  const name = encodeURIComponent(model.name);
  return model.current ? `models/${name}/${what}` : `models/${name}/versions/${model.version}/${what}`;
}

// The command that asks the same. Knows shells' quotes; asks nothing.

/** A word for a POSIX shell. */
export function quote(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** `curl` for a form of these fields, files by their names. */
export function curl(path, fields, { key = false } = {}) {
  const url = new URL(path, document.baseURI).href;
  const parts = [`curl ${quote(url)}`];
  if (key) parts.push('-H "Authorization: Bearer $INTERMODAL_KEY"');
  for (const [name, value] of fields) {
    if (value instanceof Blob) parts.push(`-F ${quote(`${name}=@${value.name}`)}`);
    // --form-string takes a value that begins with @ or < as it is.
    else parts.push(`${/^[@<]|;/.test(value) ? "--form-string" : "-F"} ${quote(`${name}=${value}`)}`);
  }
  return parts.join(" \\\n  ");
}

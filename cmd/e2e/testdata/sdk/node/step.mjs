// What the scripts beside this one share: the message that every library sends,
// and a line of JSON for each step.
import { readFileSync } from "node:fs";

export const { BASE, SMTP, KEY } = process.env;

export const text = "Hällo text\n";
export const html = '<p>Hällo <img src="cid:logo.png"></p>\n';
export const file = Buffer.from("attachment ü\n");
export const logo = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0xff]);
export const later = () => new Date(Date.now() + 3600_000);

export function version(name) {
  const url = new URL(`./node_modules/${name}/package.json`, import.meta.url);
  return JSON.parse(readFileSync(url)).version;
}

// steps returns a function that runs one step and tells how it went. What the
// step returns is handed on; an error is told and ends nothing.
export function steps(sdk) {
  const v = version(sdk);
  return async (name, call, run) => {
    const line = { sdk: `${sdk} (Node)`, version: v, name, call };
    let value;
    try {
      value = await run();
      Object.assign(line, { ok: true, value });
    } catch (e) {
      Object.assign(line, {
        ok: false,
        type: e.type ?? (e.name === "Error" ? e.constructor.name : e.name),
        status: e.statusCode ?? e.status ?? e.responseCode ?? e.code,
        message: e.message,
        more: { code: e.code, recipients: e.recipients, details: e.details, body: e.response?.body },
      });
    }
    console.log(JSON.stringify(line));
    return value;
  };
}

import Mailgun from "mailgun.js";
import { BASE, KEY, steps, text, html, file, logo, later } from "./step.mjs";

const step = steps("mailgun.js");
const client = (key) => new Mailgun(FormData).client({ username: "api", key, url: BASE });
const mailgun = client(KEY).messages;
const simple = (name, to = "b@customer.test") => ({ from: "shop@shop.test", to, subject: `${name} mailgun-node`, text });

await step("full", "messages.create", () =>
  mailgun.create("shop.test", {
    from: "Shop Ä <shop@shop.test>", to: ['"B, Two" <b@customer.test>'], cc: "c@customer.test", bcc: ["d@customer.test"], "h:Reply-To": "r@shop.test",
    subject: "full mailgun-node ü", text, html, "h:X-Order": "42", "o:tag": ["receipt", "second"], "v:order": "42", "o:tracking": false, "o:dkim": true,
    attachment: { data: file, filename: "grüße.txt", contentType: "text/plain" }, inline: [{ data: logo, filename: "logo.png" }],
  }));
await step("variables", "messages.create with recipient-variables", () =>
  mailgun.create("shop.test", {
    from: "shop@shop.test", to: ["b@customer.test", "c@customer.test"], subject: "personal mailgun-node %recipient.name%", text: "Hi %recipient.name%\n",
    "recipient-variables": JSON.stringify({ "b@customer.test": { name: "Bee" }, "c@customer.test": { name: "Cee" } }),
  }));
const mime = ["From: shop@shop.test", "To: b@customer.test", "Subject: mime mailgun-node", "X-Kept: as  it is", "", "Hello", ""].join("\r\n");
await step("mime", "messages.create with a message of one's own", () => mailgun.create("shop.test", { to: "b@customer.test", message: mime }));
await step("mime file", "messages.create with it as a file, before the recipients", () => mailgun.create("shop.test", { message: Buffer.from(mime), to: ["b@customer.test"], "o:tag": "t" }));
await step("schedule", "messages.create with o:deliverytime", () => mailgun.create("shop.test", { ...simple("scheduled"), "o:deliverytime": later().toUTCString() }));
await step("test mode", "messages.create with o:testmode", () => mailgun.create("shop.test", { ...simple("sandboxed"), "o:testmode": true }));
await step("bad key", "messages.create with a wrong key", () => client("wrong").messages.create("shop.test", simple("never")));
await step("bad address", "messages.create to a bad address", () => mailgun.create("shop.test", simple("never", "nobody")));
await step("suppressed", "messages.create to a suppressed address", () => mailgun.create("shop.test", simple("never", "gone@customer.test")));
await step("template", "messages.create with a template", () => mailgun.create("shop.test", { ...simple("never"), template: "welcome", "t:variables": "{}" }));
await step("tracking", "messages.create with o:tracking", () => mailgun.create("shop.test", { ...simple("never"), "o:tracking": true }));

import sgMail from "@sendgrid/mail";
import { BASE, KEY, steps, text, html, file, logo, later } from "./step.mjs";

const step = steps("@sendgrid/mail");
const use = (key) => {
  sgMail.setApiKey(key);
  sgMail.client.setDefaultRequest("baseUrl", BASE); // after setApiKey, which resets it
};
use(KEY);

async function done(answer) {
  const [{ statusCode, headers, body }] = await answer;
  return { statusCode, id: headers["x-message-id"], ids: headers["x-postrider-message-ids"]?.split(",").length ?? 1, body };
}
const simple = (name, to = "b@customer.test") => ({ from: "shop@shop.test", to, subject: `${name} sendgrid-node`, text });

await step("full", "send", () =>
  done(sgMail.send({
    from: { name: "Shop Ä", email: "shop@shop.test" }, to: { name: "B, Two", email: "b@customer.test" }, cc: "c@customer.test", bcc: "d@customer.test", replyTo: "r@shop.test",
    subject: "full sendgrid-node ü", text, html, headers: { "X-Order": "42" }, categories: ["receipt"], customArgs: { order: "42" },
    trackingSettings: { clickTracking: { enable: false }, openTracking: { enable: false } }, mailSettings: { sandboxMode: { enable: false } },
    attachments: [
      { filename: "grüße.txt", content: file.toString("base64"), type: "text/plain", disposition: "attachment" },
      { filename: "logo.png", content: logo.toString("base64"), type: "image/png", disposition: "inline", contentId: "logo.png" },
    ],
  })));
await step("multiple", "sendMultiple", () => done(sgMail.sendMultiple({ ...simple("multiple"), to: ["b@customer.test", "c@customer.test"] })));
await step("personal", "send with personalizations and substitutions", () =>
  done(sgMail.send({
    from: "shop@shop.test", subject: "personal sendgrid-node -name-", text: "Hi -name-\n", substitutionWrappers: ["-", "-"],
    personalizations: [{ to: "b@customer.test", substitutions: { name: "Bee" } }, { to: "c@customer.test", substitutions: { name: "Cee" } }],
  })));
await step("schedule", "send with sendAt", () => done(sgMail.send({ ...simple("scheduled"), sendAt: Math.floor(later() / 1000) })));
await step("sandbox", "send in sandbox mode", () => done(sgMail.send({ ...simple("sandboxed"), mailSettings: { sandboxMode: { enable: true } } })));
sgMail.client.setDefaultHeader("Idempotency-Key", "sendgrid-node-1");
const first = await step("first", "send with an Idempotency-Key", () => done(sgMail.send(simple("once"))));
await step("again", "send with the same key", async () => ({ same: (await done(sgMail.send(simple("once")))).id === first?.id }));
await step("other", "send with the same key and another text", () => done(sgMail.send(simple("other"))));
delete sgMail.client.defaultHeaders["Idempotency-Key"];
await step("bad address", "send to a bad address", () => done(sgMail.send(simple("never", "nobody"))));
await step("suppressed", "send to a suppressed address", () => done(sgMail.send(simple("never", "gone@customer.test"))));
await step("template", "send with templateId", () => done(sgMail.send({ ...simple("never"), templateId: "d-1" })));
await step("asm", "send with asm", () => done(sgMail.send({ ...simple("never"), asm: { groupId: 1 } })));
await step("tracking", "send with openTracking", () => done(sgMail.send({ ...simple("never"), trackingSettings: { openTracking: { enable: true } } })));
use("SG.wrong");
await step("bad key", "send with a wrong key", () => done(sgMail.send(simple("never"))));

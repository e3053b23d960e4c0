import { Resend } from "resend";
import { BASE, KEY, steps, text, html, file, logo, later } from "./step.mjs";

const step = steps("resend");
const client = (key) => new Resend(key, { baseUrl: BASE });
const resend = client(KEY);

// The library returns its errors.
async function done(answer) {
  const { data, error } = await answer;
  if (error) throw Object.assign(new Error(error.message), { name: error.name, statusCode: error.statusCode });
  return data;
}
const simple = (name, to = "b@customer.test") => ({ from: "shop@shop.test", to, subject: `${name} resend-node`, text });

await step("full", "emails.send", () =>
  done(resend.emails.send({
    from: "Shop Ä <shop@shop.test>", to: ['"B, Two" <b@customer.test>'], cc: "c@customer.test", bcc: ["d@customer.test"], replyTo: "r@shop.test",
    subject: "full resend-node ü", text, html, headers: { "X-Order": "42" }, tags: [{ name: "category", value: "receipt" }],
    attachments: [{ filename: "grüße.txt", content: file, contentType: "text/plain" }, { filename: "logo.png", content: logo.toString("base64"), contentId: "logo.png" }],
  })));
const first = await step("first", "emails.send with idempotencyKey", () => done(resend.emails.send(simple("once"), { idempotencyKey: "resend-node-1" })));
await step("again", "emails.send with the same key", async () => ({ same: (await done(resend.emails.send(simple("once"), { idempotencyKey: "resend-node-1" }))).id === first?.id }));
await step("other", "emails.send with the same key and another text", () => done(resend.emails.send(simple("other"), { idempotencyKey: "resend-node-1" })));
await step("batch", "batch.send", () => done(resend.batch.send([simple("batch1"), { ...simple("batch2"), attachments: [{ filename: "a.txt", content: file }] }], { idempotencyKey: "resend-node-batch" })));
await step("batch strict", "batch.send with a bad address", () => done(resend.batch.send([simple("never"), simple("never", "nobody")])));
await step("batch permissive", "batch.send with a bad address, permissive", () =>
  done(resend.batch.send([simple("batch3"), simple("never", "nobody")], { batchValidation: "permissive" })));
const waiting = await step("schedule", "emails.send with scheduledAt", () => done(resend.emails.send({ ...simple("scheduled"), scheduledAt: later().toISOString() })));
await step("schedule in words", "emails.send with scheduledAt in words", () => done(resend.emails.send({ ...simple("scheduled"), scheduledAt: "in 1 hour" })));
const moved = later();
await step("move", "emails.update", () => done(resend.emails.update({ id: waiting.id, scheduledAt: moved.toISOString() })));
await step("get", "emails.get", async () => {
  const { from, to, subject, last_event, scheduled_at, text, object } = await done(resend.emails.get(waiting.id));
  return { from, to, subject, last_event, text, object, moved: Math.abs(new Date(scheduled_at) - moved) < 1000 };
});
await step("cancel", "emails.cancel", () => done(resend.emails.cancel(waiting.id)));
await step("cancelled", "emails.get of what was cancelled", async () => ({ last_event: (await done(resend.emails.get(waiting.id))).last_event }));
await step("cancel again", "emails.cancel of what was cancelled", () => done(resend.emails.cancel(waiting.id)));
await step("list", "emails.list", async () => {
  const page = await done(resend.emails.list({ limit: 2 }));
  const next = await done(resend.emails.list({ limit: 2, after: page.data[1].id }));
  return { object: page.object, more: page.has_more, count: page.data.length, next: next.data.length, distinct: new Set([...page.data, ...next.data].map((e) => e.id)).size };
});
await step("bad key", "emails.send with a wrong key", () => done(client("re_wrong").emails.send(simple("never"))));
await step("bad address", "emails.send to a bad address", () => done(resend.emails.send(simple("never", "nobody"))));
await step("suppressed", "emails.send to a suppressed address", () => done(resend.emails.send(simple("never", "gone@customer.test"))));
await step("template", "emails.send with a template", () => done(resend.emails.send({ from: "shop@shop.test", to: "b@customer.test", template: { id: "welcome" } })));
await step("remote file", "emails.send with a file by URL", () => done(resend.emails.send({ ...simple("never"), attachments: [{ path: "https://shop.test/a.pdf", filename: "a.pdf" }] })));
await step("unknown id", "emails.get of an unknown id", () => done(resend.emails.get("49a3999c-0ce1-4ea6-ab68-afcd6dc2e794")));

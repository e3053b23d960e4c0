import nodemailer from "nodemailer";
import { SMTP, KEY, steps, text, html, file, logo } from "./step.mjs";

const step = steps("nodemailer");
const [host, port] = SMTP.split(":");
const client = (pass) => nodemailer.createTransport({ host, port: Number(port), auth: { user: "shop", pass } });
const mailer = client(KEY);
const done = async (answer) => {
  const { accepted, rejected, response } = await answer;
  return { accepted, rejected, response };
};
const simple = (name, to = "b@customer.test") => ({ from: "shop@shop.test", to, subject: `${name} nodemailer`, text });

await step("full", "sendMail", () =>
  done(mailer.sendMail({
    from: "Shop Ä <shop@shop.test>", to: { name: "B, Two", address: "b@customer.test" }, cc: "c@customer.test", bcc: "d@customer.test", replyTo: "r@shop.test",
    subject: "full nodemailer ü", text, html, headers: { "X-Order": "42" },
    attachments: [{ filename: "grüße.txt", content: file, contentType: "text/plain" }, { filename: "logo.png", content: logo, cid: "logo.png" }],
  })));
const once = { ...simple("once"), messageId: "<nodemailer-1@shop.test>", date: new Date(), headers: { "X-Idempotency-Key": "nodemailer-1" } };
const first = await step("first", "sendMail with X-Idempotency-Key", () => done(mailer.sendMail(once)));
await step("again", "sendMail with the same key", async () => ({ same: (await done(mailer.sendMail(once))).response === first?.response }));
await step("other", "sendMail with the same key and another text", () => done(mailer.sendMail({ ...once, subject: "other nodemailer" })));
await step("bad key", "sendMail with a wrong password", () => done(client("wrong").sendMail(simple("never"))));
await step("bad address", "sendMail to a bad address", () => done(mailer.sendMail(simple("never", "nobody@-bad-.test"))));
await step("suppressed", "sendMail to a suppressed address", () => done(mailer.sendMail(simple("never", "gone@customer.test"))));
mailer.close();

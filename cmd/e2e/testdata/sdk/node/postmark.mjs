import { ServerClient, Models } from "postmark";
import { BASE, KEY, steps, text, html, file, logo } from "./step.mjs";

const step = steps("postmark");
const client = (key) => new ServerClient(key, { requestHost: new URL(BASE).host, useHttps: false });
const postmark = client(KEY);
const simple = (name, To = "b@customer.test") => ({ From: "shop@shop.test", To, Subject: `${name} postmark-node`, TextBody: text });

await step("full", "sendEmail", () =>
  postmark.sendEmail({
    From: "Shop Ä <shop@shop.test>", To: '"B, Two" <b@customer.test>', Cc: "c@customer.test", Bcc: "d@customer.test", ReplyTo: "r@shop.test",
    Subject: "full postmark-node ü", TextBody: text, HtmlBody: html, Headers: [{ Name: "X-Order", Value: "42" }], Tag: "receipt", Metadata: { order: "42" },
    MessageStream: "outbound", TrackOpens: false, TrackLinks: Models.LinkTrackingOptions.None,
    Attachments: [
      { Name: "grüße.txt", Content: file.toString("base64"), ContentType: "text/plain", ContentID: null },
      { Name: "logo.png", Content: logo.toString("base64"), ContentType: "image/png", ContentID: "cid:logo.png" },
    ],
  }).then(({ To, Cc, Bcc, ErrorCode, Message, MessageID, SubmittedAt }) => ({ To, Cc, Bcc, ErrorCode, Message, id: MessageID, recent: Math.abs(new Date(SubmittedAt) - Date.now()) < 60_000 })));
await step("batch", "sendEmailBatch with a bad address", () => postmark.sendEmailBatch([simple("batch1"), simple("never", "nobody"), simple("never", "gone@customer.test")]));
await step("partly suppressed", "sendEmail with a suppressed address beside a good one", () => postmark.sendEmail(simple("partly", "b@customer.test, gone@customer.test")));
await step("suppressed", "sendEmail to a suppressed address", () => postmark.sendEmail(simple("never", "gone@customer.test")));
await step("bad key", "sendEmail with a wrong token", () => client("wrong").sendEmail(simple("never")));
await step("test token", "sendEmail with POSTMARK_API_TEST", () => client("POSTMARK_API_TEST").sendEmail(simple("never")));
await step("bad address", "sendEmail to a bad address", () => postmark.sendEmail(simple("never", "nobody")));
await step("template", "sendEmailWithTemplate", () => postmark.sendEmailWithTemplate({ From: "shop@shop.test", To: "b@customer.test", TemplateId: 7, TemplateModel: {} }));
await step("templates", "sendEmailBatchWithTemplates", () => postmark.sendEmailBatchWithTemplates([{ From: "shop@shop.test", To: "b@customer.test", TemplateAlias: "a", TemplateModel: {} }]));
await step("tracking", "sendEmail with TrackOpens", () => postmark.sendEmail({ ...simple("never"), TrackOpens: true }));

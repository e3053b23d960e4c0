import nodemailer from "nodemailer";

const [from, to] = process.argv.slice(2);
const mailer = nodemailer.createTransport({
  host: "127.0.0.1",
  port: Number(process.env.MAIL_PORT ?? 2525),
  auth: { user: "shop", pass: process.env.MAIL_PASSWORD },
});
try {
  const answer = await mailer.sendMail({ from, to, subject: "First mail", text: "Hello!\n" });
  console.log(answer.response);
} catch (e) {
  console.error(e.message);
  process.exitCode = 1;
}

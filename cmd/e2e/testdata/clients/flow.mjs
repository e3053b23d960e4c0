// What those do who read mail with imapflow; each step is told in a line.
import { writeFileSync } from "node:fs";
import { ImapFlow } from "imapflow";

const { NAME, PASSWORD, PORT, DIR, WORD, RECIPIENT } = process.env;
const tell = (...words) => console.log(words.join("\t"));

const client = new ImapFlow({
  host: "localhost",
  port: Number(PORT),
  secure: true, // the certificate is in NODE_EXTRA_CA_CERTS
  auth: { user: NAME, pass: PASSWORD },
  logger: false,
});
client.on("error", (e) => tell("error", e.message));
await client.connect();

const folders = ["INBOX", "Queued", "Deferred", "Sent"];
const known = {};

// save saves what is not known yet, by UID.
async function save(folder) {
  const lock = await client.getMailboxLock(folder);
  try {
    const since = known[folder] ?? 1;
    let n = 0;
    for await (const m of client.fetch(`${since}:*`, { uid: true, flags: true, envelope: true, bodyStructure: true, size: true, source: true }, { uid: true })) {
      if (m.uid < since) continue; // * is the last one, also if that is older
      if (!m.envelope.subject || !m.bodyStructure.type || m.size !== m.source.length) tell("odd", folder, m.uid);
      writeFileSync(`${DIR}/${folder}.${m.uid}`, m.source);
      known[folder] = m.uid + 1;
      n++;
    }
    return n;
  } finally {
    lock.release();
  }
}

async function attempt(what, run) {
  try {
    tell(what, JSON.stringify(await run()));
  } catch (e) {
    tell(what, e.responseStatus ?? e.code, e.responseText ?? e.message);
  }
}

const tree = await client.list();
tell("folders", tree.length);
tell("special", tree.filter((f) => f.specialUse).map((f) => `${f.specialUse} ${f.path}`).join(", "));
for (const folder of folders) await save(folder);
let again = 0;
for (const folder of folders) again += await save(folder);
tell("again", again);

const lock = await client.getMailboxLock("INBOX");
tell("readonly", client.mailbox.readOnly === true);
tell("subject", (await client.search({ subject: WORD }, { uid: true })).length);
tell("recipient", (await client.search({ from: RECIPIENT }, { uid: true })).length);
tell("utf8", (await client.search({ subject: "für" }, { uid: true })).length);
const [first] = await client.search({ subject: WORD }, { uid: true });
await attempt("mark", () => client.messageFlagsAdd([first], ["\\Seen"], { uid: true }));
await attempt("delete", () => client.messageDelete([first], { uid: true }));
await attempt("move", () => client.messageMove([first], "Sent", { uid: true }));
await attempt("append", () => client.append("Sent", "Subject: mine\r\n\r\nmine\r\n"));
await attempt("create", () => client.mailboxCreate("Mine"));
tell("left", client.mailbox.exists);

const seen = new Promise((resolve) => client.once("exists", resolve));
setTimeout(() => tell("waiting"), 500); // by then it has sent IDLE
const idle = client.idle();
const { count, prevCount } = await seen;
tell("woke", count - prevCount);
tell("came", (await client.search({ subject: "Order came" }, { uid: true })).length);
await idle;
lock.release();
await client.logout();
